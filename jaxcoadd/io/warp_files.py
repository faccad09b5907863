"""Warps in FITS files: their headers first, their pixels by rows."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.grids import Grid, grid_of
from jaxcoadd.io.hdus import Hdu, check_sums
from jaxcoadd.io.layouts import Layout, file_stem, find_layout
from jaxcoadd.io.mappings import ReaderMapping
from jaxcoadd.io.mask_planes import BAD_VARIANCE, NO_DATA, MaskReader, mask_reader
from jaxcoadd.io.sections import ReadSection, read_section
from jaxcoadd.io.zero_points import find_zero_point, first_card
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.warps import Warp

_IDENTIFIERS = ("VISIT", "EXPNUM", "EXPID", "OBSID", "OBS_ID")
_BANDS = ("FILTER", "BAND")
MATCHED_FWHM = "PSFFWHM"
"""Card of the width of the model that a PSF-matched warp has, in pixels."""

_DATES = ("MJD-OBS", "MJD-AVG", "MJD")
_BYTES_A_PIXEL = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a warp.

    Parameters
    ----------
    image, variance
        Pixels as 32-bit floats, (y, x).
    mask
        Bits of the planes of the file, unsigned 32-bit integers, (y, x).
    not_finite
        Number of pixels where the image is not finite, which are NO_DATA.
    bad_variance
        Number of pixels where the image is finite but the variance is not, or is not
        positive; they are BAD_VARIANCE.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    not_finite: int
    bad_variance: int


@dataclasses.dataclass(frozen=True, eq=False)
class WarpFile:
    """A warp in a file, of which the headers have been read and checked.

    Parameters
    ----------
    path
        The file with the image.
    layout
        The kind of file.
    grid
        WCS, shape and origin.
    planes
        Planes of the mask, with NO_DATA and BAD_VARIANCE.
    unit
        Unit of the image, if the file says.
    zero_point
        AB magnitude of one count, if the file says.
    identifier
        The exposure's name or number; the name of the file if it has none.
    band
        Name of the filter, if the file says.
    seeing
        Width of the point-spread function as the card SEEING holds it.
    date
        Modified Julian date, if the file says.
    matched_fwhm
        Width of the model that the point-spread function was matched to, in pixels, if
        the file says.
    noise_kind
        What the noise plane holds: see `ReaderMapping`.
    scale
        Factor for the image, applied on reading.
    """

    path: Path
    layout: str
    grid: Grid
    planes: MaskPlanes
    unit: str | None
    zero_point: float | None
    identifier: str
    band: str | None
    seeing: float | None
    date: float | None
    matched_fwhm: float | None
    noise_kind: str
    scale: float
    _image: Hdu = dataclasses.field(repr=False)
    _noise: Hdu = dataclasses.field(repr=False)
    _mask: MaskReader = dataclasses.field(repr=False)
    _primary: Hdu = dataclasses.field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape

    @property
    def origin(self) -> tuple[int, int]:
        """Column and row of the first pixel in the whole frame."""
        return self.grid.origin

    @property
    def wcs(self) -> WCS | None:
        """World coordinates of the pixels of the array."""
        return self.grid.wcs

    @property
    def image_hdu(self) -> Hdu:
        """The HDU of the image."""
        return self._image

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that hold the planes: one, or those beside it too."""
        hdus = (self._image, self._noise, self._mask.hdu)
        return tuple(dict.fromkeys(hdu.path for hdu in hdus if hdu is not None))

    @property
    def nbytes(self) -> int:
        """Bytes of image, variance and mask in memory, once read."""
        return _BYTES_A_PIXEL * self.shape[0] * self.shape[1]

    def read_rows(
        self, start: int, stop: int, read: ReadSection = read_section
    ) -> Rows:
        """Read some rows; only these are read from disk.

        Parameters
        ----------
        start, stop
            The first row, and the one after the last.
        read
            How to read rows of an HDU; one of `sections` keeps the file open.

        Returns
        -------
        Rows
            In the machine's byte order, with the noise brought to variance. Pixels
            that cannot be used are marked in the mask.

        Raises
        ------
        InputError
            The pixels cannot be decoded.
        ValueError
            There are no such rows.

        Notes
        -----
        Without `sections`, a file that is gzipped as a whole is decompressed from its
        start each time.
        """
        height, width = self.shape
        if not 0 <= start < stop <= height:
            raise ValueError(
                f"rows {start} to {stop} are not within the {height} of {self.path}"
            )
        noise = _as_float32(read(self._noise, start, stop))
        image = _as_float32(read(self._image, start, stop))
        mask = self._mask.read_rows(start, stop, width, read)
        if self.scale != 1.0:
            with np.errstate(over="ignore"):
                image *= self.scale
        no_data = self.noise_kind == "weight" and noise == 0
        if np.any(no_data):
            mask |= self._flag(NO_DATA, no_data)
        variance = _as_variance(noise, self.noise_kind, self.scale)
        if self._image.quantised or self._noise.quantised:
            # Rounded pixels cannot hold NaN or infinity; only the mask is exact.
            empty = (mask & np.uint32(self.planes.bits([NO_DATA]))) != 0
            image[empty], variance[empty] = np.nan, np.inf
        return self._flag_unusable(image, variance, mask, no_data)

    def known_zero_point(self) -> float:
        """Return the zero point; `InputError` if the file does not say it."""
        if self.zero_point is None:
            raise InputError(
                f"{self.path} does not say its zero point; give it, or the card that "
                "holds it, as `zero_point` in a mapping"
            )
        return self.zero_point

    def read_whole(self) -> dict[str, Any]:
        """Read all pixels: the fields of a `Warp` or an `Exposure`, by name."""
        zero_point = self.known_zero_point()
        rows = self.read_rows(0, self.shape[0])
        return {
            "image": rows.image,
            "variance": rows.variance,
            "mask": rows.mask,
            "planes": self.planes,
            "zero_point": zero_point,
        }

    def _flag(self, name: str, where: Any) -> np.ndarray:
        """Return a mask with the bit of one plane set where a condition holds."""
        return where * np.uint32(self.planes.bits([name]))

    def _flag_unusable(
        self, image: np.ndarray, variance: np.ndarray, mask: np.ndarray, no_data: Any
    ) -> Rows:
        """Mark pixels that are not finite, and those whose variance cannot be."""
        finite = np.isfinite(image)
        bad = finite & ~((variance > 0) & (variance < np.inf))
        bad &= np.logical_not(no_data)
        not_finite = image.size - int(np.count_nonzero(finite))
        if not_finite:
            mask |= self._flag(NO_DATA, ~finite)
        bad_variance = int(np.count_nonzero(bad))
        if bad_variance:
            mask |= self._flag(BAD_VARIANCE, bad)
        return Rows(image, variance, mask, not_finite, bad_variance)

    def verify(self) -> int:
        """Compare the bytes on disk with the checksums that the file holds.

        Returns
        -------
        int
            How many of the HDUs in use have checksums.

        Raises
        ------
        InputError
            A sum differs: bytes have changed since the file was written.
        """
        used = [self._primary, self._image, self._noise, self._mask.hdu]
        hdus = {(hdu.path, hdu.index): hdu for hdu in used if hdu is not None}
        return sum(check_sums(hdu) for hdu in hdus.values())


