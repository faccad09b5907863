"""What is wrong with a file, or with a mapping of one, is said in one sentence."""

import dataclasses
import os
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import io
from tests import fits_files as files

SCENE = files.make_scene()
HEIGHT, WIDTH = files.SHAPE


def assert_refused(path, text, mapping=None):
    with pytest.raises(io.InputError, match=text) as caught:
        io.open_warp(path, mapping)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [-2.5, 0.0, 61.0, 1e30, "unknown", True])
def test_absurd_zero_points_are_refused(tmp_path, value):
    path = files.write_sample(tmp_path / "w.fits", SCENE, cards={"MAGZERO": value})
    text = rf"card MAGZERO of HDU 0 \(PRIMARY\) of .*w\.fits is {value!r}, which cannot"
    with pytest.raises(io.InputError, match=text.replace("+", r"\+")):
        io.open_warp(path)


def test_a_unit_and_a_card_must_agree(tmp_path):
    path = files.write_afw(
        tmp_path / "w.fits",
        SCENE,
        cards={"MAGZERO": 27.0},
        image_cards={"BUNIT": "nJy"},
    )
    with pytest.raises(io.InputError, match=r"27\.000 but the unit nJy means 31\.400"):
        io.open_warp(path)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"nosie": 1}, "no key 'nosie' in a reader mapping; did you mean 'noise'"),
        ({"preset": "swrap"}, "no preset 'swrap'.*did you mean 'swarp'"),
        ({"noise_kind": "varience"}, "did you mean 'variance'"),
        ({"image": 1.5}, "image = 1.5 in a reader mapping should be int or str"),
        ({"image": True}, "image = True"),
        ({"codes": {"x": "BAD"}}, "code 'x' of a mask"),
        ({"bits": {"BAD": 32}}, "bit 32 of plane 'BAD' should be a number 0 to 31"),
        ({"zero_point": -1.0}, "zero_point -1.0 is not above 0"),
        ({"factor": 0}, r"factor 0\.0 is not a positive number"),
    ],
)
def test_mistakes_in_a_mapping_are_named(table, text):
    with pytest.raises(ValueError, match=text):
        io.mapping_from_table(table)


@pytest.mark.parametrize("field", ["zero_point", "identifier", "scale"])
def test_a_card_that_a_mapping_names_must_be_there(tmp_path, field):
    path = files.write_sample(tmp_path / "w.fits", SCENE)
    mapping = dataclasses.replace(io.PRESETS["sample"], **{field: "NOSUCH"})
    with pytest.raises(io.InputError, match=r"has no card NOSUCH"):
        io.open_warp(path, mapping)


def test_a_wcs_that_cannot_be_read_is_named(tmp_path):
    cards = {"CD1_1": 0.0, "CD2_2": 0.0}
    path = files.write_afw(tmp_path / "w.fits", SCENE, image_cards=cards)
    with pytest.raises(io.InputError, match=r"the WCS of HDU 1 .* cannot be read"):
        io.open_warp(path)


def test_what_is_no_fits_file_is_named(tmp_path):
    assert_refused(tmp_path / "no.fits", r"no\.fits does not exist; check its name")
    assert_refused(tmp_path, "is a folder, not a FITS file")
    (tmp_path / "empty.fits").write_bytes(b"")
    assert_refused(tmp_path / "empty.fits", r"empty\.fits is empty")
    (tmp_path / "text.fits").write_text("x,y\n1,2\n")
    assert_refused(tmp_path / "text.fits", "is not a FITS file: it begins with b'x,y")


@pytest.mark.parametrize("compression", [None, files.LOSSLESS], ids=["plain", "tiles"])
@pytest.mark.parametrize("missing", [1, 2880, 7000])
def test_truncated_files_are_refused_before_any_pixel_is_read(
    tmp_path, compression, missing
):
    path = files.write_afw(tmp_path / "w.fits", SCENE, compression=compression)
    size = path.stat().st_size
    os.truncate(path, size - missing)
    # Where the cut is within a header, it is that which is said.
    text = rf"announce \d+ bytes and it has {size - missing};|header .* is not complete"
    assert_refused(path, text)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_truncated_gzip_files_are_refused(tmp_path, kept):
    zipped = files.gzip_file(files.write_afw(tmp_path / "w.fits", SCENE))
    os.truncate(zipped, int(zipped.stat().st_size * kept))
    assert_refused(zipped, "is truncated: its gzip stream has no end")


