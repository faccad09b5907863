import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS, Sip
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.bright_objects import BrightObject
from jaxcoadd.io import Grid
from jaxcoadd.io.bright_objects import (
    RegionFormatError,
    locate_bright_objects,
    parse_regions,
    read_bright_objects,
    read_bright_regions,
)
from jaxcoadd.io.errors import InputError
from jaxcoadd.spans import SpanSet

ARCSEC = 1 / 3600
REGIONS = "# TRACT: 12\nwcs; fk5\n"


def grid_wcs(*, sip=False):
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = [51, 51]
    wcs.wcs.crval = [10, -4]
    wcs.wcs.cdelt = [-0.5 * ARCSEC, 0.5 * ARCSEC]
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    if sip:
        wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
        bend = np.zeros((3, 3))
        bend[2, 0], bend[1, 1] = 2e-4, -1e-4
        wcs.sip = Sip(bend, bend.T.copy(), None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def test_scale_and_positions_are_those_of_the_wcs():
    items = [BrightObject("circle", 10.0, -4.0), BrightObject("circle", 190.0, 4.0)]
    positions, plate_scale = locate_bright_objects(items, grid_wcs(), (0, 0, 99, 99))
    np.testing.assert_allclose(positions[0], [50, 50], atol=1e-8)
    assert np.isnan(positions[1]).all()
    np.testing.assert_allclose(plate_scale, 0.5, rtol=1e-8)
    assert locate_bright_objects([], grid_wcs(), (0, 0, 9, 9))[0].shape == (0, 2)


def test_distorted_wcs_is_inverted_where_it_can_be():
    wcs = grid_wcs(sip=True)
    pixels = np.array([[20.0, 70.0], [90.0, 5.0]])
    sky = wcs.all_pix2world(pixels, 0).tolist()
    # The distortion folds over far outside, so half a degree off has no pixel.
    items = [
        BrightObject("circle", *place) for place in [*sky, (10.5, -3.5), (190.0, 4.0)]
    ]
    positions, _ = locate_bright_objects(items, wcs, (0, 0, 99, 99))
    np.testing.assert_allclose(positions[:2], pixels, atol=1e-4)
    assert np.isnan(positions[2:]).all()


def test_catalogue_goes_from_file_to_pixels(tmp_path):
    path = tmp_path / "bright.reg"
    path.write_text(REGIONS + "circle(10.0, -4.0, 0.0007) # ID: 3\n")
    [spans] = read_bright_regions(path, Grid((100, 53), grid_wcs()))
    assert spans == SpanSet.circle(50, 50, 5, within=(0, 0, 52, 99))
    path.write_text(REGIONS + "circle(10.0, -4.0, -0.0007) # ID: 3\n")
    with pytest.raises(
        InputError, match=r"bright.reg: bright object 0 \(id 3\): radius"
    ):
        read_bright_regions(path, Grid((100, 100), grid_wcs()))


def test_all_format_errors_are_counted_and_the_first_is_shown(tmp_path):
    path = tmp_path / "bright.reg"
    path.write_text(
        REGIONS
        + "circle(1, 2, 0.1) # ID: 1\nellipse(1, 2, 3) # ID: 2\ncircle(1, 2) # ID: 3\n"
    )
    message = r"bright.reg: 2 format errors, the first in line 4: 'ellipse\(1, 2, 3\)"
    with pytest.raises(RegionFormatError, match=message) as caught:
        read_bright_objects(path)
    assert caught.value.count == 2
    assert "expected 'circle(ra, dec, radius)" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "count", "message"),
    [
        ("box(1, 2, 3, 4, 30) # ID: 1", 1, r"1 format error, in line 3: .*a table can"),
        ("box(1, 2, 3) # ID: 1", None, "line 3: .*needs a width and a height"),
        ("circle(1dd, 2, 3) # ID: 1", None, "line 3: .*the unit of a number is d"),
        ("# Tract: x7", None, "line 3: '# Tract: x7': the tract must be a whole"),
    ],
)
def test_region_errors_name_the_line_and_what_is_expected(line, count, message):
    with pytest.raises(RegionFormatError, match=message) as caught:
        parse_regions(REGIONS + line + "\n")
    assert caught.value.count == count


def test_the_frame_must_be_named():
    with pytest.raises(RegionFormatError, match="there is no line 'wcs; fk5'"):
        parse_regions("circle(1, 2, 3) # ID: 1\n")


@given(
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
    radius=st.floats(1e-5, 3),
    number=st.integers(0, 10**6),
    unit=st.sampled_from(["", "d"]),
    gap=st.sampled_from([",", " ", ", ", " , "]),
)
def test_regions_are_read_as_they_were_written(ra, dec, radius, number, unit, gap):
    values = gap.join(f"{value!r}{unit}" for value in (ra, dec, radius))
    text = f"{REGIONS}circle({values}) # ID: {number}, mag: 7.5\n"
    [item], metadata = parse_regions(text)
    assert (item.ra, item.dec, item.radius, item.mag) == (ra, dec, radius, 7.5)
    assert item.id == number % 10
    assert metadata == {"tract": 12}


def catalogue(**columns):
    """A table of a circle and a turned box."""
    base = {
        "kind": ["circle", "box"],
        "ra": [10.0, 10.001],
        "dec": [-4.0, -3.999],
        "radius": [0.002, np.nan],
        "width": [np.nan, 0.003],
        "height": [np.nan, 0.001],
        "angle": [0.0, 30.0],
    }
    return {
        name: value for name, value in (base | columns).items() if value is not None
    }


