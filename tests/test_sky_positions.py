"""Positions of pixels in another image, by the sky."""

import numpy as np
import pytest
from astropy.wcs import WCS, Sip
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd import sky

SHAPE = (25, 32)


def grid(turn=0.0, scale=0.2, crval=(150.0, 2.0), kind="TAN", names=("RA---", "DEC--")):
    wcs = WCS(naxis=2)
    c, s = np.cos(turn) * scale / 3600, np.sin(turn) * scale / 3600
    wcs.wcs.ctype = [name + kind for name in names]
    wcs.wcs.crpix, wcs.wcs.crval = (20.5, 17.25), crval
    wcs.wcs.cd = [[-c, s], [s, c]]
    wcs.wcs.radesys = "ICRS"
    return wcs


class Shifted:
    """Coordinates of another kind: not a WCS of astropy, but with its two functions."""

    world_axis_physical_types = ("pos.eq.ra", "pos.eq.dec")
    world_axis_units = ("deg", "deg")

    def __init__(self, wcs, shift):
        self.wcs_, self.shift = wcs, shift

    def pixel_to_world_values(self, x, y):
        return self.wcs_.pixel_to_world_values(x + self.shift, y)

    def world_to_pixel_values(self, *world):
        x, y = self.wcs_.world_to_pixel_values(*world)
        return x - self.shift, y


def pixels(shape):
    return np.mgrid[-1 : shape[0], -1 : shape[1]].astype(float)


@pytest.mark.parametrize("spacing", [0, 1, 7, 10, 100])
def test_a_grid_is_where_it_is_itself(spacing):
    found = sky.pixel_coordinates(grid(), grid(), SHAPE, spacing=spacing)
    np.testing.assert_allclose(found, pixels(SHAPE), atol=1e-8)


def test_positions_are_those_of_astropy():
    source, target = grid(0.4), grid(scale=0.25)
    y, x = pixels(SHAPE)
    expected = source.all_world2pix(*target.all_pix2world(x, y, 0), 0)
    found = sky.pixel_coordinates(source, target, SHAPE, spacing=0)
    np.testing.assert_allclose(found, expected[::-1], atol=1e-8)


