"""The tables of a coadd's inputs."""

import dataclasses

import numpy as np
import pytest
from astropy import units
from hypothesis import given

from jaxcoadd.inputs.polygons import Polygon
from jaxcoadd.inputs.records import CoaddInputs, DetectorInput, VisitInput
from jaxcoadd.inputs.tables import (
    add_warp,
    copy_polygons,
    detector_table,
    inputs_from_tables,
    sort_inputs,
    visit_table,
)
from tests.inputs import SEEDS, star_polygon

BOX = (0, 0, 49, 29)


def make_warp(visit, detectors=(1, 2), **options):
    """Return the inputs of one warp, its detectors not in order."""
    rows = [
        DetectorInput(
            100 * visit + number, visit, number, BOX, goodpix=7 * number, **options
        )
        for number in detectors[::-1]
    ]
    visits = (VisitInput(visit, (-8, -4, 99, 99), goodpix=10, filter="HSC-I"),)
    return CoaddInputs(visits, tuple(rows))


def add_all(warps, weights):
    inputs = CoaddInputs()
    for warp, weight in zip(warps, weights, strict=True):
        inputs, warning = add_warp(inputs, warp, weight)
        assert warning is None
    return inputs


def test_the_columns_are_those_of_the_original():
    inputs = add_all([make_warp(5)], [0.25])
    tables = {"detectors": detector_table(inputs), "visits": visit_table(inputs)}
    shared = {"id": "<i8", "goodpix": "<i4", "weight": "<f8", "filter": "<U32"}
    shared |= {f"bbox_{end}_{axis}": "<i4" for end in ("min", "max") for axis in "xy"}
    own = {"detectors": {"ccd": "<i4", "visit": "<i8"}, "visits": {}}
    for name, table in tables.items():
        types = {column: table[column].dtype.str for column in table.colnames}
        assert types == shared | own[name]
        assert table["bbox_min_x"].unit == units.pixel
        assert all(table[column].description for column in table.colnames)
    assert tuple(tables["visits"][0]) == (5, -8, -4, 99, 99, 10, 0.25, "HSC-I")
    assert tuple(tables["detectors"][1]) == (502, *BOX, 14, 0.25, "", 2, 5)


def test_tables_without_rows_have_the_same_types():
    empty, full = CoaddInputs(), add_all([make_warp(5)], [1.0])
    for make in (visit_table, detector_table):
        assert len(make(empty)) == 0 and make(empty).dtype == make(full).dtype


@given(seed=SEEDS)
def test_the_order_of_warps_does_not_matter(seed):
    order = np.random.default_rng(seed).permutation(5)
    warps, weights = [make_warp(int(v) + 3) for v in order], order + 0.5
    inputs = add_all(warps, weights)
    visits, detectors = visit_table(inputs), detector_table(inputs)
    np.testing.assert_array_equal(visits["id"], np.arange(5) + 3)
    np.testing.assert_array_equal(visits["weight"], np.arange(5) + 0.5)
    assert (np.diff(detectors["id"]) > 0).all()
    np.testing.assert_array_equal(detectors["weight"], detectors["visit"] - 2.5)


def test_a_warp_keeps_its_rows_and_its_unset_weight():
    warp = make_warp(5)
    coadd, _ = add_warp(CoaddInputs(), warp, 3.0, filter="r")
    assert np.isnan(warp.visits[0].weight) and warp.detectors[0].weight == 1
    rows = (*coadd.visits, *coadd.detectors)
    assert {(row.weight, row.filter) for row in rows} == {(3.0, "r")}


@pytest.mark.parametrize("number", [0, 2])
def test_a_warp_without_exactly_one_visit_is_left_out(number):
    before = add_all([make_warp(5)], [1.0])
    visits = tuple(VisitInput(k, BOX) for k in range(number))
    after, warning = add_warp(before, CoaddInputs(visits, make_warp(6).detectors), 1.0)
    assert after is before
    assert warning is not None and f"a warp with {number} visits" in warning


def test_a_warp_that_is_added_twice_is_refused():
    with pytest.raises(ValueError, match=r"the visit with id 5 is among .* twice"):
        add_all([make_warp(5), make_warp(5)], [1.0, 1.0])
    rows = make_warp(5).detectors
    with pytest.raises(ValueError, match="the detector with id 502 is among"):
        sort_inputs([], [*rows, *rows[:1]])


def test_what_a_table_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="has 33 characters; at most 32"):
        VisitInput(1, BOX, filter="x" * 33)
    with pytest.raises(ValueError, match=r"box \(0, 0, -1, 3\) has no pixels"):
        DetectorInput(1, 1, 1, (0, 0, -1, 3))


def test_tables_come_back_with_what_is_beside_them():
    inputs = add_all([make_warp(6), make_warp(5)], [2.0, 3.0])
    polygon = star_polygon(1)
    back = inputs_from_tables(
        visit_table(inputs)[::-1],
        detector_table(inputs)[::-1],
        detector_objects={502: {"polygon": polygon}},
    )
    assert [row.polygon for row in back.detectors] == [None, polygon, None, None]
    for make in (visit_table, detector_table):
        assert make(back).pformat() == make(inputs).pformat()


def test_a_table_without_a_column_is_refused():
    inputs = add_all([make_warp(6)], [2.0])
    detectors = detector_table(inputs)
    del detectors["ccd"]
    with pytest.raises(ValueError, match="table of detectors has no column 'ccd'"):
        inputs_from_tables(visit_table(inputs), detectors)


def test_polygons_are_copied_by_id():
    own, other = star_polygon(1), star_polygon(2)
    direct = make_warp(5, (1, 2, 3), polygon=own)
    matched = make_warp(5, (1, 3), polygon=other)
    bare = dataclasses.replace(matched.detectors[0], polygon=None)
    matched = dataclasses.replace(matched, detectors=(bare, matched.detectors[1]))
    found, warnings = copy_polygons(direct, matched)
    polygons = {row.detector: row.polygon for row in found.detectors}
    assert polygons == {1: other, 2: own, 3: own}
    assert len(warnings) == 1 and "id 503" in warnings[0]
    assert direct.detectors[2].polygon is own


def test_an_empty_polygon_is_copied_as_any_other():
    direct, empty = make_warp(5), Polygon([])
    found, _ = copy_polygons(direct, make_warp(5, (1,), polygon=empty))
    assert {row.detector: row.polygon for row in found.detectors}[1] is empty


def test_without_a_partner_polygons_stay():
    direct = make_warp(5, polygon=star_polygon(1))
    assert copy_polygons(direct, None) == (direct, ())


def test_a_partner_with_other_detectors_is_refused():
    with pytest.raises(ValueError, match="detector with id 509, which the direct"):
        copy_polygons(make_warp(5), make_warp(5, (1, 9)))
