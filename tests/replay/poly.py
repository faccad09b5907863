"""Polygons recorded from another pipeline: single ones, pairs, and shrunk ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxcoadd.inputs.polygons import (
    Polygon,
    PolygonError,
    common_polygon,
    grow_polygon,
    intersect_polygons,
    unite_polygons,
)
from jaxcoadd.inputs.rasters import polygon_fractions

# Sums of a few products of coordinates below 1e3 in 64 bits.
ROUNDING = 1e-9

# The other pipeline finds new vertices on a grid of 1e7 steps over both polygons: they
# are off by a few steps where edges meet at a small angle. Areas are good to 1e-5.
NEW_AREA = 1e-5
NEW_VERTEX = 10 / 1e7


def replay(path: Path, precision: int) -> None:
    """Compare one recorded case; the geometry is in 64 bits always."""
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    kinds = {"single": _replay_single, "pairs": _replay_pair, "grow": _replay_growth}
    replay_one = kinds[json.loads(str(case["params"]))["kind"]]
    for row in range(len(case["vertices_a" if "num_a" in case else "vertices"])):
        replay_one(case, row)


def _polygon(case, name, count, row):
    return Polygon(case[name][row, : case[count][row]])


def _replay_single(case, row):
    polygon = _polygon(case, "vertices", "num_vertices", row)
    recorded = case["out_vertices"][row, : case["out_num_vertices"][row]]
    np.testing.assert_array_equal(polygon.vertices, recorded)
    assert len(polygon.vertices) == case["out_num_edges"][row]
    computed = {
        "out_area": polygon.area,
        "out_perimeter": polygon.perimeter,
        "out_bbox": polygon.bounds,
        "out_center": polygon.centre,
    }
    for name, value in computed.items():
        np.testing.assert_allclose(value, case[name][row], ROUNDING, err_msg=name)

    number = case["num_points"][row]
    inside = polygon.contains(*case["points"][row, :number].T)
    wrong = inside != case["out_contains"][row, :number]
    assert not np.any(wrong & ~case["aux_on_outline"][row, :number])
    corners = polygon.contains(*polygon.vertices.T)
    assert not corners.any()

    x0, y0, width, height = case[f"image_box_{row}"].tolist()
    image = polygon_fractions(polygon, (x0, y0, x0 + width - 1, y0 + height - 1))
    same = ~case[f"aux_deviates_{row}"]
    # Recorded in 32 bits, and cut to pixels with new vertices.
    np.testing.assert_allclose(
        image[same], case[f"out_image_{row}"][same], rtol=0, atol=NEW_AREA
    )


def _replay_pair(case, row):
    first = _polygon(case, "vertices_a", "num_a", row)
    second = _polygon(case, "vertices_b", "num_b", row)
    pieces, union = intersect_polygons(first, second), unite_polygons(first, second)
    assert len(pieces) == case["out_count"][row]
    assert len(union) == case["out_union_count"][row]
    areas = {
        "out_total_area": sum(piece.area for piece in pieces),
        "out_union_area": sum(piece.area for piece in union),
    }
    for name, area in areas.items():
        np.testing.assert_allclose(
            area, case[name][row], NEW_AREA, NEW_AREA, err_msg=name
        )
    if case["out_error"][row]:
        with pytest.raises(PolygonError, match="in common"):
            common_polygon(first, second)
        return
    single = common_polygon(first, second)
    recorded = case["out_single"][row, : case["out_single_num"][row]]
    np.testing.assert_allclose(
        single.area, case["out_single_area"][row], NEW_AREA, NEW_AREA
    )
    _assert_same_outline(single.vertices, recorded)


def _replay_growth(case, row):
    x0, y0, width, height = case["boxes"][row].tolist()
    box, by = (x0, y0, x0 + width - 1, y0 + height - 1), int(case["grow"][row])
    given = _polygon(case, "vertices", "num_vertices", row)
    given = None if given.is_empty else given
    if case["out_error"][row]:
        with pytest.raises(PolygonError):
            grow_polygon(given, box, by)
        return
    grown = grow_polygon(given, box, by)
    recorded = case["out_vertices"][row, : case["out_num_vertices"][row]]
    if np.isnan(recorded).any():
        # A polygon of NaN, which contains no point: ours is empty.
        assert grown.is_empty
        return
    np.testing.assert_allclose(grown.area, case["out_area"][row], NEW_AREA, NEW_AREA)
    _assert_same_outline(grown.vertices, recorded)


def _assert_same_outline(found, recorded):
    """Every recorded vertex is near the outline that was found, and the reverse."""
    allowed = NEW_VERTEX * max(1, np.ptp(recorded, axis=0).max())
    for points, corners in ((recorded, found), (found, recorded)):
        start, end = corners, np.roll(corners, -1, axis=0)
        along = end - start
        offset = points[:, None] - start
        part = np.sum(offset * along, -1) / np.maximum(np.sum(along**2, -1), 1e-300)
        nearest = np.clip(part, 0, 1)[..., None] * along
        distance = np.linalg.norm(offset - nearest, axis=-1).min(axis=1)
        assert distance.max() < allowed