def test_damaged_gzip_files_are_refused(tmp_path):
    zipped = files.gzip_file(files.write_afw(tmp_path / "w.fits", SCENE))
    content = bytearray(zipped.read_bytes())
    content[len(content) // 2] ^= 0xFF
    zipped.write_bytes(content)
    assert_refused(zipped, "damaged|truncated|not complete")


def test_a_header_that_claims_too_much_is_refused_at_once(tmp_path):
    path = files.write_sample(tmp_path / "w.fits", SCENE)
    with open(path, "r+b") as file:
        content = file.read()
        for axis, size in ((b"1", WIDTH), (b"2", HEIGHT)):
            old = b"NAXIS%s  = %20d" % (axis, size)
            content = content.replace(old, b"NAXIS%s  = %20d" % (axis, 60000), 1)
        file.seek(0)
        file.write(content)
    start = time.perf_counter()
    assert_refused(path, r"truncated: its headers announce 14400\d{6} bytes and it has")
    assert time.perf_counter() - start < 1


def test_tiles_that_do_not_add_up_are_refused(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE, compression=files.LOSSLESS)
    with fits.open(path, mode="update", disable_image_compression=True) as file:
        file[1].header["ZNAXIS1"] = file[1].header["ZNAXIS2"] = 60000
    assert_refused(path, r"HDU 1 .* should have 180000000 tiles and has 12")


def test_missing_planes_are_listed_with_those_that_are_there(tmp_path):
    path = files.write(
        tmp_path / "w.fits",
        fits.PrimaryHDU(),
        files.hdu(SCENE.image, {"EXTNAME": "IMAGE"}),
        files.hdu(SCENE.mask.view(np.int32), {"EXTNAME": "MASK"}),
    )
    has = r"it has 0 PRIMARY, 1 IMAGE, 2 MASK"
    assert_refused(path, rf"w\.fits has no HDU VARIANCE or VAR; {has}")
    assert_refused(path, rf"no HDU 'NOISE'; {has}", io.ReaderMapping(noise="NOISE"))
    assert_refused(path, rf"no HDU 7; {has}", io.ReaderMapping(noise=7))


def test_an_hdu_that_is_no_image_is_refused(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE)
    with fits.open(path, mode="append") as file:
        file.append(fits.BinTableHDU.from_columns([], name="TAB"))
        file.append(fits.ImageHDU(np.zeros((2, 3, 4), np.float32), name="CUBE"))
    for key, text in [
        ("TAB", r"HDU 4 \(TAB\) of .*w\.fits is a table, not an image"),
        ("CUBE", r"HDU 5 \(CUBE\) .* not a two-dimensional image .* \(2, 3, 4\)"),
        (0, r"HDU 0 \(PRIMARY\) of .* has no pixels"),
    ]:
        assert_refused(path, text, io.ReaderMapping(noise=key))


def test_planes_that_differ_in_shape_are_refused(tmp_path):
    variance = files.hdu(SCENE.variance[1:], {"EXTNAME": "VAR"})
    path = files.write_sample(tmp_path / "w.fits", SCENE, variance=variance)
    text = r"HDU 2 \(VAR\) of .* \(11, 20\) and HDU 1 \(SCI\) of .* has \(12, 20\)"
    assert_refused(path, text)


@pytest.mark.parametrize("compression", [None, files.LOSSLESS], ids=["plain", "tiles"])
@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path, compression, index):
    path = files.write_afw(
        tmp_path / "w.fits", SCENE, compression=compression, checksum=True
    )
    assert io.open_warp(path).verify() == 4
    files.flip_byte(path, index, 150)
    with pytest.raises(
        io.InputError, match=rf"HDU {index} .*w\.fits is damaged: by its"
    ):
        io.open_warp(path).verify()


def test_without_checksums_there_is_nothing_to_verify(tmp_path):
    assert io.open_warp(files.write_afw(tmp_path / "w.fits", SCENE)).verify() == 0


