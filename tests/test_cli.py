"""The command as a user meets it: what it writes, what it says, and how it ends."""

import errno
import os
import sys

import pytest
from astropy.io import fits

from jaxcoadd import io
from jaxcoadd.assembly import report
from jaxcoadd.assembly import run as assembly_run
from jaxcoadd.commands.assembling import read_bytes
from jaxcoadd.io import atomic
from tests import fits_files as files
from tests.warp_files import (
    assemble,
    assert_same_planes,
    left_in,
    planes_of,
    raising,
    run,
    strict_json,
    write_warp,
    write_warps,
)


def test_warps_become_a_coadd(warps, output, capsys):
    assert assemble(warps, output) == 0
    out, err = capsys.readouterr()
    plan, result = out.splitlines()
    assert plan == "2 of 2 warps, 40 x 50 pixels, zero point 27, in one part"
    assert result.startswith(f"{output}: 2 warps, 0 to 2 in a pixel, zero point 27, ")
    assert err == ""
    found = io.read_coadd(output)
    assert list(found.inputs["file"]) == [str(path) for path in warps]
    assert found.config["sigma_clip"] == "3.0"
    assert set(found.timings) == {"weigh", "stack", "finish"}
    assert left_in(output) == ["coadd.fits"]


def test_one_warp_is_no_reason_to_warn(warps, output, capsys):
    assert assemble(warps[:1], output) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("size", ["1", "7", "[2000, 2000]"])
def test_subregions_change_no_bit_of_the_file(warps, output, tmp_path, size):
    assemble(warps, output)
    other = tmp_path / "other.fits"
    assert assemble(warps, other, "-c", f"subregionSize={size}") == 0
    assert_same_planes(other, output)


