"""Tables of visits: what is read of them, and what is refused."""

import math

import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, QTable, Table

from jaxcoadd import sky
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.visit_summaries import read_visit_summaries
from tests.test_sky_selection import GOOD_ROW

PATCH = sky.named_sky_map("lsst_cells_v1").tract(9813).patch(36)
FWHM = {5: 1.2, 3: 0.8, 9: 1.0}
DETECTORS = (40, 41)


def make_table(kind=Table, **columns):
    """Make a table of three visits with two detectors, the second one elsewhere."""
    rows = [(v, d) for v in FWHM for d in DETECTORS]
    corners = [PATCH.corners + np.array([0, 3 * (d != 40)]) for _, d in rows]
    sigma = [FWHM[v] / 0.2 / math.sqrt(8 * math.log(2)) for v, _ in rows]
    known = {name: [value] * len(rows) for name, value in GOOD_ROW.items()}
    known |= {
        "visit": [v for v, _ in rows],
        "detector": [d for _, d in rows],
        "mjd": [60000.25 + v for v, _ in rows],
        "psfSigma": sigma,
        "raCorners": np.array(corners)[..., 0],
        "decCorners": np.array(corners)[..., 1],
    }
    table = kind({name: columns.pop(name, values) for name, values in known.items()})
    for name, values in columns.items():
        table[name] = values
    return table


def write(path, table):
    table.write(path)
    return path


