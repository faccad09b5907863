"""One broken file among good ones: it is named, left out, and recorded."""

import os

import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import io
from tests import fits_files as files
from tests.warp_files import (
    PLANES,
    SHAPE,
    assemble,
    assert_same_planes,
    make_scene,
    write_warp,
    write_warps,
)

BROKEN = {}
"""What may be wrong with a file: how to make it, and what is said."""


def broken(message):
    """Register a maker of a broken file."""

    def register(make):
        BROKEN[make.__name__] = (make, message)
        return make

    return register


@broken("is truncated: its headers announce")
def truncated(folder):
    path = write_warp(folder, 9)
    os.truncate(path, path.stat().st_size - 2880)
    return path


@broken("HDU 3 (VARIANCE) of * is damaged: by its DATASUM card its bytes sum to")
def damaged_byte(folder):
    path = write_warp(folder, 9, checksum=True)
    files.flip_byte(path, 3, 200)
    return path


@broken("is not a FITS file: it begins with b'# a table' and not with SIMPLE")
def not_fits(folder):
    path = folder / "w9.fits"
    path.write_text("# a table of stars\n")
    return path


@broken("w9.fits is empty; fetch or write it again")
def nothing_in_it(folder):
    path = folder / "w9.fits"
    path.write_bytes(b"")
    return path


@broken("w9.fits does not exist; check its name")
def not_there(folder):
    return folder / "w9.fits"


@broken("no file has a name as *; check the folder and the pattern")
def pattern(folder):
    return folder / "no*.fits"


@broken("has no HDU VARIANCE or VAR; it has 0 PRIMARY, 1 IMAGE, 2 MASK; name the HDU")
def no_variance(folder):
    path = write_warp(folder, 9)
    with fits.open(path, mode="update") as file:
        del file[3]
    return path


@broken("has 30 x 50 pixels and * 40 x 50; warp it to their grid")
def other_shape(folder):
    return write_warp(folder, 9, scene=make_scene(9, (30, 50)))


@broken("is on another grid than *: up to 0.4 pixels off; warp it to that grid")
def other_grid(folder):
    moved = files.wcs_cards(SHAPE, (0.4, 0.0))
    return write_warp(folder, 9, image_cards=moved)


@broken("the WCS of HDU 1 (IMAGE) of * cannot be read (a card is not valid FITS)")
def card_that_is_a_guess(folder):
    path = write_warp(folder, 9)
    content = path.read_bytes()
    path.write_bytes(
        content.replace(
            b"CRVAL1  =                150.0", b"CRVAL1  =              ^ 150.0", 1
        )
    )
    return path


@broken("has no pixel that is a finite number; it is empty")
def empty(folder):
    scene = make_scene(9)
    return write_warp(
        folder, 9, scene=scene._replace(image=np.full_like(scene.image, np.nan))
    )


@broken("has no pixel without a bad mask plane; the bad planes are NO_DATA, BAD, SAT")
def all_masked(folder):
    scene = make_scene(9)
    return write_warp(folder, 9, scene=scene._replace(mask=np.full_like(scene.mask, 1)))


def with_variance(value):
    def make(folder):
        scene = make_scene(9)
        variance = np.full_like(scene.variance, value)
        return write_warp(folder, 9, scene=scene._replace(variance=variance))

    return make


for value in (0.0, -1.0, np.nan, np.inf):
    make = with_variance(value)
    make.__name__ = f"variance_{value}"
    broken("has a variance that is positive and finite nowhere; check which HDU")(make)


@broken("card MAGZERO of HDU 0 (PRIMARY) of * is -99.0, which cannot be a zero point")
def absurd_zero_point(folder):
    return write_warp(folder, 9, cards={"MAGZERO": -99.0})


@broken("does not say its zero point; give it as -c reader.zero_point=27.0")
def no_zero_point(folder):
    return write_warp(folder, 9, cards={"MAGZERO": None})