EXPECTED = [
    BrightObject("circle", 10.0, -4.0, radius=0.002),
    BrightObject("box", 10.001, -3.999, width=0.003, height=0.001, angle=30.0),
]


def assert_objects(objects, expected):
    for item, other in zip(objects, expected, strict=True):
        assert (item.kind, item.id) == (other.kind, other.id)
        for name in ("ra", "dec", "radius", "width", "height", "angle", "mag"):
            np.testing.assert_allclose(getattr(item, name), getattr(other, name))


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "fits.gz"])
def test_tables_are_read_with_and_without_units(tmp_path, suffix):
    path = tmp_path / f"bright.{suffix}"
    Table(catalogue(), meta={"AUTHOR": "someone"}).write(path)
    objects, metadata = read_bright_objects(path)
    assert_objects(objects, EXPECTED)
    assert metadata["author"] == "someone"

    columns = catalogue()
    units_of = {"ra": "rad", "dec": "deg", "radius": "arcsec", "width": "arcmin"}
    units_of |= {"height": "arcsec", "angle": "rad"}
    for name, unit in units_of.items():
        columns[name] = (np.array(columns[name]) * units.deg).to(unit)
    QTable(columns).write(path, overwrite=True)
    assert_objects(read_bright_objects(path)[0], EXPECTED)


def test_tables_are_known_by_their_content(tmp_path):
    for form in ("fits", "ascii.ecsv"):
        path = tmp_path / f"catalogue-{form}"
        Table(catalogue()).write(path, format=form)
        assert_objects(read_bright_objects(path)[0], EXPECTED)


@pytest.mark.parametrize("suffix", ["ecsv", "fits"])
def test_optional_columns_and_other_names_are_taken(tmp_path, suffix):
    path = tmp_path / f"bright.{suffix}"
    columns = catalogue(kind=None, angle=None, Type=["circle", "box"], ID=["a", "b"])
    columns["mag"] = MaskedColumn([7.5, 1.0], mask=[False, True])
    Table(columns).write(path)
    first, second = read_bright_objects(path)[0]
    assert (first.id, first.mag, second.id, second.angle) == ("a", 7.5, "b", 0.0)
    assert np.isnan(second.mag)


def test_columns_that_no_row_uses_may_be_missing(tmp_path):
    path = tmp_path / "bright.ecsv"
    names = ("kind", "ra", "dec", "radius")
    Table({name: catalogue()[name][:1] for name in names}).write(path)
    assert_objects(read_bright_objects(path)[0], EXPECTED[:1])
    Table({name: catalogue()[name][:0] for name in names[:3]}).write(
        path, overwrite=True
    )
    assert read_bright_objects(path)[0] == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": ["circle", "star"]}, "row 2: kind is 'star'; expected 'circle' or"),
        ({"kind": None}, "no column kind, expected 'circle' or 'box' in each row"),
        ({"ra": None}, "there is no column ra, expected degrees in each row; the col"),
        ({"radius": None}, "no column radius, expected degrees"),
        ({"height": None}, "no column height, expected degrees"),
        ({"radius": [np.nan, 1.0]}, "row 1: radius is nan; expected degrees from 0 to"),
        (
            {"width": [0.1, -0.2]},
            "row 2: width is -0.2; expected degrees from 0 to 180",
        ),
        ({"angle": [0.0, np.nan]}, "row 2: angle is nan; expected degrees from -360"),
        ({"ra": [400.0, 1.0]}, "row 1: ra is 400; expected degrees from -180 to 360"),
        ({"dec": [4.0, -91.0]}, "row 2: dec is -91; expected degrees from -90 to 90"),
        ({"dec": [4.0, 5.0] * units.m}, "column dec cannot be taken as numbers of deg"),
        ({"ra": ["1:2:3", "4:5:6"]}, "column ra cannot be taken as numbers of degrees"),
        ({"mag": ["faint", "7"]}, "column mag cannot be taken as numbers: could"),
        ({"dec": np.zeros((2, 3))}, r"it holds arrays, its shape is \(2, 3\)"),
    ],
)
@pytest.mark.parametrize("suffix", ["ecsv", "fits"])
def test_bad_entries_of_tables_are_named(tmp_path, columns, message, suffix):
    path = tmp_path / f"bright.{suffix}"
    QTable(catalogue(**columns)).write(path)
    with pytest.raises(InputError, match=rf"bright.{suffix}.*{message}"):
        read_bright_objects(path)


def test_a_masked_size_is_a_missing_size(tmp_path):
    path = tmp_path / "bright.ecsv"
    masked = MaskedColumn([0.1, 0.1], mask=[True, False])
    Table(catalogue(radius=masked)).write(path)
    with pytest.raises(InputError, match="row 1: radius is nan"):
        read_bright_objects(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.fits", b"SIMPLE  = nothing", "no.fits cannot be read as a table"),
        ("no.ecsv", b"# %ECSV 1.0\n", "no.ecsv cannot be read as a table"),
        ("no.reg", b"\xff\xfe\x00\x80", "no.reg is not text; expected a region file"),
    ],
)
def test_files_that_are_no_catalogue_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_bright_objects(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.reg cannot be read: No such file"):
        read_bright_objects(tmp_path / "none.reg")