@given(seed=st.integers(0, 1000), spacing=st.integers(1, 12))
def test_interpolation_is_exact_for_affine_maps(seed, spacing):
    a, b, c, d, tx, ty = np.random.default_rng(seed).uniform(-2, 2, 6)
    mapping = lambda x, y: (a * x + b * y + tx, c * x + d * y + ty)  # noqa: E731
    found = sky.mapped_coordinates(mapping, SHAPE, spacing=spacing)
    expected = sky.mapped_coordinates(mapping, SHAPE, spacing=0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_interpolation_is_exact_at_nodes_and_linear_between():
    mapping = lambda x, y: (x + 1e-3 * x**2 * y, y)  # noqa: E731
    found = sky.mapped_coordinates(mapping, (25, 32))[1]
    exact = sky.mapped_coordinates(mapping, (25, 32), spacing=0)[1]
    rows, columns = [0, 10, 20, 25], [0, 10, 20, 30, 32]
    np.testing.assert_array_equal(
        found[np.ix_(rows, columns)], exact[np.ix_(rows, columns)]
    )
    middle = (exact[10, 10] + exact[10, 20] + exact[20, 10] + exact[20, 20]) / 4
    assert found[15, 15] == pytest.approx(middle, abs=1e-12)
    assert found[0, 31] == pytest.approx((exact[0, 30] + exact[0, 32]) / 2, abs=1e-12)


def test_origins_shift_pixels():
    found = sky.pixel_coordinates(
        grid(), grid(), SHAPE, source_origin=(100, 30), target_origin=(120, 35)
    )
    np.testing.assert_allclose(found[0], pixels(SHAPE)[0] + 5, atol=1e-8)
    np.testing.assert_allclose(found[1], pixels(SHAPE)[1] + 20, atol=1e-8)


def test_a_distortion_is_inverted_to_a_billionth_of_a_pixel():
    source = grid(kind="TAN-SIP")
    a, b = np.zeros((2, 4, 4))
    a[2, 0], b[0, 2], a[1, 1] = 2e-4, 1e-4, -1e-4
    source.sip = Sip(a, b, None, None, source.wcs.crpix)
    found = sky.pixel_coordinates(source, grid(0.1), SHAPE, spacing=0)
    back = source.all_pix2world(found[1], found[0], 0)
    y, x = pixels(SHAPE)
    again = grid(0.1).all_world2pix(*back, 0)
    np.testing.assert_allclose(again, [x, y], atol=1e-8)


def test_a_distortion_of_kind_tpv_works():
    header = grid().to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    header.update(PV1_1=1.001, PV2_1=0.999, PV1_4=0.5)
    source = WCS(header)
    found = sky.pixel_coordinates(source, grid(), SHAPE, spacing=0)
    y, x = pixels(SHAPE)
    world = source.all_pix2world(found[1], found[0], 0)
    np.testing.assert_allclose(grid().all_world2pix(*world, 0), [x, y], atol=1e-6)


def test_anything_with_the_two_functions_will_do():
    found = sky.pixel_coordinates(Shifted(grid(), 3.0), grid(), SHAPE)
    np.testing.assert_allclose(found[1], pixels(SHAPE)[1] - 3, atol=1e-8)
    found = sky.pixel_coordinates(grid(), Shifted(grid(), 3.0), SHAPE)
    np.testing.assert_allclose(found[1], pixels(SHAPE)[1] + 3, atol=1e-8)


def test_positions_that_do_not_project_are_nan():
    behind = grid(crval=(330.0, -2.0))
    assert np.isnan(sky.pixel_coordinates(behind, grid(), SHAPE)).all()


def test_distortion_that_does_not_converge_is_nan():
    source = grid(kind="TAN-SIP")
    a, b = np.zeros((2, 4, 4))
    a[2, 0] = 0.05
    source.sip = Sip(a, b, None, None, source.wcs.crpix)
    found = sky.pixel_coordinates(source, grid(), SHAPE, spacing=0)
    assert np.isnan(found).any() and np.isfinite(found).any()
    good = np.isfinite(found[0])
    world = source.all_pix2world(found[1][good], found[0][good], 0)
    y, x = (a[good] for a in pixels(SHAPE))
    np.testing.assert_allclose(grid().all_world2pix(*world, 0), [x, y], atol=1e-6)


def test_a_fold_is_taken_out():
    fold = lambda x, y: (np.where(x < 20, x, 40 - x), y)  # noqa: E731
    found = sky.mapped_coordinates(fold, SHAPE, spacing=0)
    assert np.isfinite(found[:, 1:, 1:22]).all()
    assert np.isnan(found[:, 1:, 22:]).all()


def test_pixels_without_area_are_taken_out():
    flat = lambda x, y: (np.minimum(x, 20.0), y)  # noqa: E731
    found = sky.mapped_coordinates(flat, SHAPE, spacing=0)
    assert np.isnan(found[:, 1:, 22:]).all() and np.isfinite(found[:, 1:, 1:22]).all()


def test_mirrored_maps_are_not_folds():
    found = sky.mapped_coordinates(lambda x, y: (-x, y), SHAPE)
    assert np.isfinite(found).all()


def test_other_kinds_of_coordinates_are_refused():
    galactic = grid(names=("GLON-", "GLAT-"))
    with pytest.raises(ValueError, match="world_axis_physical_types"):
        sky.pixel_coordinates(galactic, grid(), SHAPE)
    old = grid()
    old.wcs.radesys = "FK5"
    with pytest.raises(ValueError, match="frame FK5"):
        sky.pixel_coordinates(old, grid(), SHAPE)
    with pytest.raises(ValueError, match="source is a dict"):
        sky.pixel_coordinates({}, grid(), SHAPE)


def test_empty_shapes_and_negative_spacings_are_refused():
    for shape, spacing in (((0, 5), 10), ((5, 5), -1)):
        with pytest.raises(ValueError, match="must be positive"):
            sky.pixel_coordinates(grid(), grid(), shape, spacing=spacing)
