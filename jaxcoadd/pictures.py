"""Pictures of coadds, with matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.visualization import (
    AsinhStretch,
    ImageNormalize,
    ManualInterval,
    make_lupton_rgb,
)
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from jaxcoadd.io import open_warp, read_coadd

OVERLAY = {
    "NO_DATA": "#4f4f4f",
    "SENSOR_EDGE": "#4575b4",
    "REJECTED": "#fdae61",
    "CLIPPED": "#d73027",
}
"""Planes of a coadd that are drawn over it, the later ones on top, and colours."""


def _noise(image: np.ndarray) -> tuple[float, float]:
    """Return the median of an image and its scatter, by the quartiles."""
    low, middle, high = np.nanpercentile(image, [25, 50, 75])
    return middle, 0.7413 * (high - low)


def _stretch(image: np.ndarray, brightest: float = 300) -> ImageNormalize:
    middle, scatter = _noise(image)
    limits = ManualInterval(middle - 3 * scatter, middle + brightest * scatter)
    return ImageNormalize(image, interval=limits, stretch=AsinhStretch(0.02))


def _figure(
    width: float, height: float, columns: int = 1
) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _show(axes: Axes, image: np.ndarray, title: str, **options: Any) -> AxesImage:
    # What has no data is neither dark nor bright sky.
    axes.set_facecolor("#31465c")
    shown = axes.imshow(image, origin="lower", interpolation="nearest", **options)
    axes.set(title=title, xlabel="x [pixels]", ylabel="y [pixels]")
    return shown


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path


def draw_colours(coadds: Sequence[Path], folder: Path) -> Path:
    """Draw three coadds, from the shortest wavelength to the longest, as one picture.

    Every band is brought to the same noise (Lupton et al. 2004 for the stretch).
    """
    planes, seen = [], True
    for path in coadds:
        found = read_coadd(path).coadd
        middle, scatter = _noise(found.image)
        planes.append((found.image - middle) / scatter)
        seen = seen & (found.n_image > 0)
    blue, green, red = planes
    picture = make_lupton_rgb(red, green, blue, minimum=-2, stretch=12, Q=8)
    # What is interpolated in one band only would have a colour of its own.
    picture[~seen] = 0
    figure, (axes,) = _figure(6, 6)
    _show(axes, picture, "DECam g, r, z: three coadds")
    return _save(figure, folder / "colours.png")


def draw_against_warp(coadd: Path, warp: Path, folder: Path) -> Path:
    """Draw one warp beside the coadd, on the same scale."""
    found = read_coadd(coadd).coadd
    file = open_warp(warp)
    single = file.read_rows(0, file.shape[0]).image
    norm = _stretch(single, brightest=60)
    figure, axes = _figure(11, 5.5, 2)
    _show(axes[0], single, f"one warp: {warp.stem}", cmap="gray", norm=norm)
    title = f"the coadd: {found.n_image.max()} warps, that one among them"
    _show(axes[1], found.image, title, cmap="gray", norm=norm)
    return _save(figure, folder / "warp_and_coadd.png")


def draw_depth(coadd: Path, folder: Path) -> Path:
    """Draw how many warps each pixel of a coadd has."""
    counts = read_coadd(coadd).coadd.n_image.astype(int)
    levels = np.arange(counts.max() + 2) - 0.5
    figure, (axes,) = _figure(6.5, 5.5)
    shown = _show(
        axes,
        counts,
        "warps in each pixel",
        cmap="viridis",
        norm=BoundaryNorm(levels, 256),
    )
    figure.colorbar(shown, ax=axes, ticks=range(counts.max() + 1))
    return _save(figure, folder / "depth.png")


def draw_mask(coadd: Path, folder: Path) -> Path:
    """Draw a coadd with the planes of its mask over it."""
    found = read_coadd(coadd).coadd
    figure, (axes,) = _figure(6.5, 6.5)
    norm = _stretch(found.image)
    _show(axes, found.image, "mask of the coadd", cmap="gray", norm=norm)
    patches = []
    for name, colour in OVERLAY.items():
        here = (found.mask.astype(np.uint32) >> found.planes.bit(name)) & 1
        if not here.any():
            continue
        layer = np.ma.masked_equal(here, 0)
        axes.imshow(layer, origin="lower", cmap=ListedColormap([colour]), alpha=0.6)
        patches.append(Patch(color=colour, label=name))
    figure.legend(handles=patches, loc="outside lower center", ncols=len(OVERLAY))
    return _save(figure, folder / "mask.png")
