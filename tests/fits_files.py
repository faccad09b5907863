"""Small FITS files of every layout that the readers know."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table

SHAPE = (12, 20)
PLANES = {"BAD": 0, "SAT": 1, "NO_DATA": 8, "CROSSTALK": 9, "LAST": 31}
LOSSLESS = {"compression_type": "GZIP_2", "quantize_level": 0}


class Scene(NamedTuple):
    """What a file should hold."""

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray


def make_scene(shape=SHAPE, seed=0):
    """Draw finite pixels and a mask with the bits of `PLANES`."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 10, shape).astype(np.float32)
    variance = rng.uniform(1, 2, shape).astype(np.float32)
    bits = np.array([1 << bit for bit in PLANES.values()], np.uint32)
    mask = np.where(rng.random(shape) < 0.2, rng.choice(bits, shape), 0)
    return Scene(image, variance, mask.astype(np.uint32))


def wcs_cards(shape=SHAPE, offset=(0, 0), crval=(150.0, 2.0)):
    """Make the cards of a TAN projection with pixels of 0.2 arcseconds."""
    height, width = shape
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": width / 2 - offset[0],
        "CRPIX2": height / 2 - offset[1],
        "CRVAL1": crval[0],
        "CRVAL2": crval[1],
        "CD1_1": -0.2 / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 0.2 / 3600,
        "RADESYS": "ICRS",
    }


def plane_cards(planes):
    """Make the cards that number the planes of a mask."""
    return {
        (f"MP_{name}" if len(name) <= 5 else f"HIERARCH MP_{name}"): bit
        for name, bit in planes.items()
    }


def hdu(data, cards=None, *, compression=None, primary=False):
    """Make one image HDU, compressed in tiles if asked for."""
    header = fits.Header()
    header.update(cards or {})
    if compression is not None:
        return fits.CompImageHDU(data, header, **compression)
    return (fits.PrimaryHDU if primary else fits.ImageHDU)(data, header)


def write(path, *hdus, checksum=False):
    """Write HDUs to a file and return its path."""
    fits.HDUList(list(hdus)).writeto(path, checksum=checksum)
    return Path(path)


def write_afw(
    path,
    scene,
    *,
    planes=PLANES,
    cards=None,
    image_cards=None,
    mask=None,
    compression=None,
    checksum=False,
):
    """Write LSST's layout; `cards` go to the primary."""
    primary = fits.PrimaryHDU()
    primary.header.update(cards or {})
    bits = scene.mask.view(np.int32) if mask is None else mask
    image_cards = wcs_cards(scene.image.shape) | (image_cards or {})
    return write(
        path,
        primary,
        hdu(scene.image, {"EXTTYPE": "IMAGE"} | image_cards, compression=compression),
        hdu(bits, {"EXTTYPE": "MASK"} | plane_cards(planes), compression=compression),
        hdu(scene.variance, {"EXTTYPE": "VARIANCE"}, compression=compression),
        checksum=checksum,
    )


def write_old_afw(path, scene, *, first=1, compression=None):
    """Write LSST's planes without names: from HDU 1, or from the primary."""
    image = hdu(scene.image, primary=first == 0, compression=compression)
    others = [
        hdu(data, compression=compression)
        for data in (scene.mask.astype(np.uint16), scene.variance)
    ]
    leading = [fits.PrimaryHDU()] if first == 1 else []
    return write(path, *leading, image, *others)


def write_sample(path, scene, *, cards=None, image=None, variance=None):
    """Write the layout of the sample data."""
    primary = fits.PrimaryHDU()
    primary.header.update({"MAGZERO": 27.0} | (cards or {}))
    return write(
        path,
        primary,
        image or hdu(scene.image, {"EXTNAME": "SCI"}),
        variance or hdu(scene.variance, {"EXTNAME": "VAR"}),
        hdu(scene.mask.view(np.int32), {"EXTNAME": "MASK"} | plane_cards(PLANES)),
    )


def write_swarp(folder, scene, weight, *, cards=None):
    """Write a resampled image of SWarp and its weight beside it."""
    folder.mkdir(exist_ok=True)
    cards = wcs_cards(scene.image.shape) | (cards or {})
    write(folder / "one.resamp.weight.fits", hdu(weight, primary=True))
    return write(folder / "one.resamp.fits", hdu(scene.image, {**cards}, primary=True))


def write_decam(folder, scene, quality, *, version, weight=None, weight_cards=None):
    """Write DECam's triple of resampled image, weight and data quality."""
    weight = 1 / scene.variance if weight is None else weight
    for letter, data in (("i", scene.image), ("w", weight), ("d", quality)):
        primary = fits.PrimaryHDU()
        primary.header.update({"PLVER": version, "EXPNUM": 431608})
        primary.header.update((weight_cards or {}) if letter == "w" else {})
        name = f"c4d_150411_035242_op{letter}_z_v1.fits.fz"
        compressed = hdu(data, {"EXTNAME": "N3"}, compression=LOSSLESS)
        write(folder / name, primary, compressed)
    return folder / "c4d_150411_035242_opi_z_v1.fits.fz"


def write_jwst(path, scene, *, cards=None):
    """Write a mosaic of JWST in MJy/sr with standard deviations."""
    cards = {"EXTNAME": "SCI", "BUNIT": "MJy/sr"} | (cards or {"PIXAR_SR": 2e-14})
    return write(
        path,
        fits.PrimaryHDU(),
        hdu(scene.image, cards),
        hdu(np.sqrt(scene.variance), {"EXTNAME": "ERR"}),
        hdu(np.ones(SHAPE, np.int32), {"EXTNAME": "CON"}),
    )


def add_photo_calib(path, *, mean, constant=True, version=1):
    """Append an archive that holds nothing but a calibration object."""
    index = Table({"id": [7], "cat.archive": [1], "row0": [0], "nrows": [1]})
    flags = fits.Column("flags", "1X", array=np.array([[constant]]))
    calibration = fits.BinTableHDU.from_columns(
        [
            flags,
            fits.Column("calibrationMean", "D", array=[mean]),
            fits.Column("version", "J", array=[version]),
        ]
    )
    with fits.open(path, mode="update") as file:
        file[0].header["HIERARCH ARCHIVE_ID_PHOTOCALIB"] = 7
        file[0].header["AR_HDU"] = len(file) + 1
        file.append(fits.table_to_hdu(index))
        file.append(calibration)
    return path


def gzip_file(path):
    """Gzip a whole file, and return the new path."""
    zipped = path.with_name(path.name + ".gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    return zipped


def flip_byte(path, index, offset):
    """Flip one bit of one byte of an HDU's data."""
    with fits.open(path, disable_image_compression=True) as file:
        where = file[index].fileinfo()["datLoc"] + offset
    content = bytearray(path.read_bytes())
    content[where] ^= 0x10
    path.write_bytes(content)
