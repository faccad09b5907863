"""The command with a method that keeps artifacts out: what it writes, says, refuses."""

import json
import os

import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import io
from jaxcoadd.io import artifact_masks
from jaxcoadd.spans import SpanSet
from tests import warp_files
from tests.artifact_scenes import TRAIL, write_epochs, write_partners
from tests.exposure_files import write_exposure, write_grid
from tests.warp_files import SHAPE, assemble, left_in

pytestmark = pytest.mark.slow

COMPARE = ("--method", "compare-warp")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Write five warps, one with a trail, and partners of the first four."""
    folder = tmp_path_factory.mktemp("scene")
    warps = write_epochs(folder / "w")
    write_partners(folder / "p", [0, 1, 2, 3])
    return warps, folder / "p"


def said(capsys):
    """Return what was said on the standard error, in one piece."""
    return capsys.readouterr().err


# What it writes and says


def test_a_run_says_what_was_found_and_writes_masks(scene, output, capsys):
    warps, partners = scene
    masks = output.parent / "masks"
    options = ("--psf-matched", partners, "--write-artifact-masks", masks, "-v")
    assert assemble(warps, output, *COMPARE, *options) == 0
    printed = capsys.readouterr()
    assert "exposure 104 has no PSF-matched partner and is left out" in printed.err
    with fits.open(output) as file:
        rows = file["INPUTS"].data
        config = dict(file["CONFIG"].data.tolist())
    area = int(rows["pixels_artifact"][1])
    assert area > 0 and rows["pixels_artifact"].sum() == area
    assert f"artifacts: 1 in 1 of 5 warps, {area} pixels" in printed.out
    assert f"0 clipped, {area} artifact" in printed.out
    assert config["method"] == "compare-warp"
    assert config["compare_warp.max_epochs"] == "2"
    assert sorted(os.listdir(masks)) == [f"10{n}.fits" for n in range(5)]
    found = io.read_artifact_mask(masks / "101.fits")
    assert found.identifier == "101" and found.regions["CLIPPED"].area == area
    trail = found.mask[TRAIL[0] : TRAIL[0] + 2, TRAIL[1]]
    assert (trail & found.planes.bits(["CLIPPED"])).all()
    without = io.read_artifact_mask(masks / "104.fits")
    assert without.regions["NO_DATA"] == SpanSet.box(0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
    assert left_in(output) == ["coadd.fits", "masks"]


def test_a_result_in_json_has_what_was_found(scene, output, capsys):
    warps, partners = scene
    options = ("--psf-matched", *sorted(partners.iterdir()), "--json")
    assert assemble(warps[:4], output, *COMPARE, *options) == 0
    found = warp_files.strict_json(capsys.readouterr().out)
    assert found["artifacts"]["regions"] == found["artifacts"]["warps"] == 1
    assert found["artifacts"]["pixels"] == found["inputs"][1]["pixels_artifact"] > 0
    assert found["artifacts"]["remarks"] == []


def test_a_plan_says_what_is_compared(scene, output, capsys):
    warps, partners = scene
    options = ("--psf-matched", partners, "--dry-run")
    assert assemble(warps, output, *COMPARE, *options) == 0
    assert "\ncompared: 4 PSF-matched warps\n" in capsys.readouterr().out
    assert assemble(warps, output, *COMPARE, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compared"] == 4 and found["without_partner"] == ["104"]


def test_without_partners_warps_are_compared_and_widths_assumed_and_said(
    scene, output, capsys
):
    warps, _ = scene
    assert assemble(warps, output, *COMPARE, "--dry-run") == 0
    printed = capsys.readouterr()
    assert "compared: 5 warps themselves" in printed.out
    assert "the warps themselves are compared, and sources leave" in printed.err
    assert "5 of 5 warps do not say the width of their point-spread" in printed.err
    assert assemble(warps, output, *COMPARE, "--dry-run", "-c", "psf_fwhm=5") == 0
    assert "do not say the width" not in said(capsys)


def test_partners_are_compared_and_pixels_clipped_unless_told_otherwise(
    scene, output, capsys
):
    warps, partners = scene
    options = ("--psf-matched", partners, "-c", "compare_warp.background=spline 30")
    assert assemble(warps, output, *options) == 0
    printed = capsys.readouterr()
    assert "note: the method is compare-and-clip; another is named as" in printed.err
    with fits.open(output) as file:
        config = dict(file["CONFIG"].data.tolist())
        area = file["INPUTS"].data["pixels_artifact"].sum()
    assert config["method"] == "compare-and-clip" and config["outliers.reach"] == "4"
    assert config["compare_warp.background"] == "spline 30"
    assert f"{area} pixels, " in printed.out and " of them alone" in printed.out
    options = ("--psf-matched", partners, "--version", "v24", "--dry-run")
    assert assemble(warps, output, "--overwrite", *options) == 0
    assert "the method is compare-warp;" in said(capsys)


def test_a_plain_run_has_nothing_of_it(scene, output):
    warps, _ = scene
    assert assemble(warps, output, "-q") == 0
    with fits.open(output) as file:
        assert "pixels_artifact" not in file["INPUTS"].columns.names
        assert "CONFIG" in file
        assert dict(file["CONFIG"].data.tolist())["method"] == "plain"


# What it refuses


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--write-artifact-masks", "m"], 2, "needs a method that finds artifacts"),
        (
            ["--method", "plain", "--psf-matched", "p"],
            2,
            "--psf-matched is for --method compare-warp or compare-and-clip",
        ),
        (["--match-psf", "5", *COMPARE], 2, "it needs --from-exposures and"),
        (["--version", "v24"], 2, "the method plain has no versions"),
        (
            ["-c", "compare_warp.max_epochs=1"],
            2,
            "for the method compare-warp or compare-and-clip, and the method is plain",
        ),
        ([*COMPARE, "-c", "outliers.reach=1"], 2, "is for the method compare-and-clip"),
        (
            [*COMPARE, "-c", "compare_warp.background=bent"],
            2,
            "expected none, constant",
        ),
        ([*COMPARE, "-c", "compare_warp.background=plane 0"], 2, 'as "plane 128"'),
        ([*COMPARE, "-c", "compare_warp.max_epoch=1"], 2, "did you mean max_epochs?"),
        ([*COMPARE, "-c", "compare_warp.max_epochs=x"], 2, "expected a whole number"),
        ([*COMPARE, "-c", "compare_warp.spatialThreshold=2"], 2, "from 0 to 1"),
        (["-c", "method=safe-clip"], 2, "name it as --method NAME"),
        (
            ["--method", "safe-clip", "-c", "statistic=MEDIAN"],
            2,
            "safe-clip makes a Mean, and the statistic is Median",
        ),
        ([*COMPARE, "--psf-matched", "none.fits"], 3, "none of the 1 PSF-matched"),
        ([*COMPARE, "--psf-matched", "a.fits", "full"], 2, "takes one folder or some"),
        ([*COMPARE, "--psf-matched", "empty"], 3, "has no FITS files; name that of"),
        ([*COMPARE, "--write-artifact-masks", "full"], 4, "is not empty; name another"),
        ([*COMPARE, "--write-artifact-masks", "no/m"], 4, "does not exist; make it"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    scene, output, capsys, monkeypatch, options, code, message
):
    warps, _ = scene
    monkeypatch.chdir(output.parent)
    os.mkdir("empty")
    os.mkdir("full")
    (output.parent / "full" / "a.fits").write_text("")
    assert assemble(warps, output, *options) == code
    assert message in said(capsys).splitlines()[-1]
    assert not output.exists()


def test_strict_refuses_warps_without_a_partner(scene, output, capsys):
    warps, partners = scene
    options = ("--psf-matched", partners, "--strict")
    assert assemble(warps, output, *COMPARE, *options) == 3
    assert "1 of 5 warps have no PSF-matched partner" in said(capsys)


def test_an_output_that_is_a_partner_is_refused(scene, capsys):
    warps, partners = scene
    options = ("--psf-matched", partners, "--overwrite")
    assert assemble(warps, partners / "p0.fits", *COMPARE, *options) == 2
    assert "is an input of this run" in said(capsys)


# Masks in files


def written(folder, **options):
    """Write masks of two exposures."""
    grid = io.Grid((6, 8))
    regions = [{"CLIPPED": SpanSet([(1, 2, 5), (4, 0, 7)])}, {"CLIPPED": SpanSet()}]
    return io.write_artifact_masks(folder, ["7", "a/b"], regions, grid, **options)


def test_masks_come_back_as_they_were_written(tmp_path):
    first, second = written(tmp_path / "m")
    assert (first.name, second.name) == ("7.fits", "a_b.fits")
    found = io.read_artifact_mask(first)
    assert found.regions["CLIPPED"] == SpanSet([(1, 2, 5), (4, 0, 7)])
    assert found.mask.sum() == 12 and found.mask.shape == (6, 8)
    assert io.verify_file(first) == 3
    assert io.read_artifact_mask(second).identifier == "a/b"


def test_a_folder_with_files_is_written_into_only_if_allowed(tmp_path):
    written(tmp_path / "m")
    (tmp_path / "m" / "other.txt").write_text("kept")
    with pytest.raises(io.OutputError, match="is not empty"):
        written(tmp_path / "m")
    written(tmp_path / "m", overwrite=True)
    assert len(list((tmp_path / "m").iterdir())) == 3
    (tmp_path / "file").write_text("")
    with pytest.raises(io.OutputError, match="is a file; name a folder"):
        written(tmp_path / "file")


def test_masks_are_written_all_or_none(tmp_path, monkeypatch):
    real = artifact_masks.write_atomically

    def fail(path, *arguments, **options):
        if path.name == "a_b.fits":
            raise io.OutputError("the disk is full")
        real(path, *arguments, **options)

    monkeypatch.setattr(artifact_masks, "write_atomically", fail)
    with pytest.raises(io.OutputError, match="the disk is full"):
        written(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_no_mask_of_artifacts(tmp_path):
    path = warp_files.write_warp(tmp_path, 0)
    with pytest.raises(io.InputError):
        io.read_artifact_mask(path)


# From exposures


@pytest.fixture
def exposures(tmp_path):
    """Write four exposures, one with a trail, of three widths, and their grid."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(4):
        name, width = f"{n}.fits", 1.4 + 0.1 * min(n, 2)
        options = {"visit": 10 + n, "offset": (0.2 * n, 0.3), "width": width}
        write_exposure(folder, name, seed=n, **options)
    with fits.open(folder / "1.fits", mode="update") as file:
        file["SCI"].data[30:33, 10:60] += 300
    return ["--from-exposures", folder, "--grid", write_grid(tmp_path)]