def _as_float32(values: np.ndarray) -> np.ndarray:
    """Take pixels as 32-bit floats of the machine's byte order, in a new array."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _as_variance(noise: np.ndarray, kind: str, scale: float) -> np.ndarray:
    """Bring noise to the variance of the scaled image; negative stays negative."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if kind == "variance":
            return noise * scale**2 if scale != 1.0 else noise
        if kind == "sigma":
            scaled = noise * scale
            return scaled * np.abs(scaled)
        infinite = np.full_like(noise, np.inf)
        return np.divide(np.float32(scale**2), noise, out=infinite, where=noise != 0)


def open_warp(path: str | Path, mapping: ReaderMapping | str | None = None) -> WarpFile:
    """Read and check the headers of a warp; no pixels.

    Parameters
    ----------
    path
        The file with the image.
    mapping
        Where the planes are, or the name of one of `PRESETS`. By default it is found
        out from the file.

    Returns
    -------
    WarpFile
        From which `WarpFile.read_rows` reads pixels.

    Raises
    ------
    InputError
        A file is missing, truncated, damaged, or not a warp.
    """
    path = Path(path)
    layout = find_layout(path, mapping)
    reader = mask_reader(layout.mask, layout.mask_hdus, layout.mapping)
    places = (layout.image, layout.hdus[0])
    scale = _scale(layout)
    unit = layout.mapping.unit
    if unit is None and scale == 1.0:
        unit = _text(first_card([layout.image], "BUNIT"))
    return WarpFile(
        path=path,
        layout=layout.mapping.layout,
        grid=grid_of(layout.image),
        planes=reader.planes,
        unit=unit,
        zero_point=find_zero_point(
            layout.hdus, layout.image, given=layout.mapping.zero_point, unit=unit
        ),
        identifier=_identifier(layout, path),
        band=_text(first_card(places, *_BANDS)),
        seeing=_number(first_card(places, "SEEING")),
        date=_number(first_card(places, *_DATES)),
        matched_fwhm=_number(first_card(places, MATCHED_FWHM)),
        noise_kind=layout.mapping.noise_kind,
        scale=scale,
        _image=layout.image,
        _noise=layout.noise,
        _mask=reader,
        _primary=layout.hdus[0],
    )


def _identifier(layout: Layout, path: Path) -> str:
    """Return what tells this warp from others."""
    card = layout.mapping.identifier
    if card == "":
        return file_stem(path)
    cards = _IDENTIFIERS if card is None else (card,)
    found = first_card((layout.hdus[0], layout.image), *cards)
    if found is None and card is not None:
        raise InputError(
            f"{path} has no card {card}, which should identify it; correct the mapping"
        )
    return _text(found) or file_stem(path)


def _scale(layout: Layout) -> float:
    """Return the factor for the image."""
    mapping = layout.mapping
    if mapping.scale is None:
        return mapping.factor
    found = first_card((layout.image, layout.hdus[0]), mapping.scale)
    if found is None and mapping.scale_default is None:
        raise InputError(
            f"{layout.image} has no card {mapping.scale}, which its pixels are to be "
            "multiplied by; correct the header or the mapping"
        )
    value = mapping.scale_default if found is None else found[0]
    if not isinstance(value, int | float) or not 0 < value < np.inf:
        raise InputError(
            f"card {mapping.scale} of {layout.image} should be a positive factor and "
            f"is {value!r}; correct the header or the mapping"
        )
    return float(value) * mapping.factor


def _text(found: tuple[Any, Hdu, str] | None) -> str | None:
    """Return the value of a card as text."""
    return None if found is None else str(found[0])


def _number(found: tuple[Any, Hdu, str] | None) -> float | None:
    """Return the value of a card if it is a number."""
    if found is None or isinstance(found[0], bool):
        return None
    return float(found[0]) if isinstance(found[0], int | float) else None


def read_warp(path: str | Path, mapping: ReaderMapping | str | None = None) -> Warp:
    """Read a whole warp into JAX arrays.

    Parameters
    ----------
    path, mapping
        As for `open_warp`.

    Raises
    ------
    InputError
        The file cannot be read, or does not say its zero point.
    """
    return Warp(**open_warp(path, mapping).read_whole())