@pytest.fixture(params=["visits.ecsv", "visits.fits"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_a_table_comes_back_as_it_was(path):
    table = make_table()
    visits = read_visit_summaries(write(path, table))
    assert [one.visit for one in visits] == [5, 3, 9]
    assert [one.mjd for one in visits] == [60005.25, 60003.25, 60009.25]
    for n, one in enumerate(visits):
        rows = table[2 * n : 2 * n + 2]
        np.testing.assert_array_equal(one.psf_sigma, rows["psfSigma"])
        np.testing.assert_array_equal(one.corners[..., 0], rows["raCorners"])
        np.testing.assert_array_equal(one.corners[..., 1], rows["decCorners"])
        assert one.detectors.tolist() == list(DETECTORS) and one.has_wcs.all()
        assert one.columns.keys() == GOOD_ROW.keys() - {"psfSigma", "pixelScale"}
        assert one.row(41) | {"psfSigma": 2.0} == GOOD_ROW


def test_visits_of_a_file_are_selected(path):
    visits = read_visit_summaries(
        write(path, make_table(psfApFluxDelta=[0.1] * 5 + [9]))
    )
    assert sky.select_best_seeing(visits, PATCH.corners) == [3, 9, 5]
    part = sky.SeeingQuantile(max_quantile=0.5, min_visits=1)
    assert sky.select_seeing_quantile(visits, PATCH.corners, part) == [3, 9]
    assert sky.select_overlapping(list(visits[0].corners), PATCH.corners) == [0]
    failed = [sky.failed_psf_cut(one.row(41)) for one in visits]
    assert failed == [None, None, "max_aperture_flux_delta"]


def test_bands_are_text(path):
    (one, *_) = read_visit_summaries(write(path, make_table()))
    cuts = sky.PsfCuts(min_stars={"r": 99, "fallback": 0})
    assert sky.failed_psf_cut(one.row(40), cuts) == "min_stars"


def test_rows_of_a_visit_need_not_be_together(path):
    order = [4, 1, 2, 0, 5, 3]
    visits = read_visit_summaries(write(path, make_table()[order]))
    assert [one.visit for one in visits] == [9, 5, 3]
    assert [one.detectors.tolist() for one in visits] == [[40, 41], [41, 40], [40, 41]]


def test_what_is_masked_is_not_known(path):
    mask = [True] + [False] * 5
    table = make_table(
        psfSigma=MaskedColumn([2.0] * 6, mask=mask),
        nPsfStar=MaskedColumn([9] * 6, mask=mask),
        has_wcs=MaskedColumn([True] * 6, mask=mask),
    )
    (one, *_) = read_visit_summaries(write(path, table))
    assert np.isnan(one.psf_sigma).tolist() == [True, False]
    assert np.isnan(one.columns["nPsfStar"]).tolist() == [True, False]
    if path.suffix == ".ecsv":  # FITS has no way to mask what is true or false
        assert one.has_wcs.tolist() == [False, True]


def test_detectors_without_corners_have_no_wcs_unless_said(path):
    corners = np.array(make_table()["raCorners"])
    corners[1, 2] = math.nan
    (one, *_) = read_visit_summaries(write(path, make_table(raCorners=corners)))
    assert one.has_wcs.tolist() == [True, False]
    table = make_table(raCorners=corners, has_wcs=[False, True] * 3)
    table.write(path, overwrite=True)
    (one, *_) = read_visit_summaries(path)
    assert one.has_wcs.tolist() == [False, True]


def test_units_are_honoured(path):
    table = make_table(QTable)
    table["psfSigma"] = table["psfSigma"] * units.pixel
    table["pixelScale"] = (table["pixelScale"] * units.arcsec).to(units.deg)
    table["raCorners"] = (table["raCorners"] * units.deg).to(units.rad)
    (one, *_) = read_visit_summaries(write(path, table))
    # Two conversions: some roundings of angles below 180 degrees.
    np.testing.assert_allclose(one.pixel_scale, 0.2, rtol=1e-15)
    np.testing.assert_allclose(one.corners[0], PATCH.corners, rtol=0, atol=1e-13)
    per_pixel = make_table(QTable)
    per_pixel["pixelScale"] = per_pixel["pixelScale"] * units.arcsec / units.pixel
    per_pixel.write(path, overwrite=True)
    (one, *_) = read_visit_summaries(path)
    assert one.pixel_scale.tolist() == [0.2, 0.2]


def test_a_table_without_rows_has_no_visits(tmp_path):
    path = write(tmp_path / "visits.fits", make_table()[:0])
    assert read_visit_summaries(path) == ()


NAN = math.nan


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"visit": [1.5] * 6}, "column visit has the type float64 .* a whole number"),
        ({"detector": ["a"] * 6}, "column detector .* a whole number in each row"),
        ({"psfSigma": ["a"] * 6}, "column psfSigma cannot be taken as numbers"),
        (
            {"psfSigma": np.ones((6, 2))},
            r"column psfSigma has the shape \(6, 2\); .* one num",
        ),
        (
            {"raCorners": [1.0] * 6},
            r"column raCorners has the shape \(6,\); expected three",
        ),
        (
            {"raCorners": np.ones((6, 2))},
            r"column raCorners has the shape \(6, 2\); expected",
        ),
        (
            {"raCorners": np.ones((6, 5))},
            r"raCorners .*\(6, 5\) and decCorners \(6, 4\)",
        ),
        ({"decCorners": np.full((6, 4), 91.0)}, "row 1: decCorners .* from -90 to 90"),
        ({"mjd": [1.0, NAN, 1, 1, 1, 1]}, "row 2: mjd is nan; expected a date"),
        ({"mjd": [1.0, 2.0, 1, 1, 1, 1]}, "row 2: visit 5 has the date 2.0, and 1.0 b"),
        ({"detector": [4, 4, 1, 2, 1, 2]}, "row 2: detector 4 of visit 5 .* in row 1"),
        (
            {"visit": MaskedColumn([5] * 6, mask=[0, 0, 1, 0, 0, 0])},
            "row 3: visit is missing; expected a number",
        ),
    ],
)
def test_bad_columns_are_named(path, columns, message):
    write(path, make_table(**columns))
    with pytest.raises(InputError, match=rf"{path.name}(: |, ){message}"):
        read_visit_summaries(path)


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("psfSigma", "arcsec", "psfSigma is in arcsec; expected pix"),
        ("pixelScale", "pix", "pixelScale is in pix; expected arcsec / pix"),
        ("raCorners", "pix", "raCorners is in pix; expected deg"),
        ("mjd", "deg", "mjd is in deg; expected d"),
    ],
)
def test_wrong_units_are_named(path, name, unit, expected):
    table = make_table()
    table[name].unit = unit
    with pytest.raises(InputError, match=f"column {expected}; convert the column or"):
        read_visit_summaries(write(path, table))


@pytest.mark.parametrize("name", ["visit", "detector", "mjd", "psfSigma", "raCorners"])
def test_missing_columns_are_named(path, name):
    table = make_table()
    table.remove_column(name)
    with pytest.raises(InputError, match=f"has no column {name}, .*the columns are"):
        read_visit_summaries(write(path, table))


@pytest.mark.parametrize("name", ["visits.ecsv", "visits.fits", "visits.unknown"])
def test_what_is_no_table_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} cannot be read as a table"):
        read_visit_summaries(tmp_path / name)
    (tmp_path / name).write_text("no table")
    with pytest.raises(InputError, match=f"{name} cannot be read as a table"):
        read_visit_summaries(tmp_path / name)