@broken("has the unit 'electron' and most warps have no unit; correct the card BUNIT")
def other_unit(folder):
    return write_warp(folder, 9, image_cards={"BUNIT": "electron"})


@broken("is of exposure 100, as is *, which is used")
def same_exposure(folder):
    return write_warp(folder, 0, name="w9.fits")


@broken("is truncated: its headers announce 144000*")
def enormous(folder):
    path = write_warp(folder, 9)
    content = path.read_bytes()
    for axis, size in ((1, SHAPE[1]), (2, SHAPE[0])):
        old = b"NAXIS%d  = %20d" % (axis, size)
        content = content.replace(old, b"NAXIS%d  = %20d" % (axis, 60000), 1)
    path.write_bytes(content)
    return path


@broken("HDU 1 (IMAGE) of * is compressed with HCOMPRESS_1, which is not read")
def other_compression(folder):
    scene = make_scene(9)
    scene = scene._replace(image=np.nan_to_num(scene.image))
    tiles = {"compression_type": "HCOMPRESS_1", "tile_shape": SHAPE}
    path = write_warp(folder, 9, scene=scene, compression=None)
    with fits.open(path, mode="update") as file:
        cards = {"EXTTYPE": "IMAGE"} | files.wcs_cards(SHAPE)
        file[1] = files.hdu(scene.image, cards, compression=tiles)
    return path


@broken("has 33 planes and a mask has at most 32; drop planes that are not used")
def too_many_planes(folder):
    return files.write_afw(
        folder / "w9.fits",
        make_scene(9),
        planes={f"P{n}": n % 32 for n in range(33)},
        cards={"VISIT": 9, "MAGZERO": 27.0},
    )


def assert_said(message, text):
    """Assert that the parts of a message, around `*`, are said in turn."""
    position = 0
    for part in message.split("*"):
        assert part in text[position:]
        position = text.index(part, position) + len(part)


