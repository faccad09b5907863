"""The sky map of rings of equal width in declination, and a tract on each pole."""

import dataclasses
import functools
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jaxcoadd.sky.errors import SkyMapError, check_positions
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap
from jaxcoadd.sky.tracts import Tract, tract_by_radius

_TURN = 2 * np.pi

_LAYOUT = TractLayout()


@dataclasses.dataclass(frozen=True)
class RingsSkyMap(AbstractSkyMap):
    """Tracts in rings around the poles, numbered from south to north.

    Parameters
    ----------
    ring_count
        Rings, without the tracts on the poles. LSST: numRings.
    ra_start
        RA of the first tract of every ring, in degrees. LSST: raStart.
    layout
        What the tracts have in common.
    version
        1, or 0 for the numbers of maps that were stored before 2018: from the second
        ring on the first number of a ring is one more tract of the ring before, at the
        RA of its first one. The first tract of the northernmost ring is missing, and
        what it owns is given to the north pole.

    Raises
    ------
    SkyMapError
        No rings, or another version.

    Examples
    --------
    >>> RingsSkyMap(120).tract_count, int(RingsSkyMap(120).find_tract(150.0, 2.0))
    (18938, 9813)
    """

    ring_count: int
    ra_start: float = 0.0
    layout: TractLayout = _LAYOUT
    version: int = 1

    def __post_init__(self):
        """Refuse what cannot be numbered."""
        if self.ring_count < 1:
            raise SkyMapError(f"a map has 1 ring or more, not {self.ring_count}")
        if self.version not in (0, 1):
            raise SkyMapError(f"the version of rings is 0 or 1, not {self.version}")

    @property
    def ring_size(self) -> float:
        """Width of a ring in declination, in radians."""
        return np.pi / (self.ring_count + 1)

    @functools.cached_property
    def ring_lengths(self) -> np.ndarray:
        """How many tracts each ring has."""
        size = self.ring_size
        south = size * (np.arange(self.ring_count) + 0.5) - np.pi / 2
        nearest = np.minimum(np.abs(south), np.abs(south + size))
        return (_TURN * np.cos(nearest) / size).astype(int) + 1

    @functools.cached_property
    def _ring_starts(self) -> np.ndarray:
        """The tracts in rings before each ring."""
        return np.concatenate([[0], np.cumsum(self.ring_lengths)])

    @property
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""
        return int(self._ring_starts[-1]) + 2

    def ring_of(self, number: int) -> tuple[int, int]:
        """Return the ring of a tract, -1 for the south pole, and its place in it."""
        if number == 0:
            return -1, 0
        if number == self.tract_count - 1:
            return self.ring_count, 0
        place = number - 1
        # In version 0 a ring goes on for one tract too long.
        side = "right" if self.version else "left"
        ring = int(np.searchsorted(self._ring_starts, place, side)) - 1
        ring = max(ring, 0)
        return ring, place - int(self._ring_starts[ring])

    def inner_region(self, number: int) -> tuple[float, float, float, float]:
        """Return the least and largest RA, and Dec, that a tract owns, in degrees."""
        ring, place = self.ring_of(self.tract(number).number)
        size = np.degrees(self.ring_size)
        if ring < 0:
            return 0.0, 360.0, -90.0, float(size / 2 - 90)
        if ring == self.ring_count:
            return 0.0, 360.0, float(90 - size / 2), 90.0
        step, south = 360 / self.ring_lengths[ring], size * (ring + 0.5) - 90
        west, east = (
            float((self.ra_start + step * (place + side)) % 360) for side in (-0.5, 0.5)
        )
        return west, east, float(south), float(south + size)

    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""
        ring, place = self.ring_of(number)
        size = self.ring_size
        if ring in (-1, self.ring_count):
            center = (0.0, -90.0 if ring < 0 else 90.0)
        else:
            turned = _TURN * place / self.ring_lengths[ring] + np.radians(self.ra_start)
            dec = size * (ring + 1) - np.pi / 2
            center = (float(np.degrees(turned % _TURN)), float(np.degrees(dec)))
        return tract_by_radius(number, center, np.degrees(size / 2), self.layout)

    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the tract that owns each position, given in degrees."""
        ra, dec = check_positions(ra, dec)
        cap = self.ring_size / 2 - np.pi / 2
        ring = self._ring_at(dec)
        number = self._number_at(ring, self._place_at(ra, ring))
        north = np.where(np.radians(dec) > -cap, self.tract_count - 1, number)
        return np.where(np.radians(dec) < cap, 0, north)

    def candidates(self, ra: float, dec: float) -> list[int]:
        """Return the tracts that may hold a position, in the order to try them."""
        return [*self._neighbours(ra, dec), 0, self.tract_count - 1]

    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts that hold one of the positions."""
        pairs = zip(ra.tolist(), dec.tolist(), strict=True)
        found = (tract for pair in pairs for tract in self.find_all_tracts(*pair))
        return {tract.number: tract for tract in found}.values()

    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""
        own = struct.pack("<id", self.ring_count, self.ra_start)
        return b"RingsSkyMap" + self.layout.identity() + own

    def _neighbours(self, ra: float, dec: float) -> Iterator[int]:
        """Yield the tracts around the one at a position, in three rings."""
        middle = int(self._ring_at(dec))
        for ring in range(max(middle - 1, 0), min(middle + 2, self.ring_count)):
            place, length = int(self._place_at(ra, ring)), self.ring_lengths[ring]
            for near in (place - 1, place, place + 1):
                yield int(self._number_at(ring, near % length))

    def _number_at(self, ring: Any, place: Any) -> np.ndarray:
        """Return the numbers of tracts by their rings and their places in them."""
        if self.version == 0:
            goes_on = (np.equal(place, 0)) & (np.greater(ring, 0))
            place = np.where(goes_on, self.ring_lengths[ring], place)
        return 1 + self._ring_starts[ring] + place

    def _ring_at(self, dec: Any) -> np.ndarray:
        """Return the ring at declinations, the nearest one at the poles."""
        south = self.ring_size / 2 - np.pi / 2
        rings = np.floor((np.radians(dec) - south) / self.ring_size).astype(int)
        return np.clip(rings, 0, self.ring_count - 1)

    def _place_at(self, ra: Any, ring: Any) -> np.ndarray:
        """Return the place in its ring of the tract at right ascensions."""
        length = self.ring_lengths[ring]
        turned = np.mod(np.radians(ra) - np.radians(self.ra_start), _TURN)
        return (turned / (_TURN / length) + 0.5).astype(int) % length
