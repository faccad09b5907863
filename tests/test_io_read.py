"""Warps are read from every layout, and what is wrong with a file is said."""

import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

import jaxcoadd
from jaxcoadd import io
from jaxcoadd.io.sections import sections
from jaxcoadd.masks import LSST_PLANES
from tests import fits_files as files

DATA = files.Path(jaxcoadd.__file__).parent / "data"
SAMPLES = sorted(DATA.glob("*/warps/*.fits"))
SCENE = files.make_scene()
HEIGHT, WIDTH = files.SHAPE


def rows_of(path, mapping=None):
    warp = io.open_warp(path, mapping)
    return warp, warp.read_rows(0, warp.shape[0])


def assert_holds(rows, scene):
    np.testing.assert_array_equal(rows.image, scene.image)
    np.testing.assert_array_equal(rows.variance, scene.variance)
    np.testing.assert_array_equal(rows.mask, scene.mask)
    types = [array.dtype.str for array in (rows.image, rows.variance, rows.mask)]
    assert types == ["<f4", "<f4", "<u4"]


# Layouts


@pytest.mark.parametrize("compression", [None, files.LOSSLESS], ids=["plain", "tiles"])
def test_afw_is_read_bit_for_bit(tmp_path, compression):
    cards = {"VISIT": 903334, "FILTER": "HSC-I", "SEEING": 0.7, "MJD-OBS": 56600.5}
    path = files.write_afw(
        tmp_path / "w.fits", SCENE, cards=cards, compression=compression
    )
    warp, rows = rows_of(path)
    assert_holds(rows, SCENE)
    assert (rows.not_finite, rows.bad_variance) == (0, 0)
    assert {name: warp.planes.bit(name) for name in files.PLANES} == files.PLANES
    assert (warp.layout, warp.identifier, warp.band) == ("afw", "903334", "HSC-I")
    assert (warp.seeing, warp.date, warp.zero_point) == (0.7, 56600.5, None)
    assert warp.nbytes == HEIGHT * WIDTH * 12


@pytest.mark.parametrize(
    ("first", "compression"), [(0, None), (1, None), (1, files.LOSSLESS)]
)
def test_afw_without_names_is_read_by_position(tmp_path, first, compression):
    scene = SCENE._replace(mask=SCENE.mask & np.uint32(0x3FF))
    path = files.write_old_afw(
        tmp_path / "w.fits", scene, first=first, compression=compression
    )
    warp, rows = rows_of(path)
    assert_holds(rows, scene)
    assert warp.planes == LSST_PLANES.add("BAD_VARIANCE")
    assert warp.wcs is None and warp.identifier == "w"


def test_new_planes_do_not_take_bits_that_a_mask_has_set_without_a_name(tmp_path):
    scene = SCENE._replace(mask=np.full(files.SHAPE, 0b1111, np.uint32))
    path = files.write_afw(tmp_path / "w.fits", scene, planes={"BAD": 0, "SAT": 1})
    warp, rows = rows_of(path)
    assert warp.planes.names == ("BAD", "SAT", "NO_DATA", "BAD_VARIANCE")
    assert (rows.mask == 0b11).all()


def test_names_of_the_newer_data_model_are_read(tmp_path):
    cards = {"EXTNAME": "MASK", "MSKN0000": "SATURATED", "MSKM0000": 1}
    cards |= {"MSKN0001": "NO_DATA", "MSKM0001": 2}
    primary = fits.PrimaryHDU()
    primary.header["DATAMODL"] = "masked_image-1.0.0"
    path = files.write(
        tmp_path / "w.fits",
        primary,
        files.hdu(SCENE.image, {"EXTNAME": "IMAGE", "BUNIT": "nJy"}),
        files.hdu(SCENE.mask.view(np.int32) & 3, cards),
        files.hdu(SCENE.variance, {"EXTNAME": "VARIANCE"}),
    )
    warp = io.open_warp(path)
    assert warp.planes.names == ("SAT", "NO_DATA", "BAD_VARIANCE")
    assert (warp.layout, warp.zero_point) == ("lsst-images", 31.4)