@pytest.fixture
def good(tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    return write_warps(folder, 2)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_warp_is_left_out_named_and_recorded(
    kind, good, output, tmp_path, capsys
):
    make, message = BROKEN[kind]
    bad = make(tmp_path)
    assert assemble([good[0], bad, good[1]], output) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jaxcoadd: left out: ") and str(bad) in line
    assert_said(message, line)
    row = io.read_coadd(output).inputs[1]
    assert row["file"] == str(bad) and np.isnan(row["weight"])
    assert row["skipped"] == line.removeprefix("jaxcoadd: left out: ")
    alone = tmp_path / "alone.fits"
    assemble(good, alone)
    assert_same_planes(output, alone)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_warp_refuses_a_strict_run(kind, good, output, tmp_path, capsys):
    make, message = BROKEN[kind]
    bad = make(tmp_path)
    assert assemble([*good, bad], output, "--strict") == 3
    *_, line = capsys.readouterr().err.splitlines()
    assert "2 of 3 warps can be used and 3 are needed: " in line
    assert_said(message, line)
    assert not output.exists()


ALONE = [kind for kind in BROKEN if not kind.startswith(("other_grid", "same_"))]
ALONE = [kind for kind in ALONE if kind not in ("other_shape", "other_unit")]


@pytest.mark.parametrize("kind", ALONE)
def test_a_run_of_nothing_but_a_broken_warp_is_refused(kind, output, tmp_path, capsys):
    make, message = BROKEN[kind]
    bad = make(tmp_path)
    assert assemble([bad], output) == 3
    *_, line = capsys.readouterr().err.splitlines()
    assert "of the 1 warps can be used" in line or "0 of 1 warps can be used" in line
    assert_said(message, line)
    assert not output.exists()


def test_all_that_is_wrong_is_named_before_a_run_is_refused(tmp_path, output, capsys):
    paths = [tmp_path / f"{index}.fits" for index in range(6)]
    assert assemble(paths, output) == 3
    *named, last = capsys.readouterr().err.splitlines()
    assert len(named) == 6 and all("does not exist" in line for line in named)
    assert last.endswith("; and 3 more")


def test_an_empty_coadd_is_written_if_that_is_allowed(tmp_path, output, capsys):
    assert assemble([empty(tmp_path)], output, "--allow-empty") == 0
    assert "left out" in capsys.readouterr().err
    coadd = io.read_coadd(output).coadd
    assert (coadd.n_image == 0).all() and np.isinf(coadd.variance).all()
    assert not_written_without_a_grid(tmp_path, output)


def not_written_without_a_grid(tmp_path, output):
    """Nothing is known of a coadd of files of which none can be read."""
    options = ["--allow-empty", "--overwrite"]
    return assemble([tmp_path / "none.fits"], output, *options) == 3


def test_as_many_warps_must_be_left_as_are_asked_for(good, tmp_path, output, capsys):
    warps = [*good, empty(tmp_path)]
    assert assemble(warps, output, "--min-inputs", "3") == 3
    *_, line = capsys.readouterr().err.splitlines()
    assert "2 of 3 warps can be used and 3 are needed: " in line
    assert not output.exists()
    assert assemble(warps, output, "--min-inputs", "2") == 0


def test_too_few_warps_are_refused_before_any_pixel_is_read(
    good, tmp_path, output, monkeypatch
):
    def refuse(*arguments):
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(io.WarpFile, "read_rows", refuse)
    warps = [*good, tmp_path / "none.fits"]
    assert assemble(warps, output, "--min-inputs", "3") == 3
    assert assemble(warps, output, "--strict") == 3
    assert assemble(warps, output, "--strict", "--dry-run") == 3


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_pixels_with_an_impossible_variance_are_masked_and_counted(
    good, tmp_path, output, capsys, value
):
    scene = make_scene(9)
    scene.variance[20:22, 30:33] = value
    scene.mask[20:22, 30:33] = 0
    bad = write_warp(tmp_path, 9, scene=scene)
    assert assemble([*good, bad], output) == 0
    out, err = capsys.readouterr()
    assert f"{bad}: 6 pixels without a positive, finite variance are masked" in out
    assert err == ""
    found = io.read_coadd(output)
    assert list(found.inputs["bad_variance"]) == [0, 0, 6]
    clean = [make_scene(index).mask[20:22, 30:33] & 0b11 for index in (0, 1)]
    wanted = sum((mask == 0).astype(int) for mask in clean)
    np.testing.assert_array_equal(found.coadd.n_image[20:22, 30:33], wanted)
    rejected = found.coadd.planes.bits(["REJECTED"])
    assert (found.coadd.mask[20:22, 30:33] & rejected).all()


def test_planes_of_more_warps_than_fit_refuse_the_run(tmp_path, output, capsys):
    paths = []
    for index in range(2):
        scene = make_scene(index)
        planes = PLANES | {f"P{index}_{bit}": bit for bit in range(10, 22)}
        cards = {"VISIT": index, "MAGZERO": 27.0}
        path = tmp_path / f"p{index}.fits"
        paths.append(files.write_afw(path, scene, planes=planes, cards=cards))
    assert assemble(paths, output) == 3
    text = capsys.readouterr().err
    assert "the planes of the 2 warps and of their coadd do not fit" in text
    assert "-c reader.bits=" in text
    bits = "-c", "reader.bits={BAD = 0, SAT = 1, NO_DATA = 8}"
    assert assemble(paths, output, *bits) == 0


def test_a_file_that_changes_during_a_run_is_named(good, output, capsys, monkeypatch):
    real = io.WarpFile.read_rows

    def lose(self, *arguments):
        rows = real(self, *arguments)
        self.path.unlink()
        return rows

    monkeypatch.setattr("jaxcoadd.assembly.memory.KEPT_BYTES", 1 << 40)
    monkeypatch.setattr(io.WarpFile, "read_rows", lose)
    assert assemble(good, output) == 3
    assert "w0.fits does not exist; check its name" in capsys.readouterr().err
    assert not output.exists()
