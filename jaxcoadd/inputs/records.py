"""What a coadd remembers of its inputs: visits, and the detectors of each."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from jaxcoadd.inputs.boxes import Box, box_shape
from jaxcoadd.inputs.polygons import Polygon
from jaxcoadd.inputs.regions import is_used

FILTER_LENGTH = 32


class PixelField(Protocol):
    """A number at every position of a box, such as a `ChebyshevField`."""

    @property
    def box(self) -> Box:
        """First and last column and row, inclusive."""
        ...

    def __call__(self, x: Any, y: Any) -> Any:
        """Return the values at pixel positions."""
        ...


class Throughput(Protocol):
    """A transmission curve that may depend on the position."""

    @property
    def wavelength_bounds(self) -> tuple[float, float]:
        """Shortest and longest wavelength where it may change."""
        ...

    @property
    def at_bounds(self) -> tuple[float, float]:
        """Throughput at and beyond either bound."""
        ...

    def __call__(self, x: np.ndarray, y: np.ndarray, wavelengths: np.ndarray) -> Any:
        """Return the throughput, (position, wavelength)."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class VisitInput:
    """One visit that went into a warp or a coadd.

    Parameters
    ----------
    id
        Number of the visit.
    box
        First and last column and row (x0, y0, x1, y1) of the warp, inclusive.
    goodpix
        Number of pixels that were copied into the warp.
    weight
        Weight in the coadd; NaN in a warp.
    filter
        Name of the physical filter, of 32 characters at most.
    psf, wcs, photo_calib, visit_info
        What else is known of the warp.

    Raises
    ------
    ValueError
        A box without pixels, or a long name of the filter.
    """

    id: int
    box: Box
    goodpix: int = 0
    weight: float = np.nan
    filter: str = ""
    psf: Any = None
    wcs: Any = None
    photo_calib: Any = None
    visit_info: Any = None

    def __post_init__(self):
        """Refuse what the table cannot hold."""
        _check_row(self)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorInput:
    """One detector of one visit that went into a warp or a coadd.

    Parameters
    ----------
    id
        A number for the pair of visit and detector.
    visit, detector
        Their numbers; -1 for a detector that is not known.
    box
        First and last column and row (x0, y0, x1, y1) of its image, inclusive.
    wcs
        From pixels of the detector to the sky, as astropy's `WCS`.
    goodpix
        Number of its pixels that were copied into the warp.
    weight
        Weight in the coadd; 1 in a warp.
    filter
        Name of the physical filter, of 32 characters at most.
    polygon
        The part of the detector that is used; ``None``: all of the box.
    aperture_corrections
        A field for each name; ``None`` if there are none.
    throughput
        Its transmission curve.
    psf, photo_calib, visit_info
        What else is known of the image before it was warped.

    Raises
    ------
    ValueError
        A box without pixels, or a long name of the filter.
    """

    id: int
    visit: int
    detector: int
    box: Box
    wcs: Any = None
    _: dataclasses.KW_ONLY
    goodpix: int = 0
    weight: float = 1.0
    filter: str = ""
    polygon: Polygon | None = None
    aperture_corrections: Mapping[str, PixelField] | None = None
    throughput: Throughput | None = None
    psf: Any = None
    photo_calib: Any = None
    visit_info: Any = None

    def __post_init__(self):
        """Refuse what the table cannot hold."""
        _check_row(self)

    def contains(
        self, x: np.ndarray, y: np.ndarray, *, box: Box | None = None
    ) -> np.ndarray:
        """Tell at which positions, in its pixels, the detector is used, see `is_used`.

        Another box may be given, as that of a field.
        """
        used = self.box if box is None else box
        return is_used(x, y, box=used, polygon=self.polygon)


def _check_row(row: VisitInput | DetectorInput) -> None:
    box_shape(row.box)
    if len(row.filter) > FILTER_LENGTH:
        raise ValueError(
            f"the filter {row.filter!r} has {len(row.filter)} characters; "
            f"at most {FILTER_LENGTH}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class CoaddInputs:
    """The visits and detectors of a warp or a coadd.

    Parameters
    ----------
    visits, detectors
        In order of their ids.
    """

    visits: tuple[VisitInput, ...] = ()
    detectors: tuple[DetectorInput, ...] = ()
