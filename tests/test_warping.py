"""Exposures in files become warps in files, and what cannot be used is said."""

import sys

import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import Exposure, MaskPlanes, io
from jaxcoadd.assembly import Settings
from jaxcoadd.warping import (
    MissingExtraError,
    WarpSettings,
    find_visits,
    warp_paths,
    warp_visit,
)
from jaxcoadd.warping.backgrounds import (
    NOT_BACKGROUND,
    background_of,
    measure_background,
)
from tests import exposure_files as exposures
from tests.exposure_files import SHAPE, SKY_LEVEL, write_exposure, write_grid
from tests.warp_files import planes_of, run

PATCH = ("--skymap", "lsst_cells_v1", "--tract", "9813", "--patch", "36")

# A star's flux, in the counts of zero point 27.
FLUX = exposures.STARS[0][2]


@pytest.fixture
def grid(tmp_path):
    return io.read_grid(write_grid(tmp_path))


def flux_at(image, x, y, radius=8):
    """Sum an aperture, what is missing left out."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    near = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return float(np.nansum(np.where(near, image, 0)))


def only_visit(*paths, **options):
    (visit,), skipped = find_visits(paths, **options)
    assert skipped == []
    return visit


def reason(*paths, **options):
    """Return why the last of some files is left out."""
    _, skipped = find_visits(paths, **options)
    assert [one.path for one in skipped] == [paths[-1]]
    assert "\n" not in skipped[0].reason and str(paths[-1]) in skipped[0].reason
    return skipped[0].reason


# Reading


def test_an_exposure_is_read_with_its_background_and_psf(tmp_path):
    file = io.open_exposure(write_exposure(tmp_path, "a.fits"))
    exposure = file.read()
    assert (file.detector, exposure.zero_point) == ("1", 27.0)
    assert exposure.image.shape == SHAPE and exposure.planes.bit("EDGE") == 4
    np.testing.assert_array_equal(file.read_background(), np.float32(SKY_LEVEL))
    np.testing.assert_array_equal(file.read_psf(), exposures.psf_stamp())


def test_a_background_that_is_subtracted_already_is_not_again(tmp_path):
    path = write_exposure(tmp_path, "a.fits", cards={"SKYSUB": True})
    file = io.open_exposure(path)
    assert file.read_background() is None and file.sky_subtracted


def test_an_exposure_without_wcs_is_left_out(tmp_path):
    path = write_exposure(tmp_path, "a.fits", wcs=False)
    assert "has no WCS of the sky" in reason(path)


def test_an_exposure_without_psf_is_left_out_unless_that_is_allowed(tmp_path):
    path = write_exposure(tmp_path, "a.fits", psf=False)
    assert "has no HDU PSF" in reason(path)
    assert only_visit(path, need_psf=False).exposures[0].read_psf() is None


def test_an_exposure_without_zero_point_is_left_out(tmp_path):
    path = write_exposure(tmp_path, "a.fits", cards={"MAGZERO": None})
    assert "does not say its zero point" in reason(path)


def test_a_truncated_exposure_is_left_out(tmp_path):
    path = write_exposure(tmp_path, "a.fits")
    path.write_bytes(path.read_bytes()[:-2880])
    assert "is truncated" in reason(path)


def test_a_background_of_another_shape_is_refused(tmp_path):
    path = write_exposure(tmp_path, "a.fits")
    with fits.open(path, mode="update") as file:
        file["SKY"].data = np.zeros((3, 3), np.float32)
    assert r"has shape (3, 3) and the image (60, 70)" in reason(path)


def test_the_same_detector_twice_in_a_visit_is_left_out(tmp_path):
    paths = [write_exposure(tmp_path, name) for name in ("a.fits", "b.fits")]
    assert "is of the same visit and detector as" in reason(*paths)


def test_detectors_of_a_visit_that_are_not_told_apart_are_said_to_lack_the_card(
    tmp_path,
):
    paths = [
        write_exposure(tmp_path, f"{n}.fits", detector=None, cards={"CHIP": n})
        for n in range(2)
    ]
    said = reason(*paths)
    assert "1.fits and " in said and "0.fits are of the same visit (7)" in said
    assert "neither has a card of its detector (DETECTOR, CCDNUM or CCDNAME)" in said
    assert "-c reader.detector=CARD" in said
    visit = only_visit(*paths, mapping=io.ReaderMapping(detector="CHIP"))
    assert [one.detector for one in visit.exposures] == ["0", "1"]


def test_a_card_of_the_detector_that_is_not_there_is_said(tmp_path):
    path = write_exposure(tmp_path, "a.fits")
    said = reason(path, mapping=io.ReaderMapping(detector="CHIP"))
    assert "has no card CHIP, which should name its detector" in said


def test_detectors_of_a_visit_are_merged_by_number_and_then_by_name(tmp_path):
    detectors = ["10", "N3", "2", "A1"]
    paths = [
        write_exposure(tmp_path, f"{name}.fits", detector=name) for name in detectors
    ]
    visit = only_visit(*paths)
    assert [one.detector for one in visit.exposures] == ["2", "10", "A1", "N3"]


def test_visits_keep_the_order_of_their_files(tmp_path):
    paths = [
        write_exposure(tmp_path, f"{n}.fits", visit=visit)
        for n, visit in enumerate([30, 4, 30, 5])
    ]
    with fits.open(paths[2], mode="update") as file:
        file[0].header["DETECTOR"] = "2"
    visits, skipped = find_visits(paths)
    assert [visit.identifier for visit in visits] == ["30", "4", "5"]
    assert skipped == [] and len(visits[0].exposures) == 2


# Warping


@pytest.mark.parametrize("kernel", ["lanczos3", "lanczos5"])
def test_a_warp_has_the_stars_where_the_grid_has_them(tmp_path, grid, kernel):
    path = write_exposure(tmp_path, "a.fits", noise=0, zero_point=25.0)
    settings = WarpSettings(kernel=kernel, zero_point=27.0)
    found = warp_visit(only_visit(path), grid, settings)
    for x, y, flux in exposures.STARS:
        # An aperture of five widths holds all but 4e-6 of a star.
        assert flux_at(found.warp.image, x, y) == pytest.approx(flux, rel=1e-3)
    assert float(found.warp.zero_point) == 27.0
    assert int(found.detectors["good_pixels"][0]) == np.isfinite(found.warp.image).sum()


def test_two_detectors_become_one_warp_and_the_last_one_wins(tmp_path, grid):
    paths = [
        write_exposure(tmp_path, "a.fits", noise=0),
        write_exposure(tmp_path, "b.fits", noise=0, detector="2", offset=(30.2, 5.1)),
    ]
    both = warp_visit(only_visit(*paths), grid, WarpSettings())
    last = warp_visit(only_visit(paths[1]), grid, WarpSettings())
    covered = np.isfinite(last.warp.image)
    np.testing.assert_array_equal(both.warp.image[covered], last.warp.image[covered])
    assert np.isfinite(both.warp.image).sum() > covered.sum()
    assert both.detectors["detector"].tolist() == ["1", "2"]


def test_an_exposure_beside_the_grid_is_left_out(tmp_path, grid):
    paths = [
        write_exposure(tmp_path, "a.fits"),
        write_exposure(tmp_path, "b.fits", detector="2", offset=(500, 0)),
    ]
    found = warp_visit(only_visit(*paths), grid, WarpSettings())
    assert [one.path for one in found.skipped] == [paths[1]]
    assert "does not overlap the grid" in found.skipped[0].reason
    assert len(found.used) == 1


def test_a_visit_beside_the_grid_gives_no_warp(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits", offset=(0, -900))
    found = warp_visit(only_visit(path), grid, WarpSettings())
    assert found.warp is None and len(found.detectors) == 0


def test_an_exposure_that_cannot_be_decoded_is_left_out(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits")
    with fits.open(path, mode="update") as file:
        file["SCI"].data[:] = np.nan
    found = warp_visit(only_visit(path), grid, WarpSettings())
    assert "has no pixel with data on the grid" in found.skipped[0].reason


# Matching


def moments_at(image, x, y, radius=9):
    """Return flux and second moments of a star, with a weight of its size."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    near = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    weight = np.where(near, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18), 0)
    light = np.where(near, np.nan_to_num(image), 0) * weight
    return [
        float((light * (axis - place) ** 2).sum() / light.sum())
        for axis, place in ((rows, y), (columns, x))
    ]


