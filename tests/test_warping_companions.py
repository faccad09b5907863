"""What goes with the warp of an exposure: its masked fraction, and noise alone."""

import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import io
from jaxcoadd.warping import WarpSettings, find_visits, warp_visit
from jaxcoadd.warping.companions import MASKED_FRACTION, NOISE_VARIANCE
from tests.exposure_files import PLANES, write_exposure, write_grid

NOISY = WarpSettings(zero_point=27.0, noise_realizations=2, seed=5)


@pytest.fixture
def grid(tmp_path):
    return io.read_grid(write_grid(tmp_path))


def warped(grid, settings, *paths):
    (visit,), _ = find_visits(paths)
    return warp_visit(visit, grid, settings)


def flag(path, name, rows, columns):
    """Set a plane in some pixels of an exposure."""
    with fits.open(path, mode="update") as file:
        file["MASK"].data[rows, columns] |= 1 << PLANES[name]


def test_all_companions_have_data_where_the_warp_has(tmp_path, grid):
    paths = [
        write_exposure(tmp_path, "a.fits"),
        write_exposure(tmp_path, "b.fits", detector="2", offset=(30.2, 5.1)),
    ]
    flag(paths[1], "NO_DATA", 20, 30)
    found = warped(grid, NOISY, *paths)
    assert list(found.companions) == [
        MASKED_FRACTION,
        "NOISE0",
        NOISE_VARIANCE,
        "NOISE1",
    ]
    known = np.isfinite(found.warp.image)
    assert 0 < known.sum() < known.size
    for image in found.companions.values():
        np.testing.assert_array_equal(np.isfinite(image), known)


@pytest.mark.parametrize(("name", "count"), [("BAD", 20), ("SAT", 20), ("EDGE", 0)])
def test_the_masked_fraction_counts_pixels_that_are_made_up(
    tmp_path, grid, name, count
):
    path = write_exposure(tmp_path, "a.fits", offset=(0.3, -0.4))
    flag(path, name, slice(20, 24), slice(30, 35))
    fraction = warped(grid, WarpSettings(), path).companions[MASKED_FRACTION]
    # A shift spreads 20 pixels over 30 and takes none away.
    assert np.nansum(fraction) == pytest.approx(count, abs=1e-3)
    assert np.count_nonzero(np.nan_to_num(fraction) > 1e-3) == (30 if count else 0)
    assert np.nanmax(fraction) <= 1


def test_noise_has_the_variance_of_the_warp(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits", noise=3.0, zero_point=25.0)
    found = warped(grid, NOISY, path)
    variance = found.companions[NOISE_VARIANCE]
    np.testing.assert_allclose(variance, found.warp.variance, rtol=1e-4)
    known = np.isfinite(variance)
    for name in ("NOISE0", "NOISE1"):
        scaled = found.companions[name][known] / np.sqrt(variance[known])
        # 3500 pixels, of which a kernel correlates some: 5 times 1.3 / sqrt(2 n).
        assert np.std(scaled) == pytest.approx(1, abs=0.08)
        assert np.mean(scaled) == pytest.approx(0, abs=0.15)


def test_noise_is_that_of_its_seed_visit_and_detector_alone(tmp_path, grid):
    one = write_exposure(tmp_path, "a.fits", offset=(0, 0))
    other = write_exposure(tmp_path, "b.fits", detector="2", offset=(900, 0))
    late = write_exposure(tmp_path, "c.fits", visit=8, offset=(0, 0))

    def noise(*paths, seed=5, name="NOISE0"):
        settings = WarpSettings(noise_realizations=2, seed=seed)
        return np.nan_to_num(warped(grid, settings, *paths).companions[name])

    first = noise(one)
    np.testing.assert_array_equal(noise(other, one), first)
    for another in (noise(one, seed=6), noise(late), noise(one, name="NOISE1")):
        assert abs(np.corrcoef(another.ravel(), first.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_realizations": -1}, "noise_realizations is -1"),
        ({"seed": -1}, "seed -1; neither can be negative"),
        ({"seed": 1 << 32}, "a seed has 32 bits"),
        ({"noise_realizations": 1, "match_fwhm": 5.0}, "noise goes with warps as they"),
    ],
)
def test_noise_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WarpSettings(**options)
