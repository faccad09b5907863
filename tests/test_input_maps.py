"""Maps of a coadd's inputs: on the sky, in pixels and in files."""

import dataclasses
import sys
import warnings

import hpgeom
import numpy as np
import pytest
from astropy.io import fits
from healsparse import HealSparseMap
from hypothesis import given

from jaxcoadd.inputs.input_bits import (
    clear_input_bits,
    count_inputs,
    detector_pixels,
    make_input_bits,
)
from jaxcoadd.inputs.input_map import (
    allow_fine_coverage,
    clear_bad_visits,
    count_bad_pixels,
    healpix_pixel_ratio,
    make_input_map,
)
from jaxcoadd.inputs.polygons import Polygon, box_polygon
from jaxcoadd.inputs.records import DetectorInput
from jaxcoadd.io.errors import InputError, OutputError
from jaxcoadd.io.grids import Grid
from jaxcoadd.io.input_maps import (
    read_input_bits,
    read_input_map,
    write_input_bits,
    write_input_map,
)
from tests.inputs import (
    COADD_BOX,
    COADD_WCS,
    DETECTOR_BOX,
    SEEDS,
    draw_detectors,
    make_wcs,
)

DEFAULT = {"nside_coverage": 32}


@pytest.fixture(scope="module")
def fine():
    """Draw detectors, and their map with HEALPix pixels smaller than pixels."""
    rows = draw_detectors(7)
    with allow_fine_coverage():
        found = make_input_map(rows, COADD_WCS, COADD_BOX, nside=2**20)
    return rows, found


def covers(row, x, y):
    """Tell which positions of the coadd are on a detector."""
    sky = COADD_WCS.pixel_to_world_values(x, y)
    return row.contains(*row.wcs.world_to_pixel_values(*sky))


def convex(row):
    """Return a detector whose polygon is convex."""
    if row.polygon is None:
        return row
    shape = row.polygon._shape.convex_hull
    return dataclasses.replace(row, polygon=Polygon(np.asarray(shape.exterior.coords)))


@given(seed=SEEDS)
def test_bits_are_the_detectors_that_cover_the_centre(seed):
    rows, (y, x) = draw_detectors(seed), np.indices((100, 120))
    bits = make_input_bits(rows, COADD_WCS, COADD_BOX)
    assert bits.shape == (1, 100, 120) and bits.dtype == np.uint32
    coverage = np.array([covers(row, x, y) for row in rows])
    for k, expected in enumerate(coverage):
        np.testing.assert_array_equal(bits[0] >> k & 1, expected)
    np.testing.assert_array_equal(count_inputs(bits), coverage.sum(axis=0))


def test_many_inputs_have_several_planes():
    rows = draw_detectors(1, 70)
    bits = make_input_bits(rows, COADD_WCS, COADD_BOX)
    assert bits.shape == (3, 100, 120)
    for k in (0, 31, 32, 63, 69):
        plane = bits[k // 32] >> np.uint32(k % 32) & 1
        expected = detector_pixels(rows[k], COADD_WCS, COADD_BOX)
        np.testing.assert_array_equal(plane, expected)
    counts = count_inputs(bits)
    total = sum(detector_pixels(row, COADD_WCS, COADD_BOX).sum() for row in rows)
    assert counts.sum() == total


def test_no_inputs_have_no_planes():
    bits = make_input_bits([], COADD_WCS, COADD_BOX)
    assert bits.shape == (0, 100, 120)
    assert not count_inputs(bits).any() and count_inputs(bits).shape == (100, 120)


def test_a_polygon_beyond_the_box_adds_nothing():
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=COADD_WCS)
    wide = dataclasses.replace(row, polygon=box_polygon((-90, -90, 300, 300)))
    none = dataclasses.replace(row, polygon=Polygon([]))
    expected = detector_pixels(row, COADD_WCS, COADD_BOX)
    assert expected.sum() == 80 * 60
    np.testing.assert_array_equal(detector_pixels(wide, COADD_WCS, COADD_BOX), expected)
    assert not detector_pixels(none, COADD_WCS, COADD_BOX).any()


def test_a_detector_on_the_other_side_of_the_sky_covers_nothing():
    far = make_wcs((5, 5), crval=(210.0, 20.0))
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=far)
    assert not detector_pixels(row, COADD_WCS, COADD_BOX).any()


