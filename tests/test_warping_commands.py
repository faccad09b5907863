"""The commands on exposures: what they write, refuse and say."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import inputs, io
from jaxcoadd.io import atomic
from tests.exposure_files import GRID_SHAPE, PLANES, write_exposure, write_grid
from tests.warp_files import planes_of, run


@pytest.fixture
def scene(tmp_path):
    """Make a folder of two exposures, one half of the grid each, and a grid."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_exposure(folder, "0.fits", visit=10, offset=(0.2, 0.3), seed=1)
    write_exposure(folder, "1.fits", visit=11, offset=(30.2, 0.3), seed=2)
    return folder, write_grid(tmp_path)


def from_exposures(folder, grid, output, *options):
    source = ("--from-exposures", folder, "--grid", grid)
    return run("assemble", *source, "--output", output, *options)


def only_line(capsys):
    """Return the one line that was said of what is wrong."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


# Noise


def test_noise_goes_into_the_file_of_each_warp(tmp_path, scene, capsys):
    folder, grid = scene
    options = ("--grid", grid, "--output", tmp_path, "--noise-realizations", "2")
    assert run("warp", *sorted(folder.iterdir()), *options, "--seed", "3") == 0
    path = tmp_path / "10.fits"
    with fits.open(path) as file:
        assert file[0].header["SEED"] == 3
        names = [hdu.name for hdu in file]
        noise = file["NOISE0"].data
        assert file["NOISE1"].data.shape == GRID_SHAPE == noise.shape
        assert "CRVAL1" in file["NOISE0"].header
    assert names[4:] == [
        "MASKED_FRACTION",
        "NOISE0",
        "NOISE_VARIANCE",
        "NOISE1",
        "DETECTORS",
    ]
    assert io.verify_file(path) == len(names)
    image = io.read_warp(path).image
    np.testing.assert_array_equal(np.isfinite(image), np.isfinite(noise))
    for more in (["--match-psf", "6"], ["--seed", "-1"]):
        assert run("warp", path, *options, *more) == 2
        assert "noise" in only_line(capsys)


def test_a_seed_without_noise_is_refused(tmp_path, scene, capsys):
    folder, grid = scene
    options = ("--grid", grid, "--output", tmp_path, "--seed", "3")
    assert run("warp", folder / "0.fits", *options) == 2
    assert "give --noise-realizations N too" in only_line(capsys)


# Maps


def flag_bad(path, rows, columns):
    with fits.open(path, mode="update") as file:
        file["MASK"].data[rows, columns] |= 1 << PLANES["BAD"]


def test_the_masked_fraction_of_a_coadd_is_the_mean_of_its_warps(tmp_path, scene):
    folder, grid = scene
    flag_bad(folder / "0.fits", slice(20, 30), slice(40, 50))
    kept, output = tmp_path / "warps", tmp_path / "c.fits"
    kept.mkdir()
    assert from_exposures(folder, grid, output, "--keep-warps", kept) == 0
    with fits.open(output) as file:
        found = file["MASKED_FRACTION"].data
        weights = file["INPUTS"].data["weight"]
        assert "CRVAL1" in file["MASKED_FRACTION"].header
    warps = []
    for name in ("10.fits", "11.fits"):
        with fits.open(kept / name) as file:
            warps.append(file["MASKED_FRACTION"].data)
    known = np.isfinite(warps)
    total = np.sum(np.where(known, warps, 0) * weights[:, None, None], axis=0)
    weight = np.sum(known * weights[:, None, None], axis=0)
    np.testing.assert_array_equal(np.isfinite(found), weight > 0)
    np.testing.assert_allclose(
        found[weight > 0], (total / np.where(weight > 0, weight, 1))[weight > 0], 1e-6
    )
    assert found[25, 45] == pytest.approx(weights[0] / weights.sum(), rel=1e-5)


def test_an_image_of_bits_says_which_exposures_are_where(tmp_path, scene):
    folder, grid = scene
    flag_bad(folder / "0.fits", slice(20, 24), slice(10, 14))
    output, path = tmp_path / "c.fits", tmp_path / "map.fits"
    assert from_exposures(folder, grid, output, "--input-map", path) == 0
    bits = io.read_input_bits(path)
    assert bits.shape == (1, *GRID_SHAPE)
    # The coadd counts those without a bad plane, as the map does.
    np.testing.assert_array_equal(
        inputs.count_inputs(bits), planes_of(output)["N_IMAGE"]
    )
    assert set(np.unique(bits)) == {0, 1, 2, 3}
    assert bits[0, 22, 12] == 0
    header = fits.getheader(path)
    assert [header[f"B000{bit}VIS"] for bit in range(2)] == [10, 11]
    assert [header[f"B000{bit}CCD"] for bit in range(2)] == [1, 1]
    with fits.open(output) as file:
        weight = file["INPUTS"].data["weight"][1]
    assert header["B0001WT"] == pytest.approx(weight, rel=1e-10)
    assert io.read_grid(path).shape == GRID_SHAPE
    with pytest.raises(io.InputError, match="has no HDU INPUTS0"):
        io.read_input_bits(grid)


@pytest.mark.parametrize("suffix", [".hs", ".hsp"])
def test_a_map_on_the_sky_says_which_exposures_are_where(tmp_path, scene, suffix):
    folder, grid = scene
    path = tmp_path / f"map{suffix}"
    output = tmp_path / "c.fits"
    assert from_exposures(folder, grid, output, "--input-map", path) == 0
    found = io.read_input_map(path)
    assert found.nside_sparse == 32768
    assert (found.metadata["B0000VIS"], found.metadata["B0001VIS"]) == (10, 11)
    wcs = io.read_grid(grid).wcs
    sky = [wcs.pixel_to_world_values(x, 30.0) for x in (8.0, 45.0)]
    values = [found.get_values_pos(*place)[0] for place in sky]
    assert values == [1, 3]


def test_without_healsparse_the_extra_is_named(tmp_path, scene, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "healsparse", None)
    folder, grid = scene
    output = tmp_path / "c.fits"
    path = tmp_path / "map.hsp"
    assert from_exposures(folder, grid, output, "--input-map", path) == 2
    line = only_line(capsys)
    assert "pip install 'jaxcoadd[maps]'; or name a file .fits" in line
    assert not output.exists()


def test_maps_that_cannot_be_written_are_refused_before_any_work(
    tmp_path, scene, capsys
):
    folder, grid = scene
    output = tmp_path / "c.fits"
    first = folder / "0.fits"
    before = first.read_bytes()
    for path, code, said in (
        (output, 2, "--input-map and --output are one file"),
        (grid, 4, "grid.fits exists"),
        (tmp_path / "no" / "map.fits", 4, "does not exist"),
    ):
        assert from_exposures(folder, grid, output, "--input-map", path) == code
        assert said in only_line(capsys)
    assert from_exposures(folder, grid, output, "--input-map", "m.fits.gz") == 2
    assert "--input-map m.fits.gz: what is written is compressed" in only_line(capsys)
    options = ("--input-map", first, "--overwrite")
    assert from_exposures(folder, grid, output, *options) == 2
    assert f"--input-map {first} is an input" in only_line(capsys)
    assert first.read_bytes() == before
    options = ("--output", output, "--input-map", tmp_path / "map.fits")
    assert run("assemble", grid, *options) == 2
    assert "give them by --from-exposures DIR" in only_line(capsys)
    assert not output.exists()


def test_the_page_says_what_a_coadd_and_a_warp_of_exposures_hold(tmp_path, scene):
    folder, grid = scene
    output = tmp_path / "c.fits"
    page = (Path(__file__).parents[1] / "docs" / "command.md").read_text()
    assert from_exposures(folder, grid, output) == 0
    with fits.open(output) as file:
        for hdu in file:
            assert f"\n| `{hdu.name}` |" in page
        assert len(file) == 13


def test_every_option_of_warp_is_explained(capsys):
    assert run("warp", "--help") == 0
    page = (Path(__file__).parents[1] / "docs" / "command.md").read_text()
    options = set(re.findall(r"(--[a-z-]+)", capsys.readouterr().out))
    for option in options - {"--help", "--quiet", "--verbose"}:
        assert f"`{option}" in page, option


# What is left out


def test_strict_refuses_an_exposure_with_a_fault_and_says_it_once(
    tmp_path, scene, capsys
):
    folder, grid = scene
    write_exposure(folder, "2.fits", visit=12, psf=False)
    output = tmp_path / "c.fits"
    assert from_exposures(folder, grid, output, "--strict") == 3
    line = only_line(capsys)
    assert "1 of 3 exposures cannot be used and --strict allows none" in line
    assert line.count("2.fits has no HDU PSF") == 1
    assert not output.exists()
    assert from_exposures(folder, grid, output) == 0


def test_strict_refuses_a_fault_that_only_pixels_show(tmp_path, scene, capsys):
    folder, grid = scene
    with fits.open(folder / "1.fits", mode="update") as file:
        file["PSF"].data[3, 3] = np.nan
    assert from_exposures(folder, grid, tmp_path / "c.fits", "--strict") == 3
    assert "cannot be a point-spread function" in only_line(capsys)


def test_an_exposure_beside_the_grid_is_no_fault(tmp_path, scene, capsys):
    folder, grid = scene
    write_exposure(folder, "2.fits", visit=12, offset=(900, 0))
    assert from_exposures(folder, grid, tmp_path / "c.fits", "--strict") == 0
    assert "left out: " in only_line(capsys)


def test_exposures_left_out_are_in_the_table_of_the_coadd(tmp_path, scene):
    folder, grid = scene
    write_exposure(folder, "2.fits", visit=12, offset=(900, 0))
    write_exposure(folder, "3.fits", visit=13, psf=False)
    assert from_exposures(folder, grid, tmp_path / "c.fits") == 0
    rows = io.read_coadd(tmp_path / "c.fits").inputs
    reasons = {Path(row["file"]).name: str(row["skipped"]) for row in rows}
    assert sorted(reasons) == ["0.fits", "1.fits", "2.fits", "3.fits"]
    assert reasons["0.fits"] == reasons["1.fits"] == ""
    assert "does not overlap the grid" in reasons["2.fits"]
    assert "has no HDU PSF" in reasons["3.fits"]


def test_fewer_warps_than_wanted_are_refused_after_warping(tmp_path, scene, capsys):
    folder, grid = scene
    options = ("--min-inputs", "3")
    assert from_exposures(folder, grid, tmp_path / "c.fits", *options) == 3
    assert "2 of 2 warps can be used and 3 are needed" in only_line(capsys)


@pytest.mark.parametrize(
    "exposure", [{"offset": (900, 0)}, {"wcs": False}], ids=["off the grid", "faulty"]
)
def test_a_coadd_of_no_exposure_is_written_if_that_is_allowed(
    tmp_path, capsys, exposure
):
    folder, output = tmp_path / "in", tmp_path / "c.fits"
    folder.mkdir()
    write_exposure(folder, "a.fits", **exposure)
    grid = write_grid(tmp_path)
    assert from_exposures(folder, grid, output) == 3
    capsys.readouterr()
    options = ("--allow-empty", "--input-map", tmp_path / "map.fits")
    assert from_exposures(folder, grid, output, *options) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in said] == ["left out", "note", "note"]
    assert "the coadd is without data" in said[1]
    assert "map.fits is not written, for the coadd has no exposures" in said[2]
    found = io.read_coadd(output)
    assert found.coadd.image.shape == GRID_SHAPE
    assert found.coadd.zero_point == 31.4
    assert (found.coadd.n_image == 0).all() and np.isinf(found.coadd.variance).all()
    (row,) = found.inputs
    assert row["file"].endswith("a.fits") and "a.fits" in row["skipped"]


def test_strict_and_empty_go_together_where_nothing_is_wrong(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_exposure(folder, "a.fits", offset=(900, 0))
    options = ("--strict", "--allow-empty")
    output = tmp_path / "c.fits"
    assert from_exposures(folder, write_grid(tmp_path), output, *options) == 0
    write_exposure(folder, "b.fits", wcs=False)
    options = (*options, "--overwrite")
    assert from_exposures(folder, tmp_path / "grid.fits", output, *options) == 3


# Readers, and what an interrupt leaves


def test_warp_reads_exposures_as_assemble_does(tmp_path, capsys):
    path = write_exposure(tmp_path, "a.fits", cards={"MAGZERO": None})
    options = ("--grid", write_grid(tmp_path), "--output", tmp_path)
    given = ("-c", "reader.zero_point=27.0", "-c", "reader.identifier=FILTER")
    assert run("warp", path, *options, *given) == 0
    assert io.open_warp(tmp_path / "r.fits").identifier == "r"
    capsys.readouterr()
    for setting, said in (
        ("statistic=MEAN", "only how exposures are read can be set here"),
        ("reader.zeropoint=1", "no key 'zeropoint' in a reader mapping"),
        ("reader", "expected key=value"),
    ):
        assert run("warp", path, *options, "-c", setting) == 2
        assert said in only_line(capsys)


@pytest.fixture
def interrupted_at(monkeypatch):
    """Return a function that interrupts the run when it writes the n-th file."""

    def start(number):
        real, count = atomic.os.fsync, iter(range(1, 100))

        def fsync(handle):
            if next(count) == number:
                raise KeyboardInterrupt
            real(handle)

        monkeypatch.setattr(atomic.os, "fsync", fsync)

    return start


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_interrupt_says_which_warps_are_kept(
    tmp_path, scene, interrupted_at, capsys, number
):
    folder, grid = scene
    kept = tmp_path / "warps"
    kept.mkdir()
    interrupted_at(number)
    options = ("--keep-warps", kept)
    assert from_exposures(folder, grid, tmp_path / "c.fits", *options) == 130
    left = len(list(kept.glob("*.fits")))
    line = only_line(capsys)
    if left:
        assert line.endswith(f"; all that is written are {left} warps in {kept}")
    else:
        assert line.endswith("; nothing was written")
    assert not (tmp_path / "c.fits").exists()


def test_an_interrupt_without_kept_warps_leaves_nothing(
    tmp_path, scene, interrupted_at, capsys
):
    interrupted_at(2)
    assert from_exposures(*scene, tmp_path / "c.fits") == 130
    assert only_line(capsys).endswith("; nothing was written")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "grid.fits"}


def test_an_interrupt_of_warp_says_what_is_written(
    tmp_path, scene, interrupted_at, capsys
):
    folder, grid = scene
    out = tmp_path / "out"
    out.mkdir()
    interrupted_at(2)
    options = ("--grid", grid, "--output", out)
    assert run("warp", *sorted(folder.iterdir()), *options) == 130
    left = len(list(out.glob("*.fits")))
    said = capsys.readouterr().err
    wanted = f"all that is written are {left} warps in {out}"
    assert (wanted if left else "nothing was written") in said