@pytest.mark.parametrize("mapping", [None, "swarp"])
def test_swarp_weight_becomes_variance_of_the_scaled_image(tmp_path, mapping):
    weight = 1 / SCENE.variance
    weight[0, :3] = 0, -1, np.nan
    path = files.write_swarp(tmp_path, SCENE, weight, cards={"FLXSCALE": 0.5})
    warp, rows = rows_of(path, mapping)
    assert warp.layout == "swarp"
    np.testing.assert_array_equal(rows.image, SCENE.image * np.float32(0.5))
    # Two roundings: the weight's and the quotient's.
    expected = 0.25 * SCENE.variance[1:]
    np.testing.assert_allclose(rows.variance[1:], expected, rtol=2e-7)
    no_data, bad = (1 << warp.planes.bit(n) for n in ("NO_DATA", "BAD_VARIANCE"))
    assert rows.mask[0, :4].tolist() == [no_data, bad, bad, 0]
    assert rows.bad_variance == 2


def test_the_unit_of_a_file_is_not_that_of_its_scaled_image(tmp_path):
    for scale, expected in ((1.0, ("nJy", 31.4)), (0.5, (None, None))):
        cards = {"FLXSCALE": scale, "BUNIT": "nJy"}
        path = files.write_swarp(
            tmp_path / str(scale), SCENE, SCENE.variance, cards=cards
        )
        warp = io.open_warp(path)
        assert (warp.unit, warp.zero_point) == expected


def test_a_file_that_is_already_scaled_is_not_scaled_again():
    warp = io.open_warp(SAMPLES[0])
    assert "FLXSCALE" in fits.getheader(SAMPLES[0]) and warp.scale == 1.0


CODES = ["", "BAD", "NO_DATA", "SAT", "BLEED", "CR", "LOWWT", "DIFF", "STREAK", "BAD"]


def test_decam_codes_become_planes(tmp_path):
    quality = np.zeros(files.SHAPE, np.int32)
    quality[1, ::2] = np.arange(10)
    weight = 1 / SCENE.variance
    weight[5, :2] = 0, -1
    path = files.write_decam(tmp_path, SCENE, quality, version="V3.5.0", weight=weight)
    warp, rows = rows_of(path)
    assert (warp.layout, warp.identifier) == ("decam", "431608")
    bits = [warp.planes.bits([name]) for name in CODES]
    assert rows.mask[1, ::2].tolist() == bits
    assert rows.mask[5, :2].tolist() == [warp.planes.bits(["BAD_VARIANCE"])] * 2


def test_bad_pixels_around_saturated_ones_are_saturated_across_rows_too(tmp_path):
    quality = np.zeros(files.SHAPE, np.int32)
    quality[3, 4], quality[4, 5], quality[4, 7] = 3, 1, 1
    warp = io.open_warp(files.write_decam(tmp_path, SCENE, quality, version="V4.8.2a"))
    mask = warp.read_rows(4, 5).mask
    assert mask[0, [5, 7]].tolist() == [warp.planes.bits([n]) for n in ("SAT", "BAD")]


def test_decam_masks_before_the_codes_are_bits(tmp_path):
    quality = np.zeros(files.SHAPE, np.int32)
    quality[0, :3] = 3, 16, 128
    warp, rows = rows_of(files.write_decam(tmp_path, SCENE, quality, version="V3.2.1"))
    names = [["BAD", "SAT"], ["CR"], ["DIFF"]]
    assert rows.mask[0, :3].tolist() == [warp.planes.bits(n) for n in names]


