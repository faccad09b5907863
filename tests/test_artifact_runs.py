"""Artifacts kept out of runs from files: the bits of the library, strip by strip."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcoadd import io, stack_warps
from jaxcoadd.artifacts import (
    COMPARE_WARP,
    OutlierConfig,
    compare_warp,
    safe_clip,
    streak_finder,
    with_outliers,
)
from jaxcoadd.assembly import assemble, make_plan, read_settings
from jaxcoadd.assembly.clipping import safe_clip_config
from jaxcoadd.assembly.comparing import compare_warp_config
from jaxcoadd.assembly.findings import SIGMA_PER_FWHM
from jaxcoadd.assembly.outlying import median_config
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.coadds import coadd, weigh_stack
from jaxcoadd.io import InputError
from jaxcoadd.spans import SpanSet
from tests import fits_files as files
from tests import warp_files
from tests.artifact_scenes import TRAIL, make_epoch, write_epochs, write_partners
from tests.test_assembly import assert_same_coadd
from tests.warp_files import PLANES, SHAPE, write_warp

pytestmark = pytest.mark.slow

SIGMA = 5.0 * SIGMA_PER_FWHM


def run(paths, *overrides, matched=(), keep=True, method="compare-warp", **options):
    """Assemble some files without artifacts."""
    settings = read_settings(overrides=overrides, method=method, **options)
    plan = make_plan(paths, settings, matched=matched)
    compared = plan.compared and dataclasses.replace(plan.compared, keep=keep)
    plan = dataclasses.replace(plan, keep=keep, compared=compared)
    return assemble(plan, settings)


def read_stack(paths):
    return stack_warps([io.read_warp(path) for path in paths])


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_epochs(tmp_path_factory.mktemp("artifacts") / "warps")


@pytest.fixture(scope="module")
def partners(tmp_path_factory):
    """Write partners in another order, and none of the last warp."""
    folder = tmp_path_factory.mktemp("artifacts") / "partners"
    return write_partners(folder, [3, 0, 2, 1])


@pytest.fixture(scope="module")
def wanted(paths, partners):
    """Return what the library makes of the same warps."""
    matched = [io.read_warp(partners[n]) for n in (1, 3, 2, 0)]
    return compare_warp(read_stack(paths), [*matched, None], sigma=SIGMA)


@pytest.mark.parametrize(
    ("rows", "keep"), [(40, True), (40, False), (1, False), (7, True)]
)
def test_a_run_has_the_bits_of_the_library_whatever_its_strips(
    paths, partners, wanted, rows, keep
):
    found = run(paths, f"subregion_rows={rows}", matched=partners, keep=keep)
    assert_same_coadd(found.coadd, wanted.coadd)
    assert found.coadd.planes == wanted.coadd.planes
    areas = [SpanSet().union(*some).area for some in wanted.artifacts.clipped]
    assert list(found.inputs["pixels_artifact"]) == areas and sum(areas) > 0


def test_a_trail_is_masked_in_its_warp_alone(paths, partners):
    found = run(paths, matched=partners)
    masked = found.findings.regions[1]["CLIPPED"].to_image(SHAPE)
    assert masked[TRAIL[0] : TRAIL[0] + 2, TRAIL[1]].all()
    others = [found.findings.n_pixels[n] for n in (0, 2, 3, 4)]
    assert others == [0, 0, 0, 0]
    clipped = found.coadd.mask & found.coadd.planes.bits(["CLIPPED"])
    np.testing.assert_array_equal(clipped != 0, masked)


def test_a_warp_without_a_partner_adds_nothing_and_is_said(paths, partners):
    found = run(paths, matched=partners)
    assert found.findings.remarks == (
        "the warp of exposure 104 has no PSF-matched partner and is left out of the "
        "coadd",
    )
    assert found.inputs["pixels_used"][4] == 0 and found.inputs["skipped"][4] == ""


def test_without_partners_the_warps_themselves_are_compared(paths):
    found = run(paths, "psf_fwhm=5.0")
    stack = read_stack(paths)
    assert_same_coadd(found.coadd, compare_warp(stack, sigma=SIGMA).coadd)


@pytest.fixture(scope="module")
def struck(tmp_path_factory):
    """Write warps with a bright pixel each, and a faint one beside it."""
    folder = tmp_path_factory.mktemp("artifacts") / "struck"
    folder.mkdir()
    found = []
    for n in range(5):
        scene = make_epoch(n)
        image = scene.image.copy()
        image[5 + 3 * n, 8] += 90
        image[6 + 3 * n, 9] += 8.5
        hit = files.Scene(image, scene.variance, scene.mask)
        found.append(write_warp(folder, n, scene=hit))
    return found


@pytest.mark.parametrize(("rows", "keep"), [(40, True), (3, False)])
def test_outliers_of_a_run_are_those_of_the_library(struck, partners, rows, keep):
    options = (f"subregion_rows={rows}", "outliers.n_sigma_beside=1.5")
    found = run(
        struck, *options, matched=partners, keep=keep, method="compare-and-clip"
    )
    settings = read_settings(method="compare-and-clip", overrides=options)
    stack = read_stack(struck)
    compared = compare_warp(
        stack,
        [*(io.read_warp(partners[n]) for n in (1, 3, 2, 0)), None],
        sigma=SIGMA,
        config=compare_warp_config(settings),
    )
    weighed, _ = weigh_stack(stack, compare_warp_config(settings).coadd)
    wanted = with_outliers(
        weighed,
        compared.artifacts.alternatives(),
        jax.jit(coadd)(weighed, median_config(settings)),
        config=OutlierConfig(n_sigma_beside=1.5),
    )
    for regions, expected in zip(found.findings.regions, wanted, strict=True):
        assert regions["CLIPPED"] == SpanSet().union(*expected["CLIPPED"])
    # The last warp has no partner, but its pixels are looked at as well.
    assert found.findings.n_outliers[0] >= 1
    for n, regions in enumerate(found.findings.regions):
        masked = regions["CLIPPED"].to_image(SHAPE)
        assert masked[5 + 3 * n, 8] or files_mask(struck[n])[5 + 3 * n, 8]


def files_mask(path):
    """Return where a warp is masked."""
    return np.asarray(io.read_warp(path).mask) != 0


def test_partners_are_for_methods_that_compare(paths, partners):
    with pytest.raises(SettingsError, match="the method safe-clip compares none"):
        make_plan(paths, read_settings(method="safe-clip"), matched=partners)


@pytest.mark.parametrize("method", ["safe-clip", "compare-warp", "compare-and-clip"])
@pytest.mark.parametrize("keep", [True, False])
def test_progress_ends_where_it_was_said_to_end(paths, method, keep):
    plan = make_plan(paths, read_settings(method=method, overrides=["psf_fwhm=5.0"]))
    compared = plan.compared and dataclasses.replace(plan.compared, keep=keep)
    plan = dataclasses.replace(plan, keep=keep, compared=compared)
    told = []
    assemble(
        plan,
        read_settings(method=method, overrides=["psf_fwhm=5.0"]),
        progress=lambda what, done, total: told.append((done, total)),
    )
    done, total = told[-1]
    # Bytes of each step are whole numbers, and there are some steps a warp.
    assert total - 4 * len(paths) <= done <= total


@pytest.mark.slow
def test_a_run_has_the_bits_of_the_library_in_64_bits_too(paths, partners):
    with jax.enable_x64(True):

        def wide(path):
            warp = io.read_warp(path)
            return dataclasses.replace(
                warp,
                image=warp.image.astype(float),
                variance=warp.variance.astype(float),
            )

        matched = [wide(partners[n]) for n in (1, 3, 2, 0)]
        stack = stack_warps([wide(path) for path in paths])
        wanted = compare_warp(stack, [*matched, None], sigma=SIGMA)
        found = run(paths, "subregion_rows=13", matched=partners, keep=False)
    assert found.coadd.image.dtype == np.float64
    assert_same_coadd(found.coadd, wanted.coadd)


@pytest.mark.slow
def test_a_warp_of_another_zero_point_is_scaled_as_in_any_run(tmp_path, paths):
    other = write_warp(
        tmp_path, 7, scene=make_epoch(7), cards={"MAGZERO": 27.4, "VISIT": 107}
    )
    mixed = [*paths, other]
    settings = read_settings(method="compare-warp", overrides=["zero_point=27.0"])
    config = compare_warp_config(settings)
    static = dataclasses.replace(config.static_sky, zero_point=27.0)
    wanted = compare_warp(
        read_stack(mixed),
        sigma=SIGMA,
        config=dataclasses.replace(config, static_sky=static),
    )
    found = run(mixed, "psf_fwhm=5.0", "zero_point=27.0", "subregion_rows=9")
    np.testing.assert_array_equal(found.coadd.mask, wanted.coadd.mask)
    # Scaled before it is stacked, or with it: each value, up to 800 counts, is rounded
    # once more.
    np.testing.assert_allclose(
        found.coadd.image, wanted.coadd.image, rtol=0, atol=800 * 2.0**-23
    )


def test_the_present_defaults_are_those_of_the_library():
    config = compare_warp_config(read_settings(method="compare-warp"))
    assert config.detection == COMPARE_WARP.detection
    assert config.coadd.bad_planes == (*COMPARE_WARP.coadd.bad_planes, "BAD_VARIANCE")
    assert config.coadd.remove_planes == COMPARE_WARP.coadd.remove_planes
    assert type(config.coadd.statistic) is type(COMPARE_WARP.coadd.statistic)
    older = compare_warp_config(read_settings(method="compare-warp", version="v24"))
    assert older.detection.threshold == 5.0
    assert older.inherited_planes == ("EDGE",)


def test_the_search_is_as_it_is_set(paths, partners):
    found = run(paths, "compare_warp.maxNumEpochs=0", matched=partners)
    assert sum(found.findings.n_pixels) == 0
    found = run(paths, "compare_warp.detection.threshold=1e6", matched=partners)
    assert sum(found.findings.n_pixels) == 0


@pytest.mark.slow
def test_streaks_are_looked_for_if_wished(tmp_path):
    warps = []
    for n in range(4):
        scene = make_epoch(n, shape=(120, 260))
        # Bad pixels would break the edges of the streak.
        scene.mask[:] = 0
        if n == 2:
            scene.image[60:63, 10:250] += 100
        warps.append(write_warp(tmp_path, n, scene=scene))
    found = run(warps, "psf_fwhm=5.0", "compare_warp.streaks=true")
    wanted = compare_warp(read_stack(warps), sigma=SIGMA, streaks=streak_finder())
    assert_same_coadd(found.coadd, wanted.coadd)
    assert [len(one.streaks) for one in wanted.artifacts.candidates] == [0, 0, 1, 0]


def test_streaks_need_an_extra_that_is_named(paths, partners, monkeypatch):
    missing = warp_files.raising(ImportError("install jaxcoadd[streaks]"))
    monkeypatch.setattr("jaxcoadd.artifacts.trails.find_streaks", missing)
    with pytest.raises(SettingsError, match=r"streaks: install jaxcoadd\[streaks\]"):
        run(paths, "compare_warp.streaks=true", matched=partners)


# SafeClip


def detected(scene, where):
    """Set DETECTED in some pixels of a warp, as a detection on it does."""
    mask = scene.mask.copy()
    mask[where] |= 1 << 5
    return scene._replace(mask=mask)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Write warps that were searched for sources."""
    folder = tmp_path_factory.mktemp("searched")
    found = []
    for n in range(5):
        scene = make_epoch(n, trail=n == 1)
        # Grown, as footprints are.
        bright = SpanSet.from_image(scene.image > 30).dilated(SpanSet.circle(0, 0, 5))
        found.append(
            files.write_afw(
                folder / f"w{n}.fits",
                detected(scene, bright.to_image(SHAPE)),
                planes=PLANES | {"DETECTED": 5},
                cards={"VISIT": 100 + n, "MAGZERO": 27.0},
            )
        )
    return found