def test_bad_pixels_of_a_visit_lose_its_bits_alone():
    rows = draw_detectors(7)
    bits = make_input_bits(rows, COADD_WCS, COADD_BOX)
    bad = np.zeros((100, 120), bool)
    bad[20:60] = True
    cleared = clear_input_bits(bits, rows, {1: bad, 99: bad})
    expected = np.where(bad, bits[0] & ~np.uint32(0b01100), bits[0])
    np.testing.assert_array_equal(cleared[0], expected)
    with pytest.raises(ValueError, match=r"visit 1 is \(3, 3\); expected \(100, 120\)"):
        clear_input_bits(bits, rows, {1: bad[:3, :3]})


def test_the_map_is_the_image_of_bits(fine):
    rows, found = fine
    bits = make_input_bits([convex(row) for row in rows], COADD_WCS, COADD_BOX)
    pixels = found.valid_pixels
    values = found.get_values_pix(pixels)[:, 0]
    x, y = COADD_WCS.world_to_pixel_values(*hpgeom.pixel_to_angle(2**20, pixels))
    inside = (-0.5 < x) & (x < 119.5) & (-0.5 < y) & (y < 99.5)
    assert inside.all()
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(values >> k & 1, covers(convex(row), x, y))
    # As many HEALPix pixels as the area in pixels has, but for the outlines.
    ratio = healpix_pixel_ratio(2**20, COADD_WCS, COADD_BOX)
    counted = np.bitwise_count(values).sum() * ratio
    np.testing.assert_allclose(counted, count_inputs(bits).sum(), rtol=0.02)


def test_the_metadata_name_each_bit(fine):
    rows, found = fine
    assert found.is_wide_mask_map and found.wide_mask_maxbits >= len(rows)
    assert len(found.metadata) == 3 * len(rows)
    for k, row in enumerate(rows):
        cards = [found.metadata[f"B{k:04d}{end}"] for end in ("CCD", "VIS", "WT")]
        assert cards == [row.detector, row.visit, row.weight]


@pytest.mark.parametrize(("scale", "limit"), [(0.2, 518.67), (0.168, 735.07)])
def test_the_limit_is_half_a_healpix_pixel(scale, limit):
    wcs = make_wcs((2000, 2000), scale=scale)
    ratio = healpix_pixel_ratio(32768, wcs, (0, 0, 4000, 4000))
    assert round(0.5 * ratio, 2) == limit


@given(seed=SEEDS)
def test_every_bad_pixel_is_counted_once(seed):
    bad = np.random.default_rng(seed).random((100, 120)) < 0.3
    pixels, counts = count_bad_pixels(bad, COADD_WCS, COADD_BOX)
    assert counts.sum() == bad.sum() and (np.diff(pixels) > 0).all()
    nothing = count_bad_pixels(np.zeros_like(bad), COADD_WCS, COADD_BOX)
    assert len(nothing[0]) == len(nothing[1]) == 0


def test_a_visit_is_lost_where_too_many_pixels_are_bad():
    rows = [
        DetectorInput(k, k, 0, (0, 0, 399, 399), wcs=make_wcs((200, 200)))
        for k in range(2)
    ]
    wcs, box = make_wcs((200, 200)), (0, 0, 399, 399)
    found = make_input_map(rows, wcs, box, **DEFAULT)
    bad = np.zeros((400, 400), bool)
    bad[:200] = True
    cleared = clear_bad_visits(found, rows, {0: bad, 5: bad}, wcs, box)
    pixels = found.valid_pixels
    values = cleared.get_values_pix(pixels)[:, 0]
    counted = dict(zip(*count_bad_pixels(bad, wcs, box), strict=True))
    expected = [2 if counted.get(p, 0) > 518.667 else 3 for p in pixels.tolist()]
    np.testing.assert_array_equal(values, expected)
    assert {2, 3} == set(values.tolist())
    # The map that was given is as it was.
    assert (found.get_values_pix(pixels) == 3).all()
    assert cleared.metadata == found.metadata
    unharmed = clear_bad_visits(found, rows, {0: bad}, wcs, box, min_coverage=2.0)
    assert (unharmed.get_values_pix(pixels) == 3).all()


