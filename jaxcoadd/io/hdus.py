"""The HDUs of a FITS file: their headers, and where their bytes lie.

The headers are walked here and not by `astropy.io.fits.open`, which warns where a
file is truncated or damaged, and goes on.
"""

import dataclasses
import gzip
import math
import os
import warnings
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from jaxcoadd.io.errors import InputError

BLOCK = 2880
COMPRESSIONS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS")
_CHUNK = BLOCK * 8192
# Zero in the arithmetic of the checksums, which has two of them.
_ALL_ONES = 0xFFFFFFFF
HARMLESS = "non-ASCII|Unexpected bytes trailing|Header block contains null bytes"
"""What astropy says of blemishes of a header that leave every card readable."""
_NOT_GZIP = (gzip.BadGzipFile, zlib.error)


@dataclasses.dataclass(frozen=True, eq=False)
class Hdu:
    """One header and data unit of a file, as stored: tiles are a table.

    Parameters
    ----------
    path
        The file.
    index
        Position in the file, from 0.
    header
        Header as stored.
    header_offset, data_offset, data_size
        Where header and data begin, and how long the padded data is, in bytes.
    """

    path: Path
    index: int
    header: fits.Header
    header_offset: int
    data_offset: int
    data_size: int

    def get(self, card: str, default: Any = None) -> Any:
        """Return the value of a card; `InputError` if it is not readable."""
        try:
            value = self.header.get(card, default)
        except fits.VerifyError as error:
            raise InputError(
                f"card {card} of HDU {self.index} of {self.path} is not valid FITS; "
                "repair the header"
            ) from error
        if isinstance(value, fits.card.Undefined):
            return default
        return value.strip() if isinstance(value, str) else value

    @property
    def name(self) -> str:
        """The EXTNAME in capitals, or nothing."""
        name = str(self.get("EXTNAME", "")).upper()
        # Compressors write this where there was no name.
        return "" if name == "COMPRESSED_IMAGE" else name

    @property
    def kind(self) -> str:
        """The EXTTYPE in capitals, or nothing."""
        return str(self.get("EXTTYPE", "")).upper()

    @property
    def title(self) -> str:
        """A name for lists and messages."""
        return self.name or self.kind or ("PRIMARY" if self.index == 0 else "no name")

    def __str__(self) -> str:
        """Say which HDU of which file this is."""
        return f"HDU {self.index} ({self.title}) of {self.path}"

    @property
    def compressed(self) -> bool:
        """Whether this is an image in compressed tiles."""
        return self.get("ZIMAGE", False) is True

    @property
    def quantised(self) -> bool:
        """Whether floating-point pixels were rounded to be compressed."""
        if not self.compressed:
            return False
        columns = range(1, _whole_number(self, "TFIELDS") + 1)
        names = [self.get(f"TTYPE{column}") for column in columns]
        return "ZSCALE" in names or "ZSCALE" in self.header

    @property
    def is_table(self) -> bool:
        """Whether this is a table that holds no image."""
        return "TABLE" in str(self.get("XTENSION", "")) and not self.compressed

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image in NumPy's order; empty if there are no pixels."""
        prefix = "ZNAXIS" if self.compressed else "NAXIS"
        count = _whole_number(self, prefix)
        return tuple(_whole_number(self, f"{prefix}{n}") for n in range(count, 0, -1))

    @property
    def is_image(self) -> bool:
        """Whether this is an image of two dimensions."""
        return not self.is_table and len(self.shape) == 2


