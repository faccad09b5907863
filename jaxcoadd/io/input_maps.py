"""Maps of a coadd's inputs in FITS files, as HealSparse keeps them."""

import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from jaxcoadd.inputs.input_map import (
    HealSparseMap,
    allow_fine_coverage,
    import_healsparse,
)
from jaxcoadd.io.atomic import write_atomically
from jaxcoadd.io.errors import InputError, OutputError


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
            raise OutputError(
                f"{path} could not be written: what was read back differs; try again"
            )

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
