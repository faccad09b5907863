"""The point-spread function of a coadd of images with WCS, and its grids in FITS."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.coadd_psfs import CoaddPsf, NoInputsError, PsfInput
from jaxcoadd.inputs import DetectorInput, Polygon, PolygonError
from jaxcoadd.inputs.regions import (
    InputRegion,
    NoAveragePositionError,
    affine_maps,
    average_position,
    source_positions,
)
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.psf_grids import psf_grid_hdus, read_psf_grid
from jaxcoadd.psfs import LargeTransformError, PsfGrid, make_stamp_psf
from jaxcoadd.resampling import Lanczos
from tests.inputs import SEEDS, star_polygon

# Each kernel and size compiles anew.
pytestmark = pytest.mark.slow

SCALE = 0.2 / 3600
BOX = (0, 0, 199, 99)
COVARIANCE = np.array([[4.5, 0.5], [0.5, 4.0]])


def tan_wcs(centre=(100.0, 50.0), *, angle=0.0, scale=SCALE, sky=(30.0, -20.0)):
    """Make a TAN WCS that shows a position of the sky at a pixel."""
    cosine, sine = np.cos(angle), np.sin(angle)
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(centre) + 1
    wcs.wcs.crval = sky
    wcs.wcs.cd = scale * np.array([[-cosine, sine], [sine, cosine]])
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.set()
    return wcs


def sip_wcs():
    """Make a WCS with distortions of some pixels."""
    header = tan_wcs(angle=0.3).to_header(relax=True)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["A_ORDER"] = header["B_ORDER"] = 3
    header["A_2_0"], header["A_0_3"] = 2e-5, 3e-8
    header["B_1_1"], header["B_3_0"] = -1e-5, 2e-8
    return WCS(header)


def gaussian(covariance, shape=(35, 35)):
    y, x = np.indices(shape) - np.array(shape)[:, None, None] // 2
    a, b, d = np.linalg.inv(covariance)[[0, 0, 1], [0, 1, 1]]
    found = np.exp(-(a * x**2 + 2 * b * x * y + d * y**2) / 2)
    return found / found.sum()


def gaussian_input(wcs, *, box=BOX, polygon=None, covariance=COVARIANCE, **more):
    psf = make_stamp_psf(gaussian(covariance))
    return PsfInput(psf, InputRegion(wcs, box, polygon), **more)


# Geometry.


def test_box_begins_and_ends_half_a_pixel_outside():
    region = InputRegion(tan_wcs(), BOX)
    positions = np.array([[-0.5, -0.5], [199.5, 50], [199.4, 99.4], [50, -0.51]])
    assert region.contains(*positions.T).tolist() == [True, False, True, False]
    assert not region.contains(np.nan, np.nan)


def test_edge_of_a_polygon_does_not_belong_to_it():
    polygon = Polygon([(10, 10), (50, 10), (50, 50), (10, 50)])
    region = InputRegion(tan_wcs(), BOX, polygon)
    positions = np.array([[30, 30], [10, 30], [10.001, 30], [60, 30], [np.nan, 3]])
    assert region.contains(*positions.T).tolist() == [True, False, True, False, False]


@given(seed=SEEDS, cut=st.booleans())
def test_a_region_is_used_where_its_detector_is(seed, cut):
    polygon = star_polygon(seed) if cut else None
    x, y = np.random.default_rng(seed).uniform(-20, 220, (2, 300))
    region = InputRegion(tan_wcs(), BOX, polygon)
    row = DetectorInput(1, 1, 1, BOX, tan_wcs(), polygon=polygon)
    np.testing.assert_array_equal(region.contains(x, y), row.contains(x, y))
    within = InputRegion(tan_wcs(), BOX).contains(x, y)
    expected = within & polygon.contains(x, y) if polygon else within
    np.testing.assert_array_equal(region.contains(x, y), expected)


def test_vertices_alone_are_no_polygon_of_a_region():
    corners = np.array([[10, 10], [50, 10], [50, 50]])
    with pytest.raises(PolygonError, match=r"is a ndarray; make it an inputs\.Polygon"):
        InputRegion(tan_wcs(), BOX, corners)


def test_maps_between_distorted_images_are_exact():
    wcs, coadd = sip_wcs(), tan_wcs(centre=(300.0, 200.0))
    positions = np.array([[300.0, 200.0], [250.5, 280.25], [380.0, 150.0]])
    maps = affine_maps(coadd, wcs, positions)
    found = source_positions(coadd, wcs, positions)
    sky = wcs.all_pix2world(found, 0)
    # Positions on the sky come in degrees: 1e-9 pixels.
    back = coadd.all_world2pix(sky, 0)
    np.testing.assert_allclose(back, positions, rtol=0, atol=1e-8)
    value = np.einsum("pij,pj->pi", maps[:, :, :2], positions) + maps[:, :, 2]
    np.testing.assert_allclose(value, found, rtol=0, atol=1e-8)
    # The distortion alone, as derivatives of its polynomials.
    u, v = (found - [100.0, 50.0]).T
    jacobian = np.array(
        [[1 + 4e-5 * u, 9e-8 * v**2], [-1e-5 * v + 6e-8 * u**2, 1 - 1e-5 * u]]
    )
    linear = tan_wcs(angle=0.3)
    undistorted = linear.wcs_world2pix(sky, 0)
    # The same map without distortion, at the same place on the sky.
    plain = affine_maps(coadd, linear, coadd.all_world2pix(sky, 0))[:, :, :2]
    expected = np.linalg.inv(np.moveaxis(jacobian, -1, 0)) @ plain
    assert np.abs(undistorted - found).max() > 0.05
    np.testing.assert_allclose(maps[:, :, :2], expected, rtol=0, atol=1e-9)


def test_other_side_of_the_sky_is_not_reached():
    there = tan_wcs(sky=(210.0, 20.0))
    positions = np.array([[100.0, 50.0], [0.0, 0.0], [np.nan, 1.0]])
    assert np.all(np.isnan(source_positions(tan_wcs(), there, positions)))
    assert np.all(np.isnan(affine_maps(tan_wcs(), there, positions)))


def test_inputs_are_left_out_of_the_average_until_it_is_covered():
    coadd = tan_wcs(centre=(500.0, 50.0))
    left = InputRegion(tan_wcs(centre=(500.0, 50.0)), BOX)
    right = InputRegion(tan_wcs(centre=(-300.0, 50.0)), BOX)
    middles = np.array([[100.0, 50.0], [100.0, 50.0]])
    found = average_position(coadd, [left, right], middles, np.array([3.0, 1.0]))
    np.testing.assert_allclose(found, [100, 50], rtol=0, atol=1e-7)
    found = average_position(coadd, [left, right], middles, np.array([1.0, 3.0]))
    np.testing.assert_allclose(found, [900, 50], rtol=0, atol=1e-7)
    outside = np.array([[-500.0, 50.0]])
    with pytest.raises(NoAveragePositionError, match="lies in any of them"):
        average_position(coadd, [left], outside, np.ones(1))


# The point-spread function.


def test_coadd_of_one_image_on_its_own_grid_has_its_psf(precision):
    coadd = CoaddPsf(tan_wcs(), [gaussian_input(tan_wcs(), weight=7.0)])
    found = coadd.kernel_at((100.0, 50.0))
    assert found.origin == (-17, -17)
    # Positions come from degrees, 1e-9 pixels; the stamp has 25 and a kernel of 6.
    allowed = 1e-8 if precision == 64 else 1e-6
    np.testing.assert_allclose(found.pixels, gaussian(COVARIANCE), rtol=0, atol=allowed)
    moved = coadd.image_at((120.3, 40.6))
    assert moved.origin == (120 - 17, 41 - 17)
    centre = np.einsum("yx,ayx->a", moved.pixels, np.indices(moved.pixels.shape))
    # Lanczos' kernel of order 5, made to sum 1, moves centroids up to 0.011 too little.
    expected = [120.3, 40.6]
    np.testing.assert_allclose(
        centre[::-1] + moved.origin, expected, rtol=0, atol=0.011
    )


@pytest.mark.slow
@pytest.mark.parametrize("order, allowed", [(3, 4e-3), (5, 2.5e-3)])
def test_coadd_of_gaussians_has_the_mean_of_their_analytic_warps(order, allowed):
    random = np.random.default_rng(order)
    coadd = tan_wcs(centre=(200.0, 150.0))
    inputs, expected = [], 0
    for _ in range(40):
        angle, centre = random.uniform(0, 2 * np.pi), random.uniform(60, 70, 2)
        covariance = COVARIANCE * random.uniform(1, 2)
        wcs = tan_wcs(centre=centre, angle=angle)
        weight = random.uniform(0.5, 2)
        inputs.append(gaussian_input(wcs, covariance=covariance, weight=weight))
        inverse = np.linalg.inv(
            affine_maps(coadd, wcs, np.full((1, 2), 190.0))[0, :, :2]
        )
        expected = expected + weight * gaussian(
            inverse @ covariance @ inverse.T, (59, 59)
        )
    psf = CoaddPsf(coadd, inputs, Lanczos(order))
    found = psf.kernels(np.array([[195.0, 150.0]]), size=(59, 59))
    expected = expected / expected.sum()
    error = np.abs(found.pixels[0] - expected).max() / expected.max()
    # Below the error of the kernel for one input, 4e-3 an axis and more: part of it
    # has either sign.
    assert error < allowed


def test_positions_see_the_inputs_that_cover_them(precision):
    left, right = tan_wcs(), tan_wcs(centre=(-50.0, 50.0))
    wide = 1.5 * COVARIANCE
    inputs = [gaussian_input(left), gaussian_input(right, covariance=wide, weight=3.0)]
    coadd = CoaddPsf(tan_wcs(), inputs)
    positions = np.array([[50.0, 50.0], [180.0, 50.0], [300.0, 50.0], [500.0, 50.0]])
    found = coadd.kernels(positions, size=(35, 35))
    assert found.has_input.tolist() == [True, True, True, False]
    first, second = gaussian(COVARIANCE), gaussian(wide)
    allowed = 1e-8 if precision == 64 else 1e-6
    for pixels, expected in zip(
        found.pixels, [first, 0.25 * first + 0.75 * second, second], strict=False
    ):
        np.testing.assert_allclose(pixels, expected, rtol=0, atol=allowed)
    assert np.all(np.isnan(found.pixels[3]))
    alone = coadd.kernel_at((180.0, 50.0))
    np.testing.assert_allclose(alone.pixels, found.pixels[1], rtol=0, atol=allowed)


# Grids.


@pytest.fixture
def grid():
    inputs = [gaussian_input(tan_wcs(), box=(0, 0, 99, 199))]
    return CoaddPsf(tan_wcs(), inputs).grid((200, 150), cell_size=80, size=(21, 21))


def test_grid_has_one_stamp_a_cell(grid):
    assert grid.stamps.shape == (3, 2, 21, 21)
    assert grid.x.tolist() == [39.5, 114.5]
    assert grid.y.tolist() == [39.5, 119.5, 179.5]
    assert grid.has_input.tolist() == [[True, False]] * 3
    assert np.all(np.isnan(grid.stamps[:, 1]))
    np.testing.assert_allclose(grid.stamps[:, 0].sum(axis=(1, 2)), 1, atol=1e-6)


def write_hdus(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grid_comes_back_from_a_file_bit_for_bit(grid, dtype, tmp_path):
    written = PsfGrid(
        grid.stamps.astype(dtype), grid.y, grid.x + 1 / 3, grid.has_input, 80
    )
    found = read_psf_grid(write_hdus(tmp_path / "p.fits", *psf_grid_hdus(written)))
    assert found.stamps.dtype == dtype
    for name in ("stamps", "y", "x", "has_input"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
    assert found.cell_size == 80


def test_files_without_a_whole_grid_are_refused(grid, tmp_path):
    path = tmp_path / "p.fits"
    image, table = psf_grid_hdus(grid)
    with pytest.raises(InputError, match=r"p\.fits has no HDU PSF;"):
        read_psf_grid(write_hdus(path))
    with pytest.raises(InputError, match=r"p\.fits has no HDU PSF_CELLS;"):
        read_psf_grid(write_hdus(path, image))
    short = fits.BinTableHDU(table.data[:3], name="PSF_CELLS")
    with pytest.raises(InputError, match="3 by 2 cells of PSF in turn, and has 3 rows"):
        read_psf_grid(write_hdus(path, image, short))
    del image.header["CELLSIZE"]
    with pytest.raises(InputError, match="CELLSIZE None"):
        read_psf_grid(write_hdus(path, image, table))
    with pytest.raises(InputError, match="does not exist"):
        read_psf_grid(tmp_path / "none.fits")


# Refusals.


def test_positions_and_inputs_that_have_no_psf_are_refused():
    with pytest.raises(ValueError, match="has no inputs; give at least one"):
        CoaddPsf(tan_wcs(), [])
    coadd = CoaddPsf(tan_wcs(), [gaussian_input(tan_wcs())])
    with pytest.raises(NoInputsError, match=r"none of the 1 inputs covers .*\(300, 50"):
        coadd.kernel_at((300.0, 50.0))
    coarse = gaussian_input(tan_wcs(scale=300 * SCALE))
    with pytest.raises(LargeTransformError, match="300 pixels of the coadd"):
        CoaddPsf(tan_wcs(), [coarse]).kernel_at((100.0, 50.0))


def test_psf_of_sum_zero_is_refused_and_weights_of_sum_zero_are_not():
    zero = np.stack([gaussian(COVARIANCE)] * 2)
    psf = make_stamp_psf(zero, [[1, 0, 0], [-1, 0, 0]])
    empty = PsfInput(psf, InputRegion(tan_wcs(), BOX))
    with pytest.raises(ValueError, match="has the sum 0 there"):
        CoaddPsf(tan_wcs(), [empty]).kernel_at((100.0, 50.0))
    cancelling = [gaussian_input(tan_wcs(), weight=w) for w in (1.0, -1.0)]
    found = CoaddPsf(tan_wcs(), cancelling).kernel_at((100.0, 50.0))
    assert not np.isfinite(found.pixels).any()