@pytest.mark.parametrize(("rows", "keep"), [(40, True), (7, False)])
def test_safe_clip_has_the_bits_of_the_library(searched, rows, keep):
    options = ("psf_fwhm=5.0", f"subregion_rows={rows}")
    found = run(searched, *options, method="safe-clip", keep=keep)
    settings = read_settings(method="safe-clip", overrides=options)
    wanted = safe_clip(
        read_stack(searched), sigma=SIGMA, config=safe_clip_config(settings)
    )
    assert_same_coadd(found.coadd, wanted.coadd)
    assert found.coadd.planes == wanted.coadd.planes
    assert found.findings.n_artifacts == tuple(map(len, wanted.clipped))
    assert found.findings.n_artifacts[1] > 0 and not found.findings.remarks


def test_safe_clip_without_detections_masks_nothing_and_says_so(paths):
    found = run(paths, method="safe-clip")
    assert sum(found.findings.n_pixels) == 0
    (remark,) = found.findings.remarks
    assert remark.startswith("no warp has a pixel with DETECTED")


# What keeps artifacts from being found


def test_two_warps_cannot_tell_an_artifact_and_that_is_said(paths, partners):
    found = run(paths[:2], matched=[partners[1], partners[3]])
    assert sum(found.findings.n_pixels) == 0
    (remark,) = found.findings.remarks
    assert remark.startswith("2 warps have PSF-matched partners; artifacts are masked")