@pytest.mark.parametrize("mapping", [None, "jwst"])
def test_jwst_becomes_nanojansky(tmp_path, mapping):
    scene = SCENE._replace(image=SCENE.image.copy())
    scene.image[2, 2] = np.nan
    warp, rows = rows_of(files.write_jwst(tmp_path / "a_i2d.fits", scene), mapping)
    assert (warp.zero_point, warp.unit, warp.identifier) == (31.4, "nJy", "a_i2d")
    # PIXAR_SR * 1e15 = 20; the root and the square round once each.
    np.testing.assert_allclose(rows.image, 20 * scene.image, rtol=2e-7)
    np.testing.assert_allclose(rows.variance, 400 * scene.variance, rtol=5e-7)
    assert rows.mask[2, 2] == warp.planes.bits(["NO_DATA"]) and rows.not_finite == 1


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_warp_is_read(path):
    warp, rows = rows_of(path)
    with fits.open(path) as file:
        np.testing.assert_array_equal(rows.image, file["SCI"].data)
        np.testing.assert_array_equal(rows.variance, file["VAR"].data)
        stored = (1 << len(file["MASK"].header["MP_*"])) - 1
        np.testing.assert_array_equal(rows.mask & stored, file["MASK"].data)
        assert warp.zero_point == file[0].header["MAGZERO"]
    assert rows.bad_variance == 0 and warp.layout == "sample"
    grid = io.open_warp(path.parent / sorted(path.parent.iterdir())[0].name).grid
    assert io.same_grid(grid, warp.grid) == (0, 0, 0.0)


# Pixels


TILES = {
    "RICE_1": {"compression_type": "RICE_1", "tile_shape": (5, 7)},
    "GZIP_1": {"compression_type": "GZIP_1", "quantize_level": 0},
    "GZIP_2": {"compression_type": "GZIP_2", "quantize_level": 0},
    "PLIO_1": {"compression_type": "PLIO_1"},
}


@pytest.mark.parametrize("name", TILES)
def test_compressed_masks_are_read_without_loss(tmp_path, name):
    mask = (SCENE.mask & np.uint32(0x303)).astype(np.int16)
    path = files.write(
        tmp_path / "w.fits",
        fits.PrimaryHDU(),
        files.hdu(SCENE.image, {"EXTNAME": "IMAGE"}),
        files.hdu(
            mask,
            {"EXTNAME": "MASK"} | files.plane_cards(files.PLANES),
            compression=TILES[name],
        ),
        files.hdu(SCENE.variance, {"EXTNAME": "VARIANCE"}),
    )
    assert_holds(rows_of(path)[1], SCENE._replace(mask=mask.astype(np.uint32)))


def test_no_data_of_a_rounded_file_is_nan_whatever_the_pixels_say(tmp_path):
    image = files.hdu(SCENE.image, {"EXTNAME": "SCI"}, compression=TILES["RICE_1"])
    _, rows = rows_of(files.write_sample(tmp_path / "w.fits", SCENE, image=image))
    empty = (SCENE.mask & np.uint32(1 << files.PLANES["NO_DATA"])) != 0
    assert np.isnan(rows.image[empty]).all() and np.isinf(rows.variance[empty]).all()
    # Quantised to a sixteenth of the noise at most, which is 10.
    np.testing.assert_allclose(rows.image[~empty], SCENE.image[~empty], atol=1)
    assert not rows.mask[~empty & (SCENE.mask == 0)].any()


@pytest.mark.parametrize("compressed", [False, True])
def test_scaled_integers_and_blanks_are_honoured(tmp_path, compressed):
    stored = np.arange(HEIGHT * WIDTH, dtype=np.int16).reshape(files.SHAPE)
    cards = {"EXTNAME": "SCI", "BSCALE": 0.5, "BZERO": 100.0, "BLANK": 3}
    image = fits.ImageHDU(stored)
    if compressed:
        image = fits.CompImageHDU(stored, compression_type="RICE_1")
    path = files.write_sample(tmp_path / "w.fits", SCENE, image=image)
    with fits.open(path, mode="update", disable_image_compression=True) as file:
        file[1].header.update(cards)
    rows = rows_of(path)[1]
    expected = (stored * 0.5 + 100).astype(np.float32)
    expected[0, 3] = np.nan
    np.testing.assert_array_equal(rows.image, expected)
    assert rows.not_finite == 1