def _whole_number(hdu: Hdu, card: str, default: int | None = None) -> int:
    """Return a card that says a size."""
    value = hdu.get(card, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(
            f"card {card} of {hdu} should be a whole number and is {value!r}; "
            "the file is damaged, fetch or write it again"
        )
    return value


def open_bytes(path: Path) -> BufferedIOBase:
    """Open a file to read its bytes, those inside if the whole file is gzipped."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a FITS file; name a file in it")
    try:
        stream = open(path, "rb")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check its name") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from error
    if stream.read(2) == b"\x1f\x8b":
        stream.close()
        return gzip.GzipFile(path, "rb")
    stream.seek(0)
    return stream


def read_hdus(path: str | Path) -> tuple[Hdu, ...]:
    """Read the headers of a FITS file, and check that all its bytes are there.

    Parameters
    ----------
    path
        A FITS file, which may be gzipped as a whole.

    Raises
    ------
    InputError
        The file is missing, a folder, empty, not FITS, damaged or truncated.
    """
    path = Path(path)
    with open_bytes(path) as stream:
        try:
            return tuple(_walk(stream, path))
        except EOFError as error:
            raise InputError(
                f"{path} is truncated: its gzip stream has no end; fetch it again"
            ) from error
        except _NOT_GZIP as error:
            raise InputError(
                f"{path} is damaged: its gzip stream is not valid ({error}); "
                "fetch it again"
            ) from error


def _walk(stream: BufferedIOBase, path: Path) -> Iterator[Hdu]:
    """Go from header to header without touching the pixels."""
    offset = index = 0
    while True:
        stream.seek(offset)
        start = stream.read(9)
        if not start or (index and _is_padding(start, stream)):
            break
        _check_start(start, path, index)
        stream.seek(offset)
        header = _read_header(stream, path, index)
        data_offset = stream.tell()
        hdu = Hdu(path, index, header, offset, data_offset, 0)
        hdu = dataclasses.replace(hdu, data_size=_data_size(hdu))
        offset = data_offset + hdu.data_size
        index += 1
        yield hdu
    # A gzip stream stops at its end wherever one seeks to.
    is_gzip = isinstance(stream, gzip.GzipFile)
    size = stream.tell() if is_gzip else os.fstat(stream.fileno()).st_size
    if index == 0:
        raise InputError(f"{path} is empty; fetch or write it again")
    if offset > size:
        raise InputError(
            f"{path} is truncated: its headers announce {offset} bytes and it has "
            f"{size}; fetch or write it again"
        )


def _is_padding(start: bytes, stream: BufferedIOBase) -> bool:
    """Tell whether a file holds nothing more, as the padding that tapes leave."""
    while not start.strip(b"\0 "):
        start = stream.read(_CHUNK)
        if not start:
            return True
    return False


def _check_start(start: bytes, path: Path, index: int) -> None:
    """Refuse what does not begin as a header does."""
    if index == 0 and start != b"SIMPLE  =":
        raise InputError(
            f"{path} is not a FITS file: it begins with {start!r} and not with SIMPLE"
        )
    if index and start != b"XTENSION=":
        raise InputError(
            f"{path} is damaged: after HDU {index - 1} there are bytes that are no "
            "header; fetch or write it again"
        )


def _read_header(stream: BufferedIOBase, path: Path, index: int) -> fits.Header:
    """Read one header, from its first card to its padding."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyWarning)
            warnings.filterwarnings("ignore", HARMLESS, AstropyWarning)
            return fits.Header.fromfile(stream)
    except (OSError, ValueError, AstropyWarning) as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise InputError(
            f"the header of HDU {index} of {path} is not complete; the file is "
            "truncated or damaged, fetch or write it again"
        ) from error


def _data_size(hdu: Hdu) -> int:
    """Return the bytes of an HDU's data, with the padding to whole blocks."""
    axes = [
        _whole_number(hdu, f"NAXIS{n + 1}") for n in range(_whole_number(hdu, "NAXIS"))
    ]
    if hdu.get("GROUPS") is True and axes and axes[0] == 0:
        axes = axes[1:]
    count = math.prod(axes) if axes else 0
    count = (count + _whole_number(hdu, "PCOUNT", 0)) * _whole_number(hdu, "GCOUNT", 1)
    bits = hdu.get("BITPIX")
    if bits not in (8, 16, 32, 64, -32, -64):
        raise InputError(f"card BITPIX of {hdu} is {bits!r}, which FITS does not know")
    return -(-abs(bits) // 8 * count // BLOCK) * BLOCK


def check_image(hdu: Hdu) -> None:
    """Refuse an HDU that is not an image of two dimensions which can be read."""
    if hdu.is_table:
        raise InputError(f"{hdu} is a table, not an image; name another HDU")
    if not hdu.shape:
        raise InputError(f"{hdu} has no pixels; name another HDU")
    if len(hdu.shape) != 2 or 0 in hdu.shape:
        raise InputError(
            f"{hdu} is not a two-dimensional image but has shape {hdu.shape}; "
            "name another HDU"
        )
    if hdu.compressed:
        _check_tiles(hdu)


def _check_tiles(hdu: Hdu) -> None:
    """Refuse compression that is not read here, and tiles that do not add up."""
    compression = hdu.get("ZCMPTYPE")
    if compression not in COMPRESSIONS:
        raise InputError(
            f"{hdu} is compressed with {compression}, which is not read; compress it "
            "with RICE_1, GZIP_1, GZIP_2 or PLIO_1"
        )
    height, width = hdu.shape
    rows, columns = _whole_number(hdu, "ZTILE2", 1), _whole_number(hdu, "ZTILE1", width)
    wanted = math.ceil(height / max(rows, 1)) * math.ceil(width / max(columns, 1))
    found = _whole_number(hdu, "NAXIS2")
    if found != wanted:
        raise InputError(
            f"{hdu} should have {wanted} tiles and has {found}; the file is damaged, "
            "fetch or write it again"
        )


def check_sums(hdu: Hdu) -> bool:
    """Compare the bytes of an HDU with its DATASUM and CHECKSUM cards.

    Returns
    -------
    bool
        Whether it has such cards.

    Raises
    ------
    InputError
        A sum is not that of the card.
    """
    cards = [card for card in ("DATASUM", "CHECKSUM") if hdu.get(card)]
    if not cards:
        return False
    with open_bytes(hdu.path) as stream:
        header = _sum_words(stream, hdu.header_offset, hdu.data_offset)
        data = _sum_words(stream, hdu.data_offset, hdu.data_offset + hdu.data_size)
    if "DATASUM" in cards:
        text = str(hdu.get("DATASUM"))
        wanted = int(text) if text.isdecimal() else None
        if wanted is None or wanted % _ALL_ONES != data:
            raise InputError(_sums_differ(hdu, "DATASUM", text, data))
    total = (header + data) % _ALL_ONES
    if "CHECKSUM" in cards and total != 0:
        raise InputError(_sums_differ(hdu, "CHECKSUM", "0", total))
    return True


def _sums_differ(hdu: Hdu, card: str, wanted: str, found: int) -> str:
    """Say that the bytes are not those that were written."""
    return (
        f"{hdu} is damaged: by its {card} card its bytes sum to {wanted}, and they sum "
        f"to {found}; fetch or write the file again"
    )


def _sum_words(stream: BufferedIOBase, start: int, stop: int) -> int:
    """Sum 32-bit words with the carry brought round, as FITS defines it."""
    stream.seek(start)
    total = 0
    for offset in range(start, stop, _CHUNK):
        words = np.frombuffer(stream.read(min(_CHUNK, stop - offset)), ">u4")
        total += int(words.sum(dtype=np.uint64))
    return total % _ALL_ONES
