"""The subcommand ``skymap`` as a user meets it."""

import subprocess
import sys

import pytest

from tests.warp_files import run, strict_json


def skymap(*arguments):
    return run("skymap", *arguments)


def test_a_map_is_described(capsys):
    assert skymap("describe", "lsst_cells_v1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "sha1: e2736e41244df00bbdb93aecac0ae4b2d19dda91" in lines
    assert "tracts: 18938" in lines and "patch inner size: 3000, 3000" in lines


def test_a_tract_is_described(capsys):
    assert skymap("describe", "hsc_rings_v1", "--tract", 9813) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "center: 150.2479339, 2.231404959" in lines
    assert "box: 0, 0, 35999, 35999" in lines and "patches: 9, 9" in lines


@pytest.mark.parametrize("name", ["36", "6,3"])
def test_a_patch_is_described(name, capsys):
    assert skymap("describe", "lsst_cells_v1", "--tract", 9813, "--patch", name) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "outer box: 17800, 8800, 21199, 12199" in lines
    assert "crpix: -2800, 6200" in lines and "shape: 3400, 3400" in lines


def test_a_description_is_json_if_wanted(capsys):
    skymap("describe", "DC2", "--json")
    assert strict_json(capsys.readouterr().out)["tracts"] == 18938
    skymap("describe", "DC2", "--tract", 2, "--patch", "0,0", "--json")
    found = strict_json(capsys.readouterr().out)
    assert found["patch"] == 0 and found["outer_box"] == [0, 0, 4099, 4099]


def test_a_position_is_found(capsys):
    assert skymap("find", "lsst_cells_v1", 150.0, 2.0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["tract: 9813", "patch: 36", "patch index: 6, 3"]
    assert "pixel: 19459.15545, 10834.02488" in lines


def test_a_position_in_several_tracts_names_all_of_them(capsys):
    assert skymap("find", "lsst_cells_v1", 53.125, -28.1, "--json") == 0
    found = strict_json(capsys.readouterr().out)
    assert (found["tract"], found["patch"]) == (5063, 14)
    assert found["tract"] in found["tracts_with_pixels"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["describe", "lsst_cells_v3"],
            "no sky map 'lsst_cells_v3'; there are lsst_cel",
        ),
        (
            ["find", "x", 1, 2],
            "no sky map 'x'; there are lsst_cells_v1, lsst_cells_v2,",
        ),
        (
            ["describe", "DC2", "--tract", 18938],
            "no tract 18938; the tracts are 0 to 18",
        ),
        (["describe", "DC2", "--tract", -1], "no tract -1; the tracts are 0 to 18937"),
        (
            ["describe", "DC2", "--tract", "x"],
            "argument --tract: invalid int value: 'x'",
        ),
        (
            ["describe", "DC2", "--tract", 1, "--patch", 49],
            "no patch 49 in tract 1; they are 0 to 48, or 0,0 to 6,6",
        ),
        (
            ["describe", "DC2", "--tract", 1, "--patch", "7,0"],
            "no patch 7,0 in tract 1; they are 0 to 48, or 0,0 to 6,6",
        ),
        (
            ["describe", "DC2", "--tract", 1, "--patch", "a"],
            "'a' names no patch of tract 1; they are 0 to 48",
        ),
        (
            ["describe", "DC2", "--patch", 1],
            "--patch needs the tract that it is of; give",
        ),
        (["find", "DC2", 1, 90.5], "a declination is from -90 to 90 degrees, not 90.5"),
        (["find", "DC2", "1h", 2], "argument RA: '1h' is not a number of degrees"),
        (["find", "DC2", 1, "nan"], "argument DEC: 'nan' is not a number of degrees"),
        (["find", "DC2", 1], "the following arguments are required: DEC"),
        ([], "the following arguments are required: ACTION"),
    ],
)
def test_what_does_not_exist_is_refused_in_a_sentence(arguments, message, capsys):
    assert skymap(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err and "Traceback" not in err


def test_help_says_what_there_is(capsys):
    for action in ("describe", "find"):
        assert skymap(action, "--help") == 0
        assert "NAME" in capsys.readouterr().out


def test_sky_maps_do_not_load_jax():
    code = (
        "import sys; from jaxcoadd.cli import main; "
        "main(['skymap', 'find', 'DC2', '150', '2']); assert 'jax' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
