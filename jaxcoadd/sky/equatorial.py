"""The sky map of a band along the equator."""

import dataclasses
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxcoadd.sky.errors import SkyMapError
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap, every_tract, nearest_center
from jaxcoadd.sky.tracts import Tract, tract_by_vertices

_LAYOUT = TractLayout(projection="CEA")


@dataclasses.dataclass(frozen=True)
class EquatorialSkyMap(AbstractSkyMap):
    """A band of declinations in slices of right ascension. LSST: EquatSkyMap.

    Parameters
    ----------
    count
        Slices. LSST: numTracts.
    dec_range
        Declinations of the band, in degrees. LSST: decRange.
    layout
        What the tracts have in common.

    Raises
    ------
    SkyMapError
        No slices, or a band without width or outside of -90 to 90.
    """

    count: int = 4
    dec_range: tuple[float, float] = (-1.25, 1.25)
    layout: TractLayout = _LAYOUT

    def __post_init__(self):
        """Refuse what is no band."""
        south, north = self.dec_range
        if self.count < 1 or not -90 <= south < north <= 90:
            raise SkyMapError(
                f"no band of {self.count} tracts from {south} to {north} degrees; "
                "it is 1 tract or more, and declinations from -90 to 90"
            )

    @property
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""
        return self.count

    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""
        (south, north), (ra, dec) = self.dec_range, self._centers[number].tolist()
        west, east = (360 * (number + side) / self.count % 360 for side in (0, 1))
        vertices = np.array(
            [(west, south), (east, south), (east, north), (west, north)]
        )
        return tract_by_vertices(
            number, (ra, dec), vertices, self.layout, tangent=(ra, 0.0)
        )

    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the tract whose centre is nearest to each position."""
        return nearest_center(self._centers, ra, dec)

    def candidates(self, ra: float, dec: float) -> range:
        """Return the tracts that may hold a position: all."""
        return range(self.tract_count)

    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts where patches for positions are looked for: all."""
        return every_tract(self)

    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""
        own = struct.pack("<i2d", self.count, *self.dec_range)
        return b"EquatSkyMap" + self.layout.identity() + own

    @property
    def _centers(self) -> np.ndarray:
        ra = 360 * (np.arange(self.count) + 0.5) / self.count
        return np.stack([ra, np.full_like(ra, sum(self.dec_range) / 2)], axis=-1)