def test_a_warp_beside_the_others_keeps_its_artifacts_and_is_said(tmp_path):
    left, right = range(25), range(25, 50)
    warps = write_epochs(tmp_path / "w", 4, trails=(), empty=right)
    warps.append(write_warp(tmp_path, 9, scene=make_epoch(9, trail=True, empty=left)))
    found = run(warps, "psf_fwhm=5.0")
    assert found.findings.n_pixels[4] == 0
    assert found.findings.remarks == (
        "the warp of exposure 109 nowhere overlaps with two others; its artifacts stay",
    )


def test_where_all_epochs_are_bad_nothing_is_left(tmp_path):
    hole = (slice(5, 9), slice(30, 34))
    warps = []
    for n in range(4):
        scene = make_epoch(n)
        mask = scene.mask.copy()
        mask[hole] |= 1 << PLANES["BAD"]
        image = scene.image.copy()
        image[hole] += 500
        scene = scene._replace(mask=mask, image=image)
        warps.append(write_warp(tmp_path, n, scene=scene))
    found = run(warps, "psf_fwhm=5.0").coadd
    for plane in ("NO_DATA", "INTRP", "REJECTED"):
        assert (found.mask[hole] & found.planes.bits([plane])).all()
    assert (found.n_image[hole] == 0).all()
    # Filled from both sides, whose noise is a few counts.
    assert (np.abs(found.image[hole]) < 30).all()