def test_doubles_are_narrowed_and_what_overflows_is_no_data(tmp_path):
    image = SCENE.image.astype(np.float64)
    image[0, 0] = 1e300
    image = files.hdu(image, {"EXTNAME": "SCI"})
    warp, rows = rows_of(files.write_sample(tmp_path / "w.fits", SCENE, image=image))
    assert rows.image.dtype == np.float32
    np.testing.assert_array_equal(rows.image.flat[1:], SCENE.image.flat[1:])
    assert rows.mask[0, 0] & warp.planes.bits(["NO_DATA"]) and rows.not_finite == 1


def test_variances_that_cannot_be_are_flagged_and_counted(tmp_path):
    scene = files.Scene(*(plane.copy() for plane in SCENE))
    scene.mask[:] = 0
    scene.variance[0, :5] = np.nan, np.inf, 0, -1, np.nan
    scene.image[0, 4] = np.inf
    warp, rows = rows_of(files.write_afw(tmp_path / "w.fits", scene))
    bad, no_data = (warp.planes.bits([n]) for n in ("BAD_VARIANCE", "NO_DATA"))
    assert rows.mask[0, :6].tolist() == [bad] * 4 + [no_data, 0]
    assert (rows.not_finite, rows.bad_variance) == (1, 4)


@pytest.mark.parametrize("kind", ["sigma", "inverse_variance"])
def test_noise_of_the_wrong_sign_is_a_bad_variance(tmp_path, kind):
    scene = SCENE._replace(variance=SCENE.variance.copy())
    scene.variance[0, :2] = -1, 0
    path = files.write_sample(tmp_path / "w.fits", scene)
    mapping = io.mapping_from_table({"preset": "sample", "noise_kind": kind})
    assert rows_of(path, mapping)[1].bad_variance == 2


def test_rows_are_those_of_the_whole_image(tmp_path):
    for name, compression in (("a.fits", None), ("b.fits", TILES["GZIP_1"])):
        path = files.write_afw(tmp_path / name, SCENE, compression=compression)
        warp = io.open_warp(path)
        rows = warp.read_rows(3, 9)
        assert_holds(rows, files.Scene(*(plane[3:9] for plane in SCENE)))
        with pytest.raises(ValueError, match="rows 9 to 13 are not within the 12"):
            warp.read_rows(9, 13)


@pytest.mark.parametrize("most", [300, 1])
@pytest.mark.parametrize("name", [None, "RICE_1", "GZIP_1", "whole"])
def test_files_that_stay_open_give_the_same_rows(tmp_path, monkeypatch, name, most):
    monkeypatch.setattr("jaxcoadd.io.sections.MOST_OPEN", most)
    scene = SCENE if name != "RICE_1" else SCENE._replace(image=np.rint(SCENE.image))
    path = files.write_afw(tmp_path / "w.fits", scene, compression=TILES.get(name))
    warp = io.open_warp(files.gzip_file(path) if name == "whole" else path)
    parts = [(0, 5), (5, 6), (2, 12)]
    with sections() as read:
        found = [warp.read_rows(*part, read) for part in parts]
    for part, rows in zip(parts, found, strict=True):
        alone = warp.read_rows(*part)
        for plane in ("image", "variance", "mask"):
            np.testing.assert_array_equal(getattr(rows, plane), getattr(alone, plane))


def test_each_file_is_opened_once_while_it_stays_open(tmp_path, monkeypatch):
    path = files.write_afw(tmp_path / "w.fits", SCENE, compression=TILES["GZIP_1"])
    warp = io.open_warp(path)
    opened = []

    def count(path):
        opened.append(open(path, "rb"))
        return opened[-1]

    monkeypatch.setattr("jaxcoadd.io.sections.open_bytes", count)
    with sections() as read:
        for row in range(12):
            warp.read_rows(row, row + 1, read)
        assert len(opened) == 3
    assert all(stream.closed for stream in opened)


def test_a_mistake_while_files_are_open_is_not_called_a_damaged_file():
    with pytest.raises(ZeroDivisionError), sections():
        raise ZeroDivisionError