def test_tiles_that_cannot_be_decoded_are_named(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE, compression=files.LOSSLESS)
    # The first bytes of the first tile, behind 12 rows of the table.
    for offset in range(12 * 8, 12 * 8 + 3):
        files.flip_byte(path, 1, offset)
    with pytest.raises(io.InputError, match=r"data of HDU 1 .* cannot be decoded"):
        io.open_warp(path).read_rows(0, HEIGHT)


def test_hcompress_is_refused_by_name(tmp_path):
    tiles = {"compression_type": "HCOMPRESS_1", "tile_shape": files.SHAPE}
    image = files.hdu(SCENE.image, {"EXTNAME": "SCI"}, compression=tiles)
    path = files.write_sample(tmp_path / "w.fits", SCENE, image=image)
    assert_refused(path, r"HDU 1 \(SCI\) of .* is compressed with HCOMPRESS_1, which")


@pytest.mark.parametrize("value", ["one", 1.5, True, -1, 32])
def test_a_plane_card_that_is_no_bit_number_is_refused(tmp_path, value):
    planes = files.PLANES | {"BAD": value}
    path = files.write_afw(tmp_path / "w.fits", SCENE, planes=planes)
    text = rf"card MP_BAD of HDU 2 \(MASK\) .* from 0 to 31 and is {value!r}; correct"
    assert_refused(path, text)


@pytest.mark.parametrize(
    ("planes", "text"),
    [
        (
            {f"P{n}": n % 32 for n in range(33)},
            "has 33 planes and a mask has at most 32",
        ),
        ({f"P{n}": n for n in range(31)}, "NO_DATA and BAD_VARIANCE do not fit"),
        ({"A": 3, "B": 3}, "planes 'A' and 'B' share bit 3"),
    ],
)
def test_planes_must_fit_into_the_mask(tmp_path, planes, text):
    path = files.write_afw(tmp_path / "w.fits", SCENE, planes=planes)
    assert_refused(path, text)


def test_a_mask_must_be_of_integers(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE, mask=SCENE.image)
    assert_refused(path, r"HDU 2 \(MASK\) of .* should be a mask of integers")


def test_bytes_behind_the_last_hdu_are_refused_unless_they_are_padding(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE)
    content = path.read_bytes()
    path.write_bytes(content + bytes(2880))
    assert (io.open_warp(path).read_rows(0, HEIGHT).image == SCENE.image).all()
    path.write_bytes(content + b"junk" * 720)
    assert_refused(path, "damaged: after HDU 3 there are bytes that are no header")


def test_files_beside_the_image_must_be_there_and_belong_to_it(tmp_path):
    quality = np.zeros(files.SHAPE, np.int32)
    cards = {"EXPNUM": 5}
    path = files.write_decam(
        tmp_path, SCENE, quality, version="V4.8", weight_cards=cards
    )
    assert_refused(path, r"_opw_.* has EXPNUM 5 and .*_opi_.* has 431608")
    path.with_name(path.name.replace("_opi_", "_opw_")).unlink()
    assert_refused(path, r"needs its noise in .*_opw_.*, which does not exist")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    plain = files.write_afw(folder / "plain.fits", SCENE)
    tiles = files.write_afw(folder / "tiles.fits", SCENE, compression=files.LOSSLESS)
    archive = files.add_photo_calib(
        files.write_afw(folder / "archive.fits", SCENE), mean=2.0
    )
    return [plain, tiles, archive, files.gzip_file(tiles)]


@hypothesis.settings(max_examples=100)
@hypothesis.given(
    which=st.integers(0, 3),
    where=st.floats(0, 1, exclude_max=True),
    byte=st.sampled_from(b"\0 09-.'TE=\xff"),
)
def test_any_damaged_byte_gives_a_warp_or_a_clear_error(
    whole_files, which, where, byte
):
    source = whole_files[which]
    content = bytearray(source.read_bytes())
    content[int(where * len(content))] = byte
    damaged = source.with_name(f"damaged_{source.name}")
    damaged.write_bytes(content)
    try:
        warp = io.open_warp(damaged)
        assert warp.read_rows(0, HEIGHT).image.shape == warp.shape
    except io.InputError as error:
        assert str(source.parent) in str(error) and "\n" not in str(error)