def test_settings_come_from_a_file_and_from_pairs(warps, output, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('statistic = "MEAN"\nzero_point = 25.0\n')
    options = ["--config", config, "-c", "zero_point=24.5", "-c", "doNImage=True"]
    assert assemble(warps, output, *options) == 0
    found = io.read_coadd(output)
    assert found.coadd.zero_point == 24.5
    assert found.config["statistic"] == "Mean"
    assert (planes_of(output)["MASK"] & found.coadd.planes.bits(["CLIPPED"])).sum() == 0


def test_relative_paths_and_links_are_followed(warps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink("warps/w0.fits", "link.fits")
    assert assemble(["link.fits", "warps/w1.fits"], "c.fits") == 0
    assert list(io.read_coadd("c.fits").inputs["file"]) == [
        "link.fits",
        "warps/w1.fits",
    ]


def test_names_that_are_no_text_are_shown_with_backslashes(tmp_path, output, capsys):
    odd = write_warp(tmp_path, 0, name=os.fsdecode(b"w\xff.fits"))
    assert assemble([odd, tmp_path / os.fsdecode(b"\xfe.fits")], output, "-v") == 0
    out, err = capsys.readouterr()
    assert "w\\udcff.fits: weight" in out and "\\udcfe.fits does not exist" in err
    assert io.read_coadd(output).inputs["file"][0].endswith("w\\udcff.fits")


def test_quiet_says_nothing_and_verbose_every_input(warps, output, capsys):
    assert assemble(warps, output, "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert assemble(warps, output, "-v", "--overwrite") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines[2:]] == list(map(str, warps))
    assert "pixels used" in lines[2] and "clipped" in lines[2]


def test_json_is_valid_and_has_every_input(warps, output, tmp_path, capsys):
    bare = write_warp(tmp_path, 5, cards={"MAGZERO": None}, name="bare.fits")
    assert assemble([*warps, bare], output, "--json") == 0
    found = strict_json(capsys.readouterr().out)
    assert found["output"] == str(output)
    assert [row["weight"] is None for row in found["inputs"]] == [False, False, True]
    assert found["inputs"][0]["seeing"] is None
    assert "zero point" in found["inputs"][2]["skipped"]


def test_a_dry_run_reads_no_pixel_and_writes_nothing(
    warps, output, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(io.WarpFile, "read_rows", raising(AssertionError("read")))
    bare = write_warp(tmp_path, 5, cards={"MAGZERO": None}, name="bare.fits")
    assert assemble([*warps, bare], output, "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "2 of 3 warps, 40 x 50 pixels" in out
    assert "0.0 MB of pixels to read, each file once; at most about" in out
    assert f"  use  {warps[0]}: exposure 100, zero point 27, scale 1" in out
    assert f"  skip {bare} does not say its zero point" in out
    assert f"left out: {bare} does not say its zero point" in err
    assert assemble([*warps, bare], output, "--dry-run", "--json") == 0
    plan = strict_json(capsys.readouterr().out)
    assert (plan["subregions"], plan["passes"]) == (1, 1)
    assert plan["pixel_bytes"] == 2 * 2000 * 12
    assert plan["inputs"][2]["zero_point"] is None
    assert not output.exists()


def test_a_dry_run_says_that_the_output_exists(warps, output, capsys):
    output.write_text("old")
    assert assemble(warps, output, "--dry-run") == 0
    assert "the run itself would be refused: " in capsys.readouterr().err
    assert assemble(warps, output, "--dry-run", "--overwrite") == 0
    assert capsys.readouterr().err == ""
    assert output.read_text() == "old"


def test_bright_objects_are_flagged(warps, output, tmp_path):
    catalogue = tmp_path / "bright.reg"
    catalogue.write_text("wcs; fk5\ncircle(150.0, 2.0, 0.0002) # ID: 1\n")
    assert assemble(warps, output, "--bright-objects", catalogue) == 0
    coadd = io.read_coadd(output).coadd
    assert (coadd.mask & coadd.planes.bits(["BRIGHT_OBJECT"])).any()


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_a_broken_catalogue_is_refused_before_any_pixel_is_read(
    warps, output, tmp_path, capsys, monkeypatch, extra
):
    monkeypatch.setattr(io.WarpFile, "read_rows", raising(AssertionError("read")))
    options = ["--bright-objects", tmp_path / "none.reg", *extra]
    assert assemble(warps, output, *options) == 3
    assert "none.reg cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "sigmaclip=3"], "did you mean sigmaClip?"),
        (["-c", "statistic=MIN"], "interpolate=True does not go with Minimum"),
        (["-c", "badMaskPlanes=['CROSTALK']"], "did you mean 'CROSSTALK'? (in bad_"),
        (["--config", "none.toml"], "none.toml cannot be read: No such file"),
        (["--memory", "100MB"], "memory of 100 MiB is too little for 2 warps of 40 x"),
        (["--memory", "lots"], "'lots' is not an amount as 800MB or 2GB"),
        (["--memory=-1GB"], "is not an amount as 800MB or 2GB"),
        (["--min-inputs", "3"], "--min-inputs is 3 and 2 warps are given"),
        (["--min-inputs", "0"], "'0' is not a whole number above 0"),
        (["-q", "-v"], "not allowed with argument"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    warps, output, capsys, options, message
):
    assert assemble(warps, output, *options) == 2
    assert message in capsys.readouterr().err
    assert left_in(output) == []


@pytest.mark.parametrize("text", ["800MB", "800m", "0.8G", "819200K", "838860800"])
def test_amounts_of_memory_are_read(text):
    assert read_bytes(text) == pytest.approx(800 << 20, rel=0.03)


def test_the_output_may_not_be_an_input(warps, tmp_path, capsys, monkeypatch):
    before = warps[0].read_bytes()
    monkeypatch.chdir(warps[0].parent)
    os.link(warps[0], tmp_path / "hard.fits")
    for output in (warps[0], "w0.fits", "../warps/w0.fits", tmp_path / "hard.fits"):
        assert assemble(warps, output, "--overwrite") == 2
        assert "is an input of this run" in capsys.readouterr().err
    assert warps[0].read_bytes() == before


def test_the_output_may_not_be_a_plane_beside_an_input(tmp_path, capsys):
    scene = files.make_scene()
    image = files.write_swarp(
        tmp_path / "s", scene, 1 / scene.variance, cards={"MAGZERO": 25.0}
    )
    weight = image.with_name("one.resamp.weight.fits")
    before = weight.read_bytes()
    assert assemble([image], weight, "--overwrite") == 2
    assert "one.resamp.weight.fits is an input of this run" in capsys.readouterr().err
    assert weight.read_bytes() == before


def test_the_output_may_not_be_the_configuration(warps, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("sigma_clip = 3.0")
    assert assemble(warps, config, "--config", config, "--overwrite") == 2
    assert config.read_text() == "sigma_clip = 3.0"


def test_an_output_that_names_a_compression_is_refused(warps, tmp_path, capsys):
    assert assemble(warps, tmp_path / "c.fits.gz") == 2
    assert "compressed inside; name it .fits" in capsys.readouterr().err


def test_an_output_that_exists_stays_unless_it_may_be_replaced(warps, output, capsys):
    output.write_text("old")
    assert assemble(warps, output) == 4
    err = capsys.readouterr().err
    assert "coadd.fits exists; name another file or allow it" in err
    assert "--overwrite" in err
    assert output.read_text() == "old"
    assert assemble(warps, output, "--overwrite") == 0
    assert io.verify_file(output) == 8


def test_a_folder_that_is_missing_or_none_ends_with_4(warps, tmp_path, capsys):
    assert assemble(warps, tmp_path / "no" / "c.fits") == 4
    assert "no does not exist; make it or name another" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert assemble(warps, tmp_path / "file" / "c.fits") == 4
    assert "file does not exist; make it or name another" in capsys.readouterr().err
    assert assemble(warps, tmp_path) == 4
    assert "is a folder; name a file in it" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_to_ends_with_4(
    warps, output, capsys, monkeypatch
):
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(atomic.tempfile, "TemporaryFile", raising(denied))
    assert assemble(warps, output) == 4
    assert "takes no new files (Permission denied); name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 4, "the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was written"),
        (MemoryError(), 5, "out of memory; nothing was written; give less with"),
    ],
)
def test_what_goes_wrong_while_writing_leaves_nothing(
    warps, output, capsys, monkeypatch, error, code, message
):
    monkeypatch.setattr(atomic.os, "fsync", raising(error))
    assert assemble(warps, output) == code
    assert message in capsys.readouterr().err
    assert left_in(output) == []


def test_an_interruption_after_writing_says_so(warps, output, capsys, monkeypatch):
    monkeypatch.setattr(report, "result_as_text", raising(KeyboardInterrupt()))
    assert assemble(warps, output) == 130
    assert f"interrupted; {output} is written" in capsys.readouterr().err
    assert io.verify_file(output) == 8


def test_memory_that_runs_out_on_a_device_ends_with_5(
    warps, output, capsys, monkeypatch
):
    error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nwhile trying to")
    monkeypatch.setattr(assembly_run, "stack_subregions", raising(error))
    assert assemble(warps, output) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jaxcoadd: out of memory")


def test_our_own_mistakes_are_not_hidden(warps, output, monkeypatch):
    monkeypatch.setattr(assembly_run, "stack_subregions", raising(TypeError("ours")))
    with pytest.raises(TypeError, match="ours"):
        assemble(warps, output)


def test_a_reader_that_has_gone_away_does_not_matter(warps, output, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert assemble(warps, output) == 0
    assert io.verify_file(output) == 8


def test_without_a_command_the_usage_is_shown(capsys):
    assert run() == 2
    assert "usage: jaxcoadd" in capsys.readouterr().err
    assert run("--version") == 0
    assert capsys.readouterr().out == f"jaxcoadd {cli_version()}\n"


def cli_version():
    from importlib.metadata import version

    return version("jaxcoadd")


@pytest.mark.parametrize("command", [[], ["assemble"], ["demo"], ["inspect"]])
def test_help_is_given_with_the_exit_codes(command, capsys):
    assert run(*command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: jaxcoadd")
    if command in ([], ["assemble"]):
        assert "129, 130 or 143 interrupted" in " ".join(text.split())


def test_the_primary_header_names_what_the_warps_share(tmp_path, output):
    paths = write_warps(tmp_path, 2, cards={"FILTER": "r"})
    assemble(paths, output)
    header = fits.getheader(output)
    assert (header["FILTER"], header["NINPUTS"], header["MAGZERO"]) == ("r", 2, 27.0)


def test_warps_of_two_bands_are_noticed(tmp_path, output, capsys):
    paths = [write_warp(tmp_path, k, cards={"FILTER": b}) for k, b in enumerate("gr")]
    assert assemble(paths, output) == 0
    assert "note: the warps are of 2 bands (g 1, r 1)" in capsys.readouterr().err
    assert "FILTER" not in fits.getheader(output)
