"""The sky map of the faces of a dodecahedron."""

import dataclasses
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxcoadd.sky.builders import LegacyPatches
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap, every_tract, nearest_center
from jaxcoadd.sky.sphere import sky_positions, unit_vectors
from jaxcoadd.sky.tracts import Tract, tract_by_vertices

_LAYOUT = TractLayout(
    pixel_scale=0.2, tract_overlap=3.5, patches=LegacyPatches(border=250)
)

# Declinations of the centres of faces, by the angles between the axes of the solid.
_NEAR, _FAR = (
    float(np.degrees(np.arcsin(np.sqrt((5 + sign * 2 * np.sqrt(5)) / 15))))
    for sign in (1, -1)
)
_AROUND_POLE = float(np.degrees(np.arctan(0.5)))


@dataclasses.dataclass(frozen=True)
class DodecahedronSkyMap(AbstractSkyMap):
    """Twelve tracts, the faces of a dodecahedron. LSST: DodecaSkyMap.

    Parameters
    ----------
    tracts_on_poles
        Whether the centres of two tracts, not the vertices of six, are the poles.
        LSST: withTractsOnPoles.
    layout
        What the tracts have in common.
    """

    tracts_on_poles: bool = False
    layout: TractLayout = _LAYOUT

    @property
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""
        return 12

    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""
        center = tuple(self._centers[number].tolist())
        return tract_by_vertices(number, center, self._vertices(number), self.layout)

    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the face that each position is on."""
        return nearest_center(self._centers, ra, dec)

    def candidates(self, ra: float, dec: float) -> range:
        """Return the tracts that may hold a position: all."""
        return range(self.tract_count)

    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts where patches for positions are looked for: all."""
        return every_tract(self)

    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""
        own = struct.pack("<?", self.tracts_on_poles)
        return b"DodecaSkyMap" + self.layout.identity() + own

    @property
    def _centers(self) -> np.ndarray:
        """RA and Dec of the centres of the faces, from north to south."""
        if self.tracts_on_poles:
            rings = [(_AROUND_POLE, 0.0), (-_AROUND_POLE, 36.0)]
            ring = [(start + 72.0 * n, dec) for dec, start in rings for n in range(5)]
            return np.array([(0.0, 90.0), *ring, (0.0, -90.0)])
        rings = [(_NEAR, 0.0), (_FAR, 60.0), (-_FAR, 0.0), (-_NEAR, 60.0)]
        return np.array(
            [(start + 120.0 * n, dec) for dec, start in rings for n in range(3)]
        )

    def _vertices(self, number: int) -> np.ndarray:
        """RA and Dec of the vertices of a face, anticlockwise as seen from outside."""
        faces = unit_vectors(*self._centers.T)
        face = faces[number]
        # The five next faces have one angle to it, of cosine 1/sqrt(5) = 0.447.
        others = faces[np.abs(faces @ face - np.sqrt(0.2)) < 0.1]
        first = others[0] - face * (others[0] @ face)
        turned = np.arctan2(others @ np.cross(face, first), others @ first)
        others = others[np.argsort(turned)]
        # Three faces meet in a vertex.
        return sky_positions(face + others + np.roll(others, -1, axis=0))