def test_warps_of_any_seeing_are_matched_to_one_model(tmp_path, grid):
    settings = WarpSettings(match_fwhm=6.0, zero_point=27.0)
    found = []
    for visit, width in enumerate([1.5, 1.9]):
        path = write_exposure(
            tmp_path, f"{visit}.fits", visit=visit, noise=0, width=width
        )
        direct = warp_visit(only_visit(path), grid, WarpSettings(zero_point=27.0))
        matched = warp_visit(only_visit(path), grid, settings)
        assert matched.warp.shape == direct.warp.shape
        assert matched.companions == {}
        x, y, _ = exposures.STARS[1]
        # The kernel has a sum of 1, and an aperture of 14 pixels the model's wings.
        flux = flux_at(direct.warp.image, x, y, 14)
        assert flux_at(matched.warp.image, x, y, 14) == pytest.approx(flux, rel=0.03)
        (quality,) = matched.matches
        assert quality.peak < 0.06 and quality.size < 0.1
        assert 0 < quality.noise_gain < 0.3 and 0 < quality.correlation < 1
        found.append(moments_at(matched.warp.image, x, y))
    # Weighted moments of 5 pixels squared, which were 25 % apart before.
    np.testing.assert_allclose(found[0], found[1], rtol=0.02)


def test_matching_reaches_the_rim_of_the_grid(tmp_path):
    path = write_exposure(tmp_path, "a.fits", shape=(120, 130), offset=(-30, -30))
    grid = io.read_grid(write_grid(tmp_path))
    matched = warp_visit(only_visit(path), grid, WarpSettings(match_fwhm=6.0))
    assert np.isfinite(matched.warp.image).all()