def test_a_gzipped_file_is_read_and_verified(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE, checksum=True)
    warp, rows = rows_of(files.gzip_file(path))
    assert_holds(rows, SCENE)
    assert warp.verify() == 4 and warp.identifier == "w"


def test_read_warp_gives_a_warp_for_jax(tmp_path):
    path = files.write_sample(tmp_path / "w.fits", SCENE)
    warp = io.read_warp(path)
    assert warp.zero_point == 27.0 and warp.planes.bit("LAST") == 31
    assert warp.mask.dtype == jnp.uint32
    np.testing.assert_array_equal(warp.image, SCENE.image)
    unknown = files.write_afw(tmp_path / "u.fits", SCENE)
    with pytest.raises(io.InputError, match=r"u\.fits does not say its zero point"):
        io.read_warp(unknown)


# Zero points


@pytest.mark.parametrize(
    ("cards", "unit", "expected"),
    [
        ({"FLUXMAG0": 6.30957344e10}, None, 27.0),
        ({"FLUXMAG0": 0}, None, None),
        ({"MAGZERO": 25.0}, "adu", 25.0),
        ({}, "nJy", 31.4),
        ({}, "uJy", 23.9),
        ({}, "mJy", 16.4),
        ({}, "Jy", 8.9),
        ({}, "MJy", None),
        ({}, "nanomaggy", 22.5),
        ({}, "maggy", 0.0),
        ({"MAGZERO": 31.405}, "nJy", 31.405),
    ],
)
def test_zero_points_come_from_cards_or_units(tmp_path, cards, unit, expected):
    image_cards = {"BUNIT": unit} if unit else {}
    path = files.write_afw(
        tmp_path / "w.fits", SCENE, cards=cards, image_cards=image_cards
    )
    # The flux of magnitude 0 is given to nine digits.
    assert io.open_warp(path).zero_point == (
        expected if expected is None else pytest.approx(expected, abs=1e-8)
    )


@pytest.mark.parametrize(
    ("mean", "version", "expected"),
    [(1.0, 1, 31.4), (57.543993733715666, 1, 27.0), (1.584893192461111e-11, 0, 27.0)],
)
def test_the_calibration_object_is_read(tmp_path, mean, version, expected):
    path = files.write_afw(tmp_path / "w.fits", SCENE)
    files.add_photo_calib(path, mean=mean, version=version)
    assert io.open_warp(path).zero_point == pytest.approx(expected, abs=1e-12)


def test_a_calibration_that_varies_is_refused(tmp_path):
    path = files.write_afw(tmp_path / "w.fits", SCENE)
    files.add_photo_calib(path, mean=1.0, constant=False)
    with pytest.raises(io.InputError, match="varies over the image"):
        io.open_warp(path)
    mapping = io.ReaderMapping(zero_point=27.0)
    assert io.open_warp(path, mapping).zero_point == 27.0


# Mappings


def test_a_mapping_finds_what_a_table_of_a_configuration_names(tmp_path):
    scene = SCENE._replace(mask=np.full(files.SHAPE, 2, np.uint32))
    path = files.write(
        tmp_path / "w.fits",
        fits.PrimaryHDU(),
        files.hdu(scene.image, {"EXTNAME": "FLUX", "ZP": 26.0, "NIGHT": "n7"}),
        files.hdu(scene.variance, {"EXTNAME": "NOISE"}),
        files.hdu(scene.mask.astype(np.uint8)),
    )
    table = {"image": "flux", "noise": "NOISE", "mask": 3, "zero_point": "ZP"}
    table |= {"codes": {"1": "BAD", "2": "GHOST"}, "identifier": "NIGHT", "factor": 2}
    warp, rows = rows_of(path, io.mapping_from_table(table))
    assert (warp.zero_point, warp.identifier) == (26.0, "n7")
    np.testing.assert_array_equal(rows.image, 2 * scene.image)
    np.testing.assert_array_equal(rows.variance, 4 * scene.variance)
    assert (rows.mask == warp.planes.bits(["GHOST"])).all()
