"""What every sky map can do, and what the kinds share."""

import abc
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxcoadd.sky.errors import check_positions, check_tract
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.sphere import unit_vectors
from jaxcoadd.sky.tracts import Patch, Tract

# So many positions and centres are compared at a time.
_CHUNK = 1 << 20


class AbstractSkyMap(abc.ABC):
    """A numbered list of tracts. They are made when they are asked for."""

    @property
    @abc.abstractmethod
    def layout(self) -> TractLayout:
        """What all of its tracts have in common."""

    @property
    @abc.abstractmethod
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""

    @abc.abstractmethod
    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the tract that owns each position, given in degrees.

        Parameters
        ----------
        ra, dec
            In degrees; of any shape.

        Returns
        -------
        array
            Integers, in the shape of the positions.
        """

    @abc.abstractmethod
    def candidates(self, ra: float, dec: float) -> Sequence[int]:
        """Return the tracts that may hold a position, in the order to try them."""

    @abc.abstractmethod
    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""

    @abc.abstractmethod
    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""

    @abc.abstractmethod
    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts where patches for a list of positions are looked for."""

    @property
    def sha1(self) -> str:
        """The hexadecimal digest that LSST's registries keep as hash of a sky map."""
        return hashlib.sha1(self.identity()).hexdigest()

    def tract(self, number: int) -> Tract:
        """Return a tract by its number.

        Raises
        ------
        SkyMapError
            There is no such tract.
        """
        return self.make_tract(check_tract(number, self.tract_count))

    def find_all_tracts(self, ra: float, dec: float) -> list[Tract]:
        """Return all tracts that have a pixel at a position, given in degrees."""
        check_positions(ra, dec)
        tracts = (self.make_tract(number) for number in self.candidates(ra, dec))
        return [tract for tract in tracts if tract.contains(ra, dec)]

    def find_tract_patches(self, ra: Any, dec: Any) -> list[tuple[Tract, list[Patch]]]:
        """Return the patches that an image may reach, with their tracts.

        Parameters
        ----------
        ra, dec
            Positions in degrees, as the corners of the image.

        Returns
        -------
        list of tuple
            Tracts, each with those patches that the box around all positions reaches.

        Notes
        -----
        As LSST's findTractPatchList. In a map of rings, a tract that holds none of the
        positions is not found, even where the box between them reaches it.
        """
        ra, dec = (positions.ravel() for positions in check_positions(ra, dec))
        return _with_patches(self.tracts_to_search(ra, dec), ra, dec)

    def find_closest_tract_patches(
        self, ra: Any, dec: Any
    ) -> list[tuple[Tract, list[Patch]]]:
        """Return the patches that an image may reach, in the tracts that own it.

        As `find_tract_patches`, but of the tracts of `find_tract` alone.
        """
        ra, dec = (positions.ravel() for positions in check_positions(ra, dec))
        numbers = dict.fromkeys(self.find_tract(ra, dec).tolist())
        return _with_patches(map(self.make_tract, numbers), ra, dec)


def _with_patches(
    tracts: Iterable[Tract], ra: np.ndarray, dec: np.ndarray
) -> list[tuple[Tract, list[Patch]]]:
    """Return the tracts that have patches at positions, with these patches."""
    found = ((tract, tract.find_patches(ra, dec)) for tract in tracts)
    return [(tract, patches) for tract, patches in found if patches]


def every_tract(sky_map: AbstractSkyMap) -> Iterable[Tract]:
    """Return all tracts, one after the other."""
    return map(sky_map.make_tract, range(sky_map.tract_count))


def nearest_center(centers: np.ndarray, ra: Any, dec: Any) -> np.ndarray:
    """Return which centre each position is nearest to, the first one of several.

    Parameters
    ----------
    centers
        RA and Dec in degrees, one a row.
    ra, dec
        Positions in degrees, of any shape.
    """
    ra, dec = check_positions(ra, dec)
    points = unit_vectors(ra.ravel(), dec.ravel())
    directions = unit_vectors(*centers.T)
    rows = max(1, _CHUNK // len(centers))
    nearest = np.empty(len(points), int)
    for start in range(0, len(points), rows):
        chunk = slice(start, start + rows)
        nearest[chunk] = np.argmax(points[chunk] @ directions.T, axis=1)
    return nearest.reshape(ra.shape)