def test_an_exposure_of_worse_seeing_than_the_model_is_left_out(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits", width=2.5)
    found = warp_visit(only_visit(path), grid, WarpSettings(match_fwhm=4.0))
    assert found.warp is None
    assert "deconvolves; take a model with a larger fwhm" in found.skipped[0].reason
    assert f"HDU 5 (PSF) of {path}" in found.skipped[0].reason


def test_a_psf_that_cannot_be_one_leaves_its_exposure_out(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits")
    with fits.open(path, mode="update") as file:
        file["PSF"].data[3, 3] = np.nan
    found = warp_visit(only_visit(path), grid, WarpSettings())
    assert found.warp is None
    assert "cannot be a point-spread function: 1 pixels" in found.skipped[0].reason


def test_the_command_says_how_well_it_matched(tmp_path, capsys):
    path = write_exposure(tmp_path, "a.fits")
    out = tmp_path / "out"
    out.mkdir()
    options = ("--grid", write_grid(tmp_path), "--output", out, "--match-psf", "6")
    assert run("warp", path, *options) == 0
    assert "  matched: sigma within 0.0" in capsys.readouterr().out
    with fits.open(out / "7.fits") as file:
        columns = file["DETECTORS"].columns.names
        assert file["DETECTORS"].data["match_peak"][0] < 0.06
    assert columns[-5:] == [
        f"match_{name}"
        for name in ("size", "ellipticity", "peak", "noise_gain", "correlation")
    ]
    assert run("warp", path, *options, "--without-psf", "--overwrite") == 2
    assert "cannot be matched where there are none" in capsys.readouterr().err


# Backgrounds


def test_a_sky_that_is_still_in_is_measured(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits", sky=False, cards={"SKYSUB": False})
    settings = WarpSettings(mesh=30, zero_point=27.0)
    found = warp_visit(only_visit(path), grid, settings)
    empty = found.warp.image[40:, 50:]
    # 240 pixels of noise 1: their mean is known to 0.07, the cells' to as much.
    assert abs(float(np.nanmean(empty))) < 0.5
    kept = warp_visit(only_visit(path), grid, WarpSettings(background="none"))
    assert float(np.nanmean(kept.warp.image[40:, 50:])) > 0.9 * SKY_LEVEL


def test_a_background_that_is_asked_for_and_not_there_leaves_the_exposure_out(
    tmp_path, grid
):
    settings = WarpSettings(background="file")
    path = write_exposure(tmp_path, "a.fits", sky=False)
    found = warp_visit(only_visit(path), grid, settings)
    assert found.warp is None
    assert "has no HDU SKY or BACKGROUND with its background" in found.skipped[0].reason
    assert "choose auto, mesh or none" in found.skipped[0].reason
    assert warp_visit(only_visit(path), grid, WarpSettings()).skipped == ()
    done = write_exposure(tmp_path, "b.fits", sky=False, cards={"SKYSUB": True})
    assert warp_visit(only_visit(done), grid, settings).skipped == ()


def sky_with_planes(names):
    """Return a sky of 100, with a brighter half that has some planes."""
    planes = MaskPlanes(("BAD", "INTRP", "SUSPECT", "DETECTED"))
    half = np.arange(40) < 20
    mask = np.where(half, planes.bits(names), 0) * np.ones((40, 1), int)
    image = np.where(half, 150, 100) * np.ones((40, 1))
    return Exposure(
        image.astype(np.float32),
        np.ones((40, 40), np.float32),
        mask.astype(np.uint32),
        planes=planes,
        zero_point=27.0,
    )


@pytest.mark.parametrize(
    ("names", "level"),
    # Both halves count as much where none is left out.
    [(["BAD"], 100), (["DETECTED", "INTRP"], 100), (["INTRP", "SUSPECT"], 125)],
)
def test_a_background_leaves_out_bad_planes_and_objects_alone(tmp_path, names, level):
    file = io.open_exposure(write_exposure(tmp_path, "a.fits"))
    settings = WarpSettings(background="mesh", mesh=20)
    found = background_of(file, sky_with_planes(names), settings)
    assert found.mean() == pytest.approx(level, abs=1)


def test_the_planes_that_are_no_background_hold_all_that_a_coadd_rejects():
    assert set(NOT_BACKGROUND) == {*Settings().bad_planes, "BAD_VARIANCE", "DETECTED"}


def test_a_slope_of_the_background_is_followed():
    y, x = np.mgrid[:200, :160].astype(np.float32)
    sky = 100 + 0.1 * x + 0.05 * y
    noise = np.random.default_rng(0).normal(size=sky.shape)
    bad = np.zeros(sky.shape, bool)
    image = (sky + noise).astype(np.float32)
    image[50, 50], bad[50, 50] = np.nan, True
    found = measure_background(image, bad, mesh=20)
    assert np.abs(found - sky)[20:-20, 20:-20].max() < 1


def test_without_photutils_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "photutils.background", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'jaxcoadd\[sky\]'"):
        measure_background(np.ones((9, 9), np.float32), np.zeros((9, 9), bool), mesh=3)


def test_the_command_names_the_extra_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "photutils.background", None)
    path = write_exposure(tmp_path, "a.fits", sky=False, cards={"SKYSUB": False})
    options = ("--grid", write_grid(tmp_path), "--output", tmp_path)
    assert run("warp", path, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'jaxcoadd[sky]'" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "lanczos11"}, "no kernel 'lanczos11'; there are lanczos2"),
        ({"background": "flat"}, "background is 'flat'; it can be one of"),
        ({"spacing": 0}, "spacing is 0"),
        ({"mesh": 0}, "mesh 0"),
        ({"match_fwhm": 0.0}, "match_fwhm is 0.0"),
        ({"zero_point": 90.0}, "zero_point 90.0 is not above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WarpSettings(**options)


# Files and commands


def test_names_of_warps_are_those_of_visits_and_must_differ(tmp_path):
    paths = [
        write_exposure(tmp_path, f"{n}.fits", visit=visit)
        for n, visit in enumerate(["a/b", "..c", "a:b"])
    ]
    visits, _ = find_visits(paths)
    named = [path.name for path in warp_paths(visits[:2], tmp_path)]
    assert named == ["a_b.fits", "c.fits"]
    with pytest.raises(io.OutputError, match=r"would both be written to a_b\.fits"):
        warp_paths(visits, tmp_path)


def test_the_command_warps_each_visit_into_a_file(tmp_path, capsys):
    out = tmp_path / "warps"
    out.mkdir()
    paths = [
        write_exposure(tmp_path, f"{n}.fits", visit=n, seed=n, offset=(n, 0.5))
        for n in range(2)
    ]
    bad = write_exposure(tmp_path, "bad.fits", visit=9, wcs=False)
    arguments = ("warp", *paths, bad, "--grid", write_grid(tmp_path), "--output", out)
    assert run(*arguments) == 0
    captured = capsys.readouterr()
    assert "left out:" in captured.err and "bad.fits has no WCS" in captured.err
    assert "2 warps of 64 x 72 pixels" in captured.out
    warp = io.open_warp(out / "1.fits")
    assert (warp.identifier, warp.band, warp.unit) == ("1", "r", "nJy")
    assert io.verify_file(out / "1.fits") == 6
    assert run(*arguments) == 4
    assert "0.fits exists" in capsys.readouterr().err
    assert run(*arguments, "--overwrite", "-q") == 0
    assert capsys.readouterr().out == ""


def test_a_coadd_from_exposures_is_that_of_their_warps(tmp_path, capsys):
    folder, kept = tmp_path / "in", tmp_path / "warps"
    folder.mkdir()
    kept.mkdir()
    for n in range(3):
        write_exposure(folder, f"{n}.fits", visit=n, seed=n, offset=(0.3 * n, 0.5))
    grid = write_grid(tmp_path)
    source = ("--from-exposures", folder, "--grid", grid)
    one, two, three = (tmp_path / f"{n}.fits" for n in ("one", "two", "three"))
    assert run("assemble", *source, "--output", one) == 0
    assert "3 of 3 warps" in capsys.readouterr().out
    assert run("assemble", *source, "--output", two, "--keep-warps", kept) == 0
    assert run("assemble", *sorted(kept.iterdir()), "--output", three) == 0
    for name, plane in planes_of(one).items():
        np.testing.assert_array_equal(plane, planes_of(two)[name])
        np.testing.assert_array_equal(plane, planes_of(three)[name])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in", "warps", "grid.fits", "one.fits", "two.fits", "three.fits"}
    image = planes_of(one)["IMAGE"]
    x, y, flux = exposures.STARS[1]
    # Noise of 200 pixels in an aperture, three times: 8 counts of zero point 27.
    factor = 10 ** (0.4 * 4.4)
    assert flux_at(image, x, y) / factor == pytest.approx(flux, abs=5 * 8)


def test_how_exposures_are_read_does_not_count_for_their_warps(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_exposure(folder, "a.fits", cards={"MAGZERO": None}, zero_point=25.0)
    options = ("--from-exposures", folder, "--grid", write_grid(tmp_path))
    output = tmp_path / "c.fits"
    given = ("-c", "reader.zero_point=25.0", "--output", output)
    assert run("assemble", *options, *given) == 0
    assert io.read_coadd(output).coadd.zero_point == pytest.approx(31.4)


def test_exposures_are_never_written_over(tmp_path, capsys):
    path = write_exposure(tmp_path, "7.fits")
    before = path.read_bytes()
    grid = ("--grid", write_grid(tmp_path), "--overwrite")
    assert run("warp", path, *grid, "--output", tmp_path) == 2
    source = ("--from-exposures", tmp_path, *grid)
    assert run("assemble", *source, "--output", path) == 2
    assert "is an input of this run" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_exposure_in_another_frame_is_left_out(tmp_path, grid):
    path = write_exposure(tmp_path, "a.fits")
    with fits.open(path, mode="update") as file:
        file["SCI"].header["RADESYS"] = "FK5"
    found = warp_visit(only_visit(path), grid, WarpSettings())
    assert "a.fits cannot be placed: source is in the frame FK5" in (
        found.skipped[0].reason
    )


def test_skysub_may_be_a_card_of_the_image(tmp_path):
    path = write_exposure(tmp_path, "a.fits")
    with fits.open(path, mode="update") as file:
        file["SCI"].header["SKYSUB"] = True
    assert io.open_exposure(path).read_background() is None


def test_a_detector_that_is_masked_all_over_has_no_background_to_measure():
    image, bad = np.ones((40, 40), np.float32), np.ones((40, 40), bool)
    with pytest.raises(io.InputError, match="background cannot be measured in cells"):
        measure_background(image, bad, mesh=20)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either warps, or exposures by --from-exposures"),
        (["w.fits", "--from-exposures", "."], 2, "give either warps, or exposures"),
        (["--from-exposures", ".", "--dry-run"], 2, "--dry-run does not go with"),
        (["--from-exposures", "empty"], 3, "empty holds no FITS files"),
        (["--from-exposures", "in"], 2, "give --grid FILE, or --skymap NAME"),
        (["--from-exposures", "in", "--grid", "g.fits"], 3, "g.fits does not exist"),
        (["--from-exposures", "in", *PATCH[:2]], 2, "give --grid FILE, or --skymap"),
        (
            ["--from-exposures", "in", "--grid", "grid.fits", *PATCH],
            2,
            "give --grid FILE, or --skymap",
        ),
        (
            ["--from-exposures", "in", *PATCH[:-1], "10,3"],
            2,
            "no patch",
        ),
        (
            ["--from-exposures", "in", "--grid", "grid.fits", "--kernel", "cubic"],
            2,
            "no kernel 'cubic'",
        ),
        (
            ["--from-exposures", "in", "--grid", "grid.fits"],
            3,
            "none of the 1 visits has a pixel on the grid",
        ),
        (
            ["--from-exposures", "bad", "--grid", "grid.fits"],
            3,
            "none of the 1 exposures can be used",
        ),
    ],
)
def test_what_cannot_be_coadded_is_said(
    tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    for name in ("in", "empty", "bad"):
        (tmp_path / name).mkdir()
    write_exposure(tmp_path / "in", "a.fits", offset=(900, 0))
    write_exposure(tmp_path / "bad", "a.fits", wcs=False)
    write_grid(tmp_path)
    assert run("assemble", *arguments, "--output", "coadd.fits") == code
    assert message in capsys.readouterr().err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in", "empty", "bad", "grid.fits"}