def test_a_detector_with_many_corners_may_lie_across_longitude_zero():
    wcs = make_wcs((60, 50), crval=(0.0, 10.0))
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = Polygon(np.stack([40 + 25 * np.cos(angle), 30 + 25 * np.sin(angle)], -1))
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=wcs, polygon=circle)
    with allow_fine_coverage():
        found = make_input_map([row], wcs, COADD_BOX, nside=2**20)
    ratio = healpix_pixel_ratio(2**20, wcs, COADD_BOX)
    np.testing.assert_allclose(len(found.valid_pixels) * ratio, circle.area, rtol=0.05)


def test_a_detector_with_an_empty_polygon_has_no_pixels():
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=COADD_WCS, polygon=Polygon([]))
    found = make_input_map([row], COADD_WCS, COADD_BOX, **DEFAULT)
    assert not len(found.valid_pixels)


def test_what_makes_no_map_is_refused(monkeypatch):
    row = DetectorInput(9, 1, 1, DETECTOR_BOX)
    with pytest.raises(ValueError, match="needs one detector or more"):
        make_input_map([], COADD_WCS, COADD_BOX)
    for make in (make_input_map, make_input_bits):
        with pytest.raises(ValueError, match="id 9 has no WCS; give it one"):
            make([row], COADD_WCS, COADD_BOX)
    with pytest.raises(ValueError, match=r"is \(2, 2\); the box has \(100, 120\)"):
        count_bad_pixels(np.ones((2, 2), bool), COADD_WCS, COADD_BOX)
    monkeypatch.setitem(sys.modules, "healsparse", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxcoadd\[maps\]'"):
        make_input_map([row], COADD_WCS, COADD_BOX)


def test_a_map_comes_back_from_its_file(fine, tmp_path):
    rows, found = fine
    path = tmp_path / "map.fits"
    write_input_map(path, found)
    back = read_input_map(path)
    pixels = found.valid_pixels
    np.testing.assert_array_equal(back.valid_pixels, pixels)
    np.testing.assert_array_equal(
        back.get_values_pix(pixels), found.get_values_pix(pixels)
    )
    assert back.metadata == found.metadata
    assert fits.getval(path, "B0004CCD", "SPARSE") == rows[4].detector
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.fits"]


def test_a_map_replaces_a_file_only_if_it_may(fine, tmp_path):
    path = tmp_path / "map.fits"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists; name another file"):
        write_input_map(path, fine[1])
    assert path.read_bytes() == b"precious"
    write_input_map(path, fine[1], overwrite=True)
    assert len(read_input_map(path).valid_pixels)


def test_a_damaged_file_is_refused(fine, tmp_path):
    path = tmp_path / "map.fits"
    write_input_map(path, fine[1])
    path.write_bytes(path.read_bytes()[:-6000])
    with warnings.catch_warnings(), pytest.raises(InputError, match="is damaged"):
        warnings.simplefilter("ignore")
        read_input_map(path)


def test_a_file_without_such_a_map_is_refused(tmp_path):
    path = tmp_path / "other.fits"
    with pytest.raises(InputError, match="is not there"):
        read_input_map(path)
    path.write_bytes(b"nonsense" * 500)
    with pytest.raises(InputError, match="is not a map of inputs"):
        read_input_map(path)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 3)))]).writeto(
        path, overwrite=True
    )
    with pytest.raises(InputError, match="is not a map of inputs"):
        read_input_map(path)
    integers = HealSparseMap.make_empty(32, 128, np.int32)
    integers.write(str(path), clobber=True)
    with pytest.raises(InputError, match="expected a mask with a bit an input"):
        read_input_map(path)


def test_an_image_of_bits_is_read_back_with_more_inputs_than_a_plane_has(tmp_path):
    rows = draw_detectors(7) * 8
    bits = make_input_bits(rows, COADD_WCS, COADD_BOX)
    # The last bit of a plane is the sign in the file.
    bits[0, 0, 0] = 1 << 31
    path = tmp_path / "bits.fits"
    write_input_bits(path, bits, rows, Grid(bits.shape[1:], COADD_WCS))
    found = read_input_bits(path)
    assert found.shape[0] == 2 and found.dtype == np.uint32
    np.testing.assert_array_equal(found, bits)
    header = fits.getheader(path)
    assert header["B0039CCD"] == rows[39].detector
    assert header["B0039VIS"] == rows[39].visit
    with pytest.raises(OutputError, match="exists"):
        write_input_bits(path, bits, rows, Grid(bits.shape[1:], COADD_WCS))