def test_a_warp_that_is_all_artifact_is_refused_by_its_name(tmp_path):
    warps = write_epochs(tmp_path / "w", 5, trails=())
    odd = make_epoch(9)
    odd = odd._replace(image=odd.image + 5000)
    warps.append(write_warp(tmp_path, 9, scene=odd))
    # With its variance scaled the offset would count as scatter.
    options = ("psf_fwhm=5.0", "compare_warp.keep_sources=false")
    with pytest.raises(InputError, match="the warp of exposure 109 would be artifacts"):
        run(warps, *options, "compare_warp.scale_variance=false")


def test_partners_of_which_none_fits_are_refused(tmp_path, paths):
    others = write_partners(tmp_path / "p", [7, 8])
    with pytest.raises(InputError) as caught:
        run(paths, matched=others)
    said = str(caught.value)
    assert "none of the 2 PSF-matched warps is the partner of a warp" in said
    assert "is of exposure 107, of which there is no warp" in said


def test_a_partner_on_another_grid_is_left_out_with_a_reason(tmp_path, paths, partners):
    small = write_partners(tmp_path / "p", [4], shape=(30, 50))
    settings = read_settings(method="compare-warp")
    plan = make_plan(paths, settings, matched=[*partners, *small])
    (reason,) = [i.skipped for i in plan.compared.inputs if i.skipped]
    assert "p4.fits has 30 x 50 pixels and" in reason and "40 x 50" in reason
