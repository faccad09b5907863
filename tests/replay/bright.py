"""Bright objects recorded from another pipeline: catalogues read, and their masks."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from astropy.wcs import WCS

from jaxcoadd.bright_objects import (
    BrightObject,
    bright_object_spans,
    flag_bright_objects,
)
from jaxcoadd.io.bright_objects import (
    RegionFormatError,
    locate_bright_objects,
    parse_regions,
)
from jaxcoadd.masks import LSST_PLANES

FIELDS = ("ra", "dec", "radius", "width", "height", "angle", "mag")

# The recorded angles went to radians and back: two roundings of about an ulp each.
ANGLE_TOLERANCE = 4 * np.finfo(np.float64).eps


def replay(path: Path, precision: int) -> None:
    """Read one recorded file, and compare objects and masks with it."""
    if path.suffix == ".json":
        _replay_reader(json.loads(path.read_text()))
    else:
        with np.load(path) as case:
            _replay_mask({name: case[name] for name in case.files})


def _replay_mask(case: dict) -> None:
    objects, metadata = parse_regions(str(case["region_file"]))
    assert metadata == json.loads(str(case["metadata"]))
    assert [item.kind for item in objects] == case["type"].tolist()
    assert [item.id for item in objects] == case["id"].tolist()
    for field in FIELDS:
        values = [getattr(item, field) for item in objects]
        np.testing.assert_allclose(values, case[field], rtol=ANGLE_TOLERANCE, atol=0)

    box = tuple(case["bbox"].tolist())
    spans = bright_object_spans(objects, case["centers"], float(case["plate_scale"]))
    np.testing.assert_array_equal(_mask(spans, box), case["out_mask"])

    positions, plate_scale = locate_bright_objects(objects, _wcs(case["wcs"]), box)
    # Positions near 360 degrees are rounded by 6e-14, some 1e-9 of a small pixel; the
    # scale is a difference of such positions. A tenfold of this for several of them.
    np.testing.assert_allclose(positions, case["centers"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(plate_scale, case["plate_scale"], rtol=1e-8)
    if case["aux_margin"].min() > 1e-5:
        spans = bright_object_spans(objects, positions, plate_scale, within=box)
        np.testing.assert_array_equal(_mask(spans, box), case["out_mask"])


def _replay_reader(case: dict) -> None:
    for file in case["files"]:
        if "error" in file:
            with pytest.raises(RegionFormatError) as caught:
                parse_regions(file["text"], file["name"])
            assert caught.value.count == file["format_errors"], file["name"]
            continue
        objects, metadata = parse_regions(file["text"], file["name"])
        assert metadata == file["metadata"], file["name"]
        assert [(item.kind, item.id) for item in objects] == [
            (record["type"], record["id"]) for record in file["records"]
        ]
        for field in FIELDS:
            np.testing.assert_allclose(
                [getattr(item, field) for item in objects],
                [_number(record[field]) for record in file["records"]],
                rtol=ANGLE_TOLERANCE,
                err_msg=f"{field} of {file['name']}",
            )
    for record in case["records"]:
        _replay_record(record, _wcs(case["wcs"]), tuple(case["bbox"]))


def _replay_record(case: dict, wcs: WCS, box: tuple) -> None:
    fields = {name: value for name, value in case["record"].items() if name != "type"}
    numbers = {name: _number(value) for name, value in fields.items()}
    item = BrightObject(case["record"]["type"], case["ra"], case["dec"], **numbers)
    positions, plate_scale = locate_bright_objects([item], wcs, box)
    turned = item.kind == "box" and np.isfinite(item.angle) and item.angle != 0
    if "error" in case and not turned:
        with pytest.raises(ValueError, match="bright object 0"):
            bright_object_spans([item], positions, plate_scale)
        return
    if item.kind in ("circle", "box"):
        spans = bright_object_spans([item], positions, plate_scale)
    else:
        with pytest.warns(UserWarning, match="masks nothing"):
            spans = bright_object_spans([item], positions, plate_scale)
    y, x = np.nonzero(_mask(spans, box))
    if turned:
        # Refused in the original; here the turned rectangle, whose area is known to
        # half a pixel along its edge.
        width, height = (s * 3600 / plate_scale for s in (item.width, item.height))
        assert abs(len(x) - width * height) <= width + height, case["name"]
        return
    assert len(x) == case["pixels_set"], case["name"]
    if len(x):
        extent = [
            x.min() + box[0],
            y.min() + box[1],
            x.max() + box[0],
            y.max() + box[1],
        ]
        assert extent == case["extent"], case["name"]


def _mask(spans: list, box: tuple) -> np.ndarray:
    shape = (box[3] - box[1] + 1, box[2] - box[0] + 1)
    mask, planes = flag_bright_objects(
        jnp.ones(shape, jnp.uint32), LSST_PLANES, spans, origin=box[:2]
    )
    flagged = (np.asarray(mask) >> planes.bit("BRIGHT_OBJECT")) & 1 == 1
    bit = 1 << planes.bit("BRIGHT_OBJECT")
    np.testing.assert_array_equal(np.asarray(mask), np.where(flagged, 1 | bit, 1))
    return flagged


def _wcs(recorded) -> WCS:
    header = recorded if isinstance(recorded, dict) else json.loads(str(recorded))
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(header["crpix"]) + 1
    wcs.wcs.crval = header["crval"]
    wcs.wcs.cd = header["cd"]
    wcs.wcs.ctype = [f"{axis}-{header['projection']}" for axis in ("RA--", "DEC-")]
    wcs.wcs.set()
    return wcs


def _number(value) -> float:
    return np.nan if value is None else value
