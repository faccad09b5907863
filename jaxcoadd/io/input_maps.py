"""Maps of a coadd's inputs in FITS files: as HealSparse keeps them, and as images."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from jaxtyping import UInt32

from jaxcoadd.inputs.input_map import (
    HealSparseMap,
    allow_fine_coverage,
    bit_cards,
    import_healsparse,
)
from jaxcoadd.inputs.records import DetectorInput
from jaxcoadd.io.atomic import spoiled, write_atomically
from jaxcoadd.io.coadd_files import read_plane, verify_file
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.grids import Grid, grid_cards
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.io.image_hdus import stored_mask


def write_input_map(
    path: str | Path, input_map: HealSparseMap, *, overwrite: bool = False
) -> None:
    """Write a map of inputs as a FITS file.

    Parameters
    ----------
    path
        The file.
    input_map
        A map that `make_input_map` made.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written; what was there before is untouched.
    """

    def write(stream: BinaryIO) -> None:
        # HealSparse takes the name of a file, not a stream.
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "map.fits"
            input_map.write(str(whole))
            with open(whole, "rb") as source:
                shutil.copyfileobj(source, stream)

    def check(written: Path) -> None:
        found = read_input_map(written)
        pixels = input_map.valid_pixels
        same = np.array_equal(found.valid_pixels, pixels) and np.array_equal(
            found.get_values_pix(pixels), input_map.get_values_pix(pixels)
        )
        if not same:
            raise spoiled(path, "the map")

    width = max(1, getattr(input_map, "wide_mask_width", 1))
    covered = int(input_map.coverage_mask.sum()) + 1
    per_part = (input_map.nside_sparse // input_map.nside_coverage) ** 2
    write_atomically(
        path,
        write,
        check,
        nbytes=covered * per_part * width + 8 * len(input_map.coverage_mask),
        overwrite=overwrite,
    )


def read_input_map(path: str | Path) -> HealSparseMap:
    """Read a map of inputs.

    Parameters
    ----------
    path
        A FITS file that HealSparse wrote.

    Returns
    -------
    HealSparseMap
        A wide mask, with the cards of its bits as metadata.

    Raises
    ------
    InputError
        The file is missing, damaged, or no wide mask.
    """
    healsparse = import_healsparse()
    if not Path(path).is_file():
        raise InputError(f"{path} is not there; name a file with a map of inputs")
    try:
        # Not left to HealSparse, which takes what is not FITS for another format.
        kind = fits.getheader(path, "SPARSE").get("WIDEMASK", False)
        with allow_fine_coverage():
            found = healsparse.HealSparseMap.read(str(path))
    except Exception as error:
        # A damaged file may stop the readers anywhere.
        raise InputError(
            f"{path} is not a map of inputs that HealSparse wrote, or is damaged "
            f"({error}); name another file"
        ) from error
    if not kind:
        raise InputError(
            f"{path} has a map of {found.dtype}; expected a mask with a bit an input"
        )
    return found


def write_input_bits(
    path: str | Path,
    bits: UInt32[np.ndarray, "word y x"],
    detectors: Sequence[DetectorInput],
    grid: Grid,
    *,
    overwrite: bool = False,
) -> None:
    """Write an image of which inputs each pixel has.

    Parameters
    ----------
    path
        The file.
    bits
        Planes that `make_input_bits` made.
    detectors
        The detectors of the bits.
    grid
        Where the pixels lie.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written; what was there before is untouched.

    Notes
    -----
    Each plane is an HDU, INPUTS0 and so on, of 32-bit integers. The primary header has
    the number of the detector, the visit and the weight of each bit, as ``B0003CCD``,
    ``B0003VIS`` and ``B0003WT``.
    """
    primary = fits.PrimaryHDU()
    primary.header.update(bit_cards(detectors))
    header = fits.Header(grid_cards(grid))
    planes = [
        fits.CompImageHDU(
            stored_mask(plane), header, name=_bits_name(word), compression_type="GZIP_2"
        )
        for word, plane in enumerate(bits)
    ]

    def write(stream: BinaryIO) -> None:
        fits.HDUList([primary, *planes]).writeto(stream, checksum=True)

    def check(written: Path) -> None:
        same = verify_file(written) == 1 + len(planes)
        if not same or not np.array_equal(read_input_bits(written), bits):
            raise spoiled(path, "the map")

    write_atomically(path, write, check, nbytes=bits.nbytes, overwrite=overwrite)


def read_input_bits(path: str | Path) -> UInt32[np.ndarray, "word y x"]:
    """Read an image of which inputs each pixel has.

    Parameters
    ----------
    path
        A file that `write_input_bits` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or has no such image.
    """
    hdus = read_hdus(path)
    names = [hdu.name for hdu in hdus if hdu.name.startswith(_BITS)]
    if not names:
        raise InputError(
            f"{path} has no HDU {_bits_name(0)}; expected an image with a bit an input"
        )
    planes = [read_plane(hdus, _bits_name(word)) for word in range(len(names))]
    return np.stack(planes).view(np.uint32)


_BITS = "INPUTS"


def _bits_name(word: int) -> str:
    return f"{_BITS}{word}"
