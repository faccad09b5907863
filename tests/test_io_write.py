"""Coadds are written whole or not at all, and read back bit for bit."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from jaxcoadd import io
from jaxcoadd.io import atomic
from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from tests import fits_files as files

SHAPE = files.SHAPE
TABLES = {
    "inputs": Table({"path": ["a.fits", ""], "weight": [0.5, 1.5]}),
    "config": {"statistic": "MEAN", "note": "line 1\nline 2 — é"},
    "timings": {"read": 1.25, "write": 0.5},
}


def make_coadd(**changes):
    scene = files.make_scene()
    image = scene.image.copy()
    image[0, :4] = np.nan, np.inf, -np.inf, -0.0
    image.view(np.uint32)[1, 0] = 0x7FC12345  # a NaN with a message
    variance = scene.variance.copy()
    variance[0, :2] = np.inf, np.nan
    coadd = io.CoaddPlanes(
        image=image,
        variance=variance,
        mask=scene.mask | np.uint32(1 << 31),
        n_image=np.arange(image.size, dtype=np.int32).reshape(SHAPE),
        planes=LSST_PLANES.add("A_NAME_OF_SOME_LENGTH"),
        zero_point=31.4,
        grid=io.Grid(SHAPE, WCS(fits.Header(files.wcs_cards())), (100, -20)),
    )
    return dataclasses.replace(coadd, **changes)


def bits(array):
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def assert_same_bits(found, wanted):
    assert found.dtype.isnative
    np.testing.assert_array_equal(bits(found), bits(wanted))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "coadd.fits"


@pytest.mark.parametrize("compress", [True, False])
def test_a_coadd_is_read_back_bit_for_bit(path, compress):
    coadd = make_coadd()
    io.write_coadd(path, coadd, **TABLES, compress=compress)
    read = io.read_coadd(path)
    for name in ("image", "variance", "mask"):
        assert_same_bits(getattr(read.coadd, name), getattr(coadd, name))
    np.testing.assert_array_equal(read.coadd.n_image, coadd.n_image)
    assert read.coadd.n_image.dtype == np.uint16
    assert read.coadd.planes == coadd.planes
    assert (read.coadd.zero_point, read.coadd.unit) == (31.4, "nJy")
    assert read.coadd.grid.origin == (100, -20)
    assert io.same_grid(coadd.grid, read.coadd.grid).residual < 1e-9
    assert os.listdir(path.parent) == ["coadd.fits"]


def test_tables_are_read_back(path):
    io.write_coadd(path, make_coadd(), **TABLES)
    read = io.read_coadd(path)
    assert list(read.inputs["path"]) == ["a.fits", ""]
    assert list(read.inputs["weight"]) == [0.5, 1.5]
    note = r"line 1\nline 2 \u2014 \xe9"  # FITS has printable ASCII alone
    assert read.config == {"statistic": "MEAN", "note": note}
    assert read.timings == TABLES["timings"]


def test_a_coadd_without_tables_is_read_back(path):
    io.write_coadd(path, make_coadd())
    read = io.read_coadd(path)
    assert (len(read.inputs), read.config, read.timings) == (0, {}, {})


@hypothesis.given(
    image=hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    compress=st.booleans(),
)
def test_any_bits_of_any_shape_survive(tmp_path_factory, image, compress):
    path = tmp_path_factory.mktemp("coadd") / "coadd.fits"
    coadd = io.CoaddPlanes(
        image.view(np.float32),
        image.view(np.float32),
        image,
        (image & np.uint32(0xFFFF)),
        LSST_PLANES,
        27.0,
        io.Grid(image.shape),
    )
    io.write_coadd(path, coadd, compress=compress)
    read = io.read_coadd(path).coadd
    for name in ("image", "variance", "mask"):
        assert_same_bits(getattr(read, name), getattr(coadd, name))


@pytest.mark.parametrize("compress", [True, False])
def test_the_file_opens_in_astropy_by_name(path, compress):
    coadd = make_coadd()
    cards = {"FILTER": "HSC-I"}
    io.write_coadd(path, coadd, **TABLES, cards=cards, compress=compress)
    with fits.open(path, disable_image_compression=True) as file:
        assert ("ZIMAGE" in file["IMAGE"].header) == compress
    with fits.open(path, checksum=True) as file:
        names = [hdu.name for hdu in file]
        np.testing.assert_array_equal(file["IMAGE"].data, coadd.image)
        assert file["MASK"].data.dtype.newbyteorder("=") == np.int32
        assert file["N_IMAGE"].data.dtype == np.uint16
        primary, image, mask = (file[n].header for n in ("PRIMARY", "IMAGE", "MASK"))
        types = [file[name].header["EXTTYPE"] for name in names[1:5]]
        squared = file["VARIANCE"].header["BUNIT"]
    pixels = ["IMAGE", "MASK", "VARIANCE", "N_IMAGE"]
    assert names == ["PRIMARY", *pixels, "INPUTS", "CONFIG", "TIMINGS"]
    assert types == pixels
    assert (image["BUNIT"], squared) == ("nJy", "nJy**2")
    assert (image["CRVAL1A"], image["CRVAL2A"], image["LTV1"]) == (100, -20, -100)
    assert image["CRVAL1"] == 150.0
    assert (mask["MP_SAT"], mask["MP_A_NAME_OF_SOME_LENGTH"]) == (1, 11)
    assert (primary["MAGZERO"], primary["NINPUTS"]) == (31.4, 2)
    assert primary["FLUXMAG0"] == pytest.approx(3.6307805477e12, rel=1e-10)
    assert primary["FILTER"] == "HSC-I"
    assert {"JAXCOADD", "JAX", "NUMPY", "ASTROPY", "PYTHON", "DATE"} <= set(primary)


def test_every_hdu_has_checksums_that_a_flipped_bit_breaks(path):
    io.write_coadd(path, make_coadd(), **TABLES)
    assert io.verify_file(path) == 8
    files.flip_byte(path, 6, 1)
    with pytest.raises(io.InputError, match=r"HDU 6 \(CONFIG\) of .* is damaged"):
        io.verify_file(path)


def test_a_coadd_can_be_read_as_a_warp(path):
    coadd = make_coadd()
    io.write_coadd(path, coadd)
    warp = io.open_warp(path)
    assert_same_bits(warp.read_rows(0, SHAPE[0]).image, coadd.image)
    assert warp.zero_point == pytest.approx(31.4, abs=1e-12)
    assert warp.planes == coadd.planes.add("BAD_VARIANCE")


@pytest.mark.parametrize(
    ("zero_point", "unit", "written"),
    [
        (31.4, None, "nJy"),
        (27.0, None, None),
        (27.0, "nJy", None),
        (27.0, "adu", "adu"),
    ],
)
def test_the_unit_never_contradicts_the_zero_point(path, zero_point, unit, written):
    io.write_coadd(path, make_coadd(zero_point=zero_point, unit=unit))
    assert fits.getheader(path, "IMAGE").get("BUNIT") == written
    assert io.read_coadd(path).coadd.zero_point == zero_point


def test_many_inputs_need_more_than_16_bits(path):
    n_image = np.full(SHAPE, 65536, np.int32)
    io.write_coadd(path, make_coadd(n_image=n_image))
    read = io.read_coadd(path).coadd.n_image
    assert (read == 65536).all() and read.dtype == np.int32


def test_cards_of_the_grid_are_copied_as_they_are(tmp_path, path):
    template = files.write_afw(tmp_path / "t.fits", files.make_scene())
    grid = io.read_grid(template)
    io.write_coadd(path, make_coadd(grid=grid))
    cards = fits.getheader(path, "IMAGE")
    assert len(grid.header) == len(files.wcs_cards())
    assert all(cards[card] == value for card, value in grid.header.items())
    assert io.same_grid(grid, io.read_grid(path)) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"image": np.zeros((3, 4), np.float32)}, r"image has shape \(3, 4\)"),
        ({"grid": io.Grid((3, 4))}, r"and the grid \(3, 4\)"),
        ({"planes": MaskPlanes(())}, "needs at least one plane"),
    ],
)
def test_planes_must_fit_together(changes, text):
    with pytest.raises(ValueError, match=text):
        make_coadd(**changes)


# What cannot be written


def test_an_existing_file_is_replaced_only_if_allowed(path):
    path.write_bytes(b"old")
    with pytest.raises(io.OutputError, match=r"coadd\.fits exists; name another file"):
        io.write_coadd(path, make_coadd())
    assert path.read_bytes() == b"old"
    io.write_coadd(path, make_coadd(), overwrite=True)
    assert io.verify_file(path) == 8


def test_folders_that_cannot_be_written_to_are_named(tmp_path):
    with pytest.raises(io.OutputError, match=r"the folder .*no does not exist; make"):
        io.check_output(tmp_path / "no" / "coadd.fits")
    with pytest.raises(io.OutputError, match="is a folder; name a file in it"):
        io.check_output(tmp_path)
    assert io.check_output(tmp_path / "coadd.fits") == tmp_path / "coadd.fits"
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder of Linux")
def test_a_folder_that_takes_no_files_is_named():
    with pytest.raises(io.OutputError, match=r"the folder /proc takes no new files"):
        io.check_output("/proc/coadd.fits")


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (FULL, io.OutputError, r"disk is full, up to \d+ bytes are needed and \d+ are"),
        (OSError(errno.EIO, "broken"), io.OutputError, r"not be written \(.*broken\)"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (MemoryError(), MemoryError, None),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    path, monkeypatch, where, error, raised, text
):
    path.write_bytes(b"old")
    monkeypatch.setattr(atomic.os, where, raising(error))
    with pytest.raises(raised, match=text):
        io.write_coadd(path, make_coadd(), overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["coadd.fits"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device of Linux")
def test_a_disk_that_fills_up_while_pixels_are_written_is_reported(path, monkeypatch):
    real = os.open

    def to_full_disk(name, flags, *mode):
        full = str(name).endswith(".tmp")
        return real("/dev/full", os.O_WRONLY) if full else real(name, flags, *mode)

    monkeypatch.setattr(atomic.os, "open", to_full_disk)
    with pytest.raises(io.OutputError, match=r"coadd\.fits could not .* disk is full"):
        io.write_coadd(path, make_coadd())
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda path: files.flip_byte(path, 1, 130), r"HDU 1 .* is damaged"),
        (lambda path: os.truncate(path, 2880 * 9), r"truncated|complete|no HDU"),
    ],
)
def test_what_does_not_read_back_is_not_kept(path, monkeypatch, spoil, text):
    path.write_bytes(b"old")
    real = os.fsync

    def spoiling(handle):
        real(handle)
        spoil(next(path.parent.glob(".*.tmp")))

    monkeypatch.setattr(atomic.os, "fsync", spoiling)
    with pytest.raises(io.OutputError, match=rf"was not written: read back.*({text})"):
        io.write_coadd(path, make_coadd(), overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["coadd.fits"]


KILLED = """
import os, signal, sys
from pathlib import Path
from jaxcoadd.io import atomic
atomic.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
atomic.write_atomically(
    sys.argv[1],
    lambda stream: stream.write(b"new"),
    lambda path: None,
    nbytes=3,
    overwrite=True,
)
"""


def test_a_killed_writer_leaves_the_old_file_and_does_not_hinder_the_next(path):
    path.write_bytes(b"old")
    command = [sys.executable, "-c", KILLED, str(path)]
    done = subprocess.run(command, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = path.parent.glob(".coadd.fits.*.tmp")
    assert left.read_bytes() == b"new"
    io.write_coadd(path, make_coadd(), overwrite=True)
    assert io.verify_file(path) == 8


def test_a_link_is_followed_and_permissions_are_those_of_new_files(tmp_path, path):
    target = tmp_path / "target.fits"
    path.symlink_to(target)
    before = os.umask(0o027)
    try:
        io.write_coadd(path, make_coadd())
    finally:
        os.umask(before)
    assert path.is_symlink() and io.verify_file(target) == 8
    assert target.stat().st_mode & 0o777 == 0o640


def test_planes_that_differ_in_capitals_only_cannot_be_written(path):
    planes = MaskPlanes(("BAD", "bad"))
    with pytest.raises(ValueError, match="differ in small and capital letters"):
        io.write_coadd(path, make_coadd(planes=planes))


def test_a_file_that_is_no_coadd_is_refused(tmp_path):
    warp = files.write_afw(tmp_path / "w.fits", files.make_scene())
    with pytest.raises(io.InputError, match=r"w\.fits has no HDU 'CONFIG'"):
        io.read_coadd(warp)
