"""The sky map of tracts anywhere."""

import dataclasses
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxcoadd.sky.errors import SkyMapError, check_positions
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap, every_tract, nearest_center
from jaxcoadd.sky.tracts import Tract, tract_by_radius

_LAYOUT = TractLayout()


@dataclasses.dataclass(frozen=True)
class DiscreteSkyMap(AbstractSkyMap):
    """Tracts with centres and radii of their own.

    Parameters
    ----------
    ra, dec
        The centres, in degrees. LSST: raList, decList.
    radius
        The radii, in degrees. LSST: radiusList.
    layout
        What the tracts have in common.

    Raises
    ------
    SkyMapError
        No tracts, columns of different length, a position that is none, or a radius
        that is not above 0.
    """

    ra: tuple[float, ...]
    dec: tuple[float, ...]
    radius: tuple[float, ...]
    layout: TractLayout = _LAYOUT

    def __post_init__(self):
        """Refuse what is no list of circles."""
        lengths = (len(self.ra), len(self.dec), len(self.radius))
        if len(set(lengths)) > 1 or not self.ra:
            raise SkyMapError(
                f"ra, dec and radius must have one length above 0, not {lengths}"
            )
        check_positions(self.ra, self.dec)
        wrong = [radius for radius in self.radius if not 0 < radius < 180]
        if wrong:
            raise SkyMapError(f"a radius is from 0 to 180 degrees, not {wrong[0]}")

    @property
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""
        return len(self.ra)

    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""
        center = (self.ra[number], self.dec[number])
        return tract_by_radius(number, center, self.radius[number], self.layout)

    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the tract whose centre is nearest to each position."""
        return nearest_center(np.array([self.ra, self.dec]).T, ra, dec)

    def candidates(self, ra: float, dec: float) -> range:
        """Return the tracts that may hold a position: all."""
        return range(self.tract_count)

    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts where patches for positions are looked for: all."""
        return every_tract(self)

    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""
        columns = (self.ra, self.dec, self.radius)
        own = b"".join(struct.pack(f"<{len(c)}d", *c) for c in columns)
        return b"DiscreteSkyMap" + self.layout.identity() + own