@pytest.mark.slow
def test_exposures_are_matched_by_the_run_itself(tmp_path, exposures, output, capsys):
    (tmp_path / "kept").mkdir()
    options = [*exposures, "--keep-warps", tmp_path / "kept"]
    assert assemble([], output, *COMPARE, *options) == 0
    # A Gaussian of sigma 1.6 pixels has a width of 3.77, which the kernel of the warp
    # changes by a percent or so.
    width = fits.getheader(tmp_path / "kept" / "psf-matched" / "10.fits")["PSFFWHM"]
    assert abs(width / (3.77 * 1.05) - 1) < 0.02
    assert f"matched to a point-spread function of {width:g} pixels" in said(capsys)
    with fits.open(output) as file:
        areas = file["INPUTS"].data["pixels_artifact"]
    assert areas[1] > 100 and areas.sum() == areas[1]


@pytest.mark.slow
def test_the_width_of_the_model_can_be_given_and_warps_are_removed(
    exposures, output, capsys
):
    assert assemble([], output, *COMPARE, *exposures, "--match-psf", "6") == 0
    assert said(capsys) == ""
    assert left_in(output) == ["coadd.fits", "grid.fits", "in"]
    options = [*exposures, "--overwrite", "--psf-matched", "p"]
    assert assemble([], output, *COMPARE, *options) == 2
    assert "--psf-matched does not go with --from-exposures" in said(capsys)


def test_masks_have_the_world_coordinates_of_the_coadd(tmp_path):
    grid = io.read_grid(write_grid(tmp_path))
    regions = [{"CLIPPED": SpanSet([(1, 2, 5)])}]
    (path,) = io.write_artifact_masks(tmp_path / "m", ["7"], regions, grid)
    header = fits.getheader(path, "MASK")
    np.testing.assert_array_equal(
        [header["CRPIX1"], header["CRPIX2"]], grid.wcs.wcs.crpix
    )
