"""Exposures in FITS files: pixels of one detector, its background and its PSF."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxcoadd.exposures import Exposure
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu, check_image, read_hdus
from jaxcoadd.io.mappings import ReaderMapping, find_mapping
from jaxcoadd.io.sections import read_section
from jaxcoadd.io.warp_files import WarpFile, open_warp
from jaxcoadd.io.zero_points import first_card

DETECTOR_CARDS = ("DETECTOR", "CCDNUM", "CCDNAME")
"""Cards that may hold the detector of an exposure; the first that is there counts."""

BACKGROUND_HDUS = ("SKY", "BACKGROUND")
"""Names of the HDU of a background."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExposureFile:
    """An exposure in a file, of which the headers have been read and checked.

    Parameters
    ----------
    pixels
        Image, noise and mask, with WCS and zero point; read as those of a warp.
    detector
        The detector's name or number, if the file says.
    background
        A background that is still in the image, if the file holds one.
    psf
        An image of the point-spread function, if the file holds one.
    sky_subtracted
        Whether the background is subtracted, if the file says by the card SKYSUB.
    """

    pixels: WarpFile
    detector: str | None
    background: Hdu | None
    psf: Hdu | None
    sky_subtracted: bool | None

    @property
    def path(self) -> Path:
        """The file with the image."""
        return self.pixels.path

    def read(self) -> Exposure:
        """Read the pixels into JAX arrays, as they are: the background is still in.

        Raises
        ------
        InputError
            The pixels cannot be decoded, or the file does not say its zero point.
        """
        return Exposure(**self.pixels.read_whole())

    def read_background(self) -> np.ndarray | None:
        """Read the background in the unit of the image, (y, x), if there is one."""
        if self.background is None:
            return None
        return _read_plane(self.background) * np.float32(self.pixels.scale)

    def read_psf(self) -> np.ndarray | None:
        """Read the image of the point-spread function, (y, x), if there is one."""
        return None if self.psf is None else _read_plane(self.psf)


def _read_plane(hdu: Hdu) -> np.ndarray:
    return read_section(hdu, 0, hdu.shape[0]).astype(np.float32)


def open_exposure(
    path: str | Path, mapping: ReaderMapping | str | None = None
) -> ExposureFile:
    """Read and check the headers of an exposure; no pixels.

    Parameters
    ----------
    path
        The file with the image. A background is the HDU SKY or BACKGROUND, unless the
        card SKYSUB says that it is subtracted; a point-spread function the HDU PSF.
    mapping
        Where the planes are, see `open_warp`.

    Raises
    ------
    InputError
        A file is missing, truncated, damaged, or no exposure with a WCS.
    """
    pixels = open_warp(path, mapping)
    if pixels.wcs is None:
        raise InputError(
            f"{path} has no WCS of the sky, so it cannot be placed; add one to it"
        )
    hdus = read_hdus(pixels.path)
    background = next((hdu for hdu in hdus if hdu.name in BACKGROUND_HDUS), None)
    told = first_card((pixels.image_hdu, hdus[0]), "SKYSUB")
    subtracted = told[0] if told and isinstance(told[0], bool) else None
    if background is not None:
        check_image(background)
        if background.shape != pixels.shape:
            raise InputError(
                f"{background} has shape {background.shape} and the image "
                f"{pixels.shape}; they must be equal"
            )
    psf = next((hdu for hdu in hdus if hdu.name == "PSF" and hdu.is_image), None)
    return ExposureFile(
        pixels=pixels,
        detector=_detector(hdus, mapping),
        background=None if subtracted is True else background,
        psf=psf,
        sky_subtracted=subtracted,
    )


def _detector(hdus: Sequence[Hdu], mapping: ReaderMapping | str | None) -> str | None:
    """Return the detector's name or number, if the file says."""
    card = None if mapping is None else find_mapping(mapping).detector
    found = first_card(hdus, *(DETECTOR_CARDS if card is None else (card,)))
    if found is None and card is not None:
        raise InputError(
            f"{hdus[0].path} has no card {card}, which should name its detector; "
            "correct the mapping"
        )
    return None if found is None else str(found[0])
