"""What all tracts of a sky map have in common."""

import dataclasses
import math
import struct

from astropy.wcs import WCS

from jaxcoadd.sky.builders import AbstractPatches, LegacyPatches
from jaxcoadd.sky.errors import SkyMapError
from jaxcoadd.sky.projections import make_wcs

_PATCHES = LegacyPatches()


@dataclasses.dataclass(frozen=True)
class TractLayout:
    """What all tracts of a sky map have in common.

    Parameters
    ----------
    projection
        The three letters that FITS has for it. LSST: projection.
    pixel_scale
        Arcsec per pixel. LSST: pixelScale.
    tract_overlap
        By how much neighbours overlap, in degrees. LSST: tractOverlap.
    rotation
        In degrees. LSST: rotation.
    patches
        How a tract is cut. LSST: tractBuilder.

    Raises
    ------
    SkyMapError
        A projection that has not three letters, a scale that is not above 0, or a
        negative overlap.
    """

    projection: str = "STG"
    pixel_scale: float = 0.333
    tract_overlap: float = 1.0
    rotation: float = 0.0
    patches: AbstractPatches = _PATCHES

    def __post_init__(self):
        """Refuse what is no projection."""
        if len(self.projection.encode()) != 3:
            raise SkyMapError(f"{self.projection!r} is no projection as 'TAN'")
        if not 0 < self.pixel_scale < math.inf:
            raise SkyMapError(
                f"the pixel scale must be above 0, not {self.pixel_scale}"
            )
        if not 0 <= self.tract_overlap < 180:
            raise SkyMapError(
                f"an overlap is from 0 to 180 degrees, not {self.tract_overlap}"
            )

    def wcs(self, ra: float, dec: float, reference: tuple[int, int] = (0, 0)) -> WCS:
        """Return the WCS with a reference pixel at a sky position."""
        return make_wcs(
            ra,
            dec,
            projection=self.projection,
            pixel_scale=self.pixel_scale,
            rotation=self.rotation,
            reference=reference,
        )

    def identity(self) -> bytes:
        """Return the bytes that stand for it in the identity of a sky map."""
        return self.patches.identity() + struct.pack(
            "<dd3sd",
            self.tract_overlap,
            self.pixel_scale,
            self.projection.encode(),
            self.rotation,
        )
