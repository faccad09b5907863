"""Writing warps, in the layout that `open_warp` reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from jaxcoadd.io.grids import Grid
from jaxcoadd.io.image_hdus import PlacedPlanes, as_float32, stored_mask, write_images
from jaxcoadd.warps import Warp


def write_warp(
    path: str | Path,
    warp: Warp,
    grid: Grid,
    *,
    cards: Mapping[str, Any] | None = None,
    images: Mapping[str, np.ndarray] | None = None,
    others: Sequence[fits.BinTableHDU | fits.ImageHDU] = (),
    compress: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a warp to a FITS file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    warp
        The pixels.
    grid
        Where they lie.
    cards
        Cards for the primary header, as VISIT and FILTER.
    images
        More images of its shape, by name, that come after its own.
    others
        More HDUs, that come last.
    compress
        Whether the images are compressed, without loss, which takes most of the time.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written, or does not read back as it should; what was
        there before is untouched.
    ValueError
        The warp and the grid differ in shape, or a card is not possible in FITS.
    """
    if warp.shape != grid.shape:
        raise ValueError(
            f"the warp has shape {warp.shape} and the grid {grid.shape}; they must be "
            "equal"
        )
    pixels = {
        "IMAGE": np.asarray(warp.image).astype(np.float32, copy=False),
        "MASK": stored_mask(warp.mask),
        "VARIANCE": np.asarray(warp.variance).astype(np.float32, copy=False),
        **as_float32(images or {}),
    }
    write_images(
        path,
        # The shortest decimal: 31.4 and not what it is in 32 bits.
        PlacedPlanes(warp.planes, float(str(np.asarray(warp.zero_point))), grid),
        pixels,
        cards=cards or {},
        others=others,
        compress=compress,
        overwrite=overwrite,
    )
