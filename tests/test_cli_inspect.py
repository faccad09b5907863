"""The commands that look: what a file holds, and whether the installation is well."""

import numpy as np
import pytest
from astropy.table import Table

from jaxcoadd import doctor
from tests import fits_files as files
from tests.warp_files import (
    assemble,
    make_scene,
    raising,
    run,
    strict_json,
    write_warp,
)


def test_inspect_describes_a_warp(warps, capsys):
    assert run("inspect", warps[0]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "kind: warp, layout afw" in lines and "shape: 40 x 50" in lines
    assert "identifier: 100" in lines and "seeing: not stated" in lines
    assert "not finite: 120" in lines
    assert any(line.startswith("masked: BAD ") for line in lines)
    assert run("inspect", "--json", warps[0]) == 0
    found = strict_json(capsys.readouterr().out)
    nan = np.isnan(make_scene(0).image)
    assert found["masked"]["NO_DATA"] == pytest.approx(nan.mean())


def test_inspect_describes_a_coadd(warps, output, tmp_path, capsys):
    bare = write_warp(tmp_path, 5, cards={"MAGZERO": None}, name="bare.fits")
    assemble([*warps, bare], output, "-q")
    capsys.readouterr()
    assert run("inspect", output) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "kind: coadd" in lines and "inputs: 2" in lines
    assert f"left out: {bare}" in lines and "depth: 0 to 2 warps" in lines
    assert "hdus with checksums: 8" in lines and "  sigma_clip: 3.0" in lines
    assert run("inspect", "--json", output) == 0
    assert strict_json(capsys.readouterr().out)["depth"] == [0, 2]


def test_inspect_says_what_is_wrong(warps, output, tmp_path, capsys):
    assemble(warps, output, "-q")
    files.flip_byte(output, 1, 150)
    text = tmp_path / "a.txt"
    text.write_text("a,b\n")
    table = tmp_path / "t.fits"
    Table({"a": [1]}).write(table)
    for path, message in [
        (output, "HDU 1 (IMAGE) of"),
        (text, "a.txt is not a FITS file: it begins with"),
        (table, "t.fits has no HDU IMAGE or SCI; it has 0 PRIMARY, 1 no name"),
        (tmp_path / "none.fits", "none.fits does not exist; check its name"),
        (tmp_path, "is a folder, not a FITS file"),
    ]:
        assert run("inspect", path) == 3
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


@pytest.mark.slow
def test_doctor_finds_this_installation_well(capsys):
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "jaxcoadd " in out and "devices: " in out
    assert "sample data: 17 warps" in out and "warps: right" in out


def test_doctor_says_what_is_not_well(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_check_coadds", raising(ValueError("is wrong")))
    assert run("doctor") == 2
    out = capsys.readouterr().out
    assert "FAILED, ValueError: is wrong" in out and "sample data: 17" in out


def test_doctor_names_what_is_not_installed(monkeypatch):
    lines = []
    monkeypatch.setattr(doctor, "OPTIONAL", ("no-such-package",))
    monkeypatch.setattr(doctor, "_check_coadds", lambda: "right")
    assert doctor.check_installation(lines.append)
    assert "no-such-package: not installed (optional)" in lines
