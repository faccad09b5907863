"""The pixels of an image in a FITS file, by rows; decoded by astropy."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import HARMLESS, Hdu, open_bytes

MOST_OPEN = 300
"""Images that `sections` keeps open; a process may usually have 1024 files."""


@contextlib.contextmanager
def opened(hdu: Hdu, **options: Any) -> Iterator[Any]:
    """Open an HDU with astropy; what that says of broken data becomes an error."""
    with contextlib.ExitStack() as files, _decoding(hdu):
        yield _open(hdu, files, **options)


def _open(hdu: Hdu, files: contextlib.ExitStack, **options: Any) -> Any:
    """Open an HDU with astropy, until a stack of files is closed."""
    # Not by its name: astropy leaves a file open if it fails to open it.
    stream = files.enter_context(open_bytes(hdu.path))
    return files.enter_context(fits.open(stream, memmap=False, **options))[hdu.index]


@contextlib.contextmanager
def _decoding(hdu: Hdu) -> Iterator[None]:
    """Turn what astropy says of broken data into an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyWarning)
            # Of headers that `read_hdus` has accepted.
            warnings.filterwarnings("ignore", HARMLESS, AstropyWarning)
            warnings.filterwarnings("ignore", ".*BLANK", AstropyWarning)
            yield
    except (MemoryError, InputError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the data of {hdu} cannot be decoded ({reason}); the file is damaged, "
            "fetch or write it again"
        ) from error


def read_section(hdu: Hdu, start: int, stop: int, *, blank: bool = True) -> np.ndarray:
    """Read some rows of an image; only those are read from disk and decompressed.

    Parameters
    ----------
    hdu
        An image that `check_image` has accepted.
    start, stop
        The first row, and the one after the last.
    blank
        Whether integers equal to BLANK become NaN.

    Returns
    -------
    numpy.ndarray
        Rows in physical units, in the file's type and byte order.

    Raises
    ------
    InputError
        The pixels cannot be decoded.
    """
    with opened(hdu, ignore_blank=not blank) as stored:
        return stored.section[start:stop]


ReadSection = Callable[..., np.ndarray]
"""A function like `read_section`."""


@contextlib.contextmanager
def sections() -> Iterator[ReadSection]:
    """Give a function like `read_section` that keeps files open until the end.

    Opening a compressed image takes as long as decoding some hundred of its rows, and
    a file that is gzipped as a whole is decompressed from its start.

    Notes
    -----
    At most `MOST_OPEN` images are kept open; others are opened each time.
    """
    kept: dict[tuple[Path, int, bool], Any] = {}
    with contextlib.ExitStack() as files:

        def read(hdu: Hdu, start: int, stop: int, *, blank: bool = True) -> np.ndarray:
            key = (hdu.path, hdu.index, blank)
            if key not in kept:
                if len(kept) == MOST_OPEN:
                    return read_section(hdu, start, stop, blank=blank)
                with _decoding(hdu):
                    kept[key] = _open(hdu, files, ignore_blank=not blank)
            with _decoding(hdu):
                return kept[key].section[start:stop]

        yield read
