"""The sky map of HEALPix pixels."""

import dataclasses
import importlib
import struct
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from jaxcoadd.sky.errors import SkyMapError, check_positions
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap, every_tract
from jaxcoadd.sky.tracts import Tract, tract_by_vertices

_MAX_LOG2_SIDE = 12

_LAYOUT = TractLayout(rotation=45.0)


@dataclasses.dataclass(frozen=True)
class HealpixSkyMap(AbstractSkyMap):
    """A tract for every pixel of HEALPix, mirrored from north to south as LSST has it.

    Parameters
    ----------
    log2_side
        Logarithm to base 2 of the pixels along a side of a base pixel. LSST: log2NSide.
    nest
        Whether they are numbered in the nested order, not in rings. LSST: nest.
    layout
        What the tracts have in common.

    Raises
    ------
    SkyMapError
        A logarithm that is not from 0 to 12.
    ImportError
        The library astropy-healpix is not installed.
    """

    log2_side: int = 0
    nest: bool = False
    layout: TractLayout = _LAYOUT

    def __post_init__(self):
        """Refuse more pixels than can be numbered in 32 bits."""
        if not 0 <= self.log2_side <= _MAX_LOG2_SIDE:
            raise SkyMapError(
                f"log2_side is from 0 to {_MAX_LOG2_SIDE}, not {self.log2_side}"
            )
        _healpix()

    @property
    def tract_count(self) -> int:
        """How many tracts it has; their numbers count from 0."""
        return 12 * 4**self.log2_side

    def make_tract(self, number: int) -> Tract:
        """Return a tract by a number that has been checked; see `tract`."""
        healpix, options = _healpix(), self._options
        ra, dec = healpix.healpix_to_lonlat(number, **options)
        around = healpix.boundaries_lonlat(number, step=1, **options)
        vertices = np.stack([around[0].to_value("deg"), -around[1].to_value("deg")])
        center = (float(ra.to_value("deg")) % 360, float(-dec.to_value("deg")))
        return tract_by_vertices(number, center, vertices.reshape(2, 4).T, self.layout)

    def find_tract(self, ra: Any, dec: Any) -> np.ndarray:
        """Return the number of the pixel that each position is in."""
        from astropy import units

        ra, dec = check_positions(ra, dec)
        degrees = units.Quantity(ra, "deg"), units.Quantity(-dec, "deg")
        return np.asarray(_healpix().lonlat_to_healpix(*degrees, **self._options))

    def candidates(self, ra: float, dec: float) -> range:
        """Return the tracts that may hold a position: all."""
        return range(self.tract_count)

    def tracts_to_search(self, ra: np.ndarray, dec: np.ndarray) -> Iterable[Tract]:
        """Return the tracts where patches for positions are looked for: all."""
        return every_tract(self)

    def identity(self) -> bytes:
        """Return the bytes that tell it from other maps; see `sha1`."""
        own = struct.pack("<i?", self.log2_side, self.nest)
        return b"HealpixSkyMap" + self.layout.identity() + own

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "nside": 2**self.log2_side,
            "order": "nested" if self.nest else "ring",
        }


def _healpix() -> ModuleType:
    """Return the library of HEALPix, which not everyone installs."""
    try:
        return importlib.import_module("astropy_healpix")
    except ImportError:
        raise ImportError(
            "HealpixSkyMap needs astropy-healpix; install jaxcoadd[sky]"
        ) from None
