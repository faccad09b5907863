"""Tracts, their patches and cells, and the grids of images on them."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from jaxcoadd.sky.boxes import Box, enclosing_box, nearest_pixel
from jaxcoadd.sky.builders import CellPatches
from jaxcoadd.sky.errors import SkyMapError, check_positions, read_index
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.projections import to_pixels, to_sky
from jaxcoadd.sky.sphere import points_around

_BEARINGS = np.arange(0, 360, 15)
_INSET = 0.001


@dataclasses.dataclass(frozen=True)
class PatchGrid:
    """Where the pixels of an image of a patch lie; fields as those of `io.Grid`.

    Parameters
    ----------
    shape
        Rows and columns.
    wcs
        World coordinates of the pixels of the array.
    origin
        Column and row that the first pixel has in the tract.
    """

    shape: tuple[int, int]
    wcs: WCS
    origin: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Tract:
    """A part of the sky on one image plane; its first pixel is (0, 0).

    Parameters
    ----------
    number
        Its number in the sky map.
    center
        RA and Dec of its centre, in degrees.
    layout
        What it shares with the other tracts.
    size
        Patches along x and along y.
    reference
        The reference pixel (x, y), which counts from 0.
    tangent
        RA and Dec of the reference pixel.
    region
        The vertices (RA, Dec) it was made to cover; none if it was made by a radius.
    """

    number: int
    center: tuple[float, float]
    layout: TractLayout
    size: tuple[int, int]
    reference: tuple[int, int]
    tangent: tuple[float, float]
    region: tuple[tuple[float, float], ...] = ()

    @property
    def box(self) -> Box:
        """All of its pixels."""
        width, height = self.layout.patches.inner_size
        columns, rows = self.size
        return Box(0, 0, columns * width - 1, rows * height - 1)

    # Made once and when it is asked for: a map has thousands of tracts.
    @functools.cached_property
    def wcs(self) -> WCS:
        """The WCS of its pixels; do not change it."""
        return self.layout.wcs(*self.tangent, self.reference)

    @property
    def corners(self) -> np.ndarray:
        """RA and Dec of the corners of its box, from the first pixel's."""
        return to_sky(self.wcs, self.box.corners())

    @property
    def vertices(self) -> np.ndarray:
        """RA and Dec of the vertices of what it covers.

        Of a tract that was made by a radius, these are the corners of its box, moved
        inwards by a thousandth of a pixel.
        """
        if self.region:
            return np.array(self.region)
        return to_sky(self.wcs, self.box.corners(inset=_INSET))

    def contains(self, ra: float, dec: float) -> bool:
        """Tell whether a position, in degrees, is on one of its pixels."""
        return self.box.contains(*self.find_pixels(ra, dec).tolist())

    def find_pixels(self, ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
        """Return the pixels (x, y) of positions, on the last axis.

        Parameters
        ----------
        ra, dec
            In degrees; of any shape.

        Returns
        -------
        array
            NaN where a position cannot be projected.
        """
        ra, dec = check_positions(ra, dec)
        pixels = to_pixels(self.wcs, np.stack([ra, dec], axis=-1))
        return pixels.reshape(*ra.shape, 2)

    def patch(self, index: Any) -> "Patch":
        """Return a patch.

        Parameters
        ----------
        index
            Its sequential number, its index (x, y), or the text "x,y".

        Raises
        ------
        SkyMapError
            It is none of these, or there is no such patch in the tract.
        """
        return Patch(
            self, *read_index(index, self.size, "patch", f"tract {self.number}")
        )

    def patches(self) -> Iterator["Patch"]:
        """Yield all patches, in the order of their sequential numbers."""
        columns, rows = self.size
        return (Patch(self, x, y) for y in range(rows) for x in range(columns))

    def find_patch(self, ra: float, dec: float) -> "Patch":
        """Return the patch whose inner box holds a position, given in degrees.

        Raises
        ------
        SkyMapError
            The position is outside of the tract, or is none.
        """
        x, y = self.find_pixels(ra, dec).tolist()
        if not self.box.contains(x, y):
            raise SkyMapError(
                f"({ra}, {dec}) is not in tract {self.number}, of which the centre is "
                f"({self.center[0]:.6f}, {self.center[1]:.6f})"
            )
        return self._patch_at(nearest_pixel(x), nearest_pixel(y))

    def find_patches(self, ra: ArrayLike, dec: ArrayLike) -> list["Patch"]:
        """Return the patches that the box around positions reaches.

        Parameters
        ----------
        ra, dec
            Positions in degrees, as the corners of an image. Those that cannot be
            projected are left out.

        Returns
        -------
        list of Patch
            In the order of columns, from bottom to top in each. None if the box is
            outside of the tract.

        Notes
        -----
        As LSST's findPatchList: the box in pixels is grown by the border of a patch.
        """
        pixels = self.find_pixels(ra, dec).reshape(-1, 2)
        pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if not len(pixels):
            return []
        reached = enclosing_box(pixels).grow(self.layout.patches.margin).clip(self.box)
        if reached.is_empty:
            return []
        first = self._patch_at(reached.x_min, reached.y_min)
        last = self._patch_at(reached.x_max, reached.y_max)
        return [
            Patch(self, x, y)
            for x in range(first.x, last.x + 1)
            for y in range(first.y, last.y + 1)
        ]

    def _patch_at(self, x: int, y: int) -> "Patch":
        width, height = self.layout.patches.inner_size
        return Patch(self, x // width, y // height)


@dataclasses.dataclass(frozen=True)
class Patch:
    """A rectangle of a tract; see `Tract.patch`.

    Parameters
    ----------
    tract
        The tract, whose WCS it shares.
    x, y
        Its index.
    """

    tract: Tract
    x: int
    y: int

    @property
    def number(self) -> int:
        """Its sequential number in the tract."""
        return self.tract.size[0] * self.y + self.x

    @property
    def inner(self) -> Box:
        """The pixels that are of no other patch."""
        width, height = self.tract.layout.patches.inner_size
        left, bottom = self.x * width, self.y * height
        return Box(left, bottom, left + width - 1, bottom + height - 1)

    @property
    def outer(self) -> Box:
        """The pixels that its images have, with the border shared with neighbours."""
        return self.tract.layout.patches.outer_box(self.inner, self.tract.box)

    @property
    def corners(self) -> np.ndarray:
        """RA and Dec of the corners of the outer box, from the first pixel's."""
        return to_sky(self.tract.wcs, self.outer.corners())

    @property
    def inner_corners(self) -> np.ndarray:
        """RA and Dec of the corners of the inner box, from the first pixel's."""
        return to_sky(self.tract.wcs, self.inner.corners())

    def grid(self, *, border: int = 0) -> PatchGrid:
        """Return the grid of an image of the outer box.

        Parameters
        ----------
        border
            Pixels more on each side; warps have 256.
        """
        box = self.outer.grow(border)
        origin = (box.x_min, box.y_min)
        x, y = self.tract.reference
        wcs = self.tract.layout.wcs(*self.tract.tangent, (x - box.x_min, y - box.y_min))
        return PatchGrid(box.shape, wcs, origin)

    def cell(self, index: Any) -> "Cell":
        """Return a cell.

        Parameters
        ----------
        index
            Its sequential number, its index (x, y), or the text "x,y".

        Raises
        ------
        SkyMapError
            It is none of these, there is no such cell, or the sky map has no cells.
        """
        builder = self._cell_builder()
        across = builder.cells_across
        x, y = read_index(index, (across, across), "cell", "a patch")
        return Cell(self, builder, x, y)

    def cells(self) -> Iterator["Cell"]:
        """Yield all cells, in the order of their sequential numbers."""
        builder = self._cell_builder()
        across = range(builder.cells_across)
        return (Cell(self, builder, x, y) for y in across for x in across)

    def _cell_builder(self) -> CellPatches:
        patches = self.tract.layout.patches
        if not isinstance(patches, CellPatches):
            raise SkyMapError("the patches of this sky map have no cells")
        return patches


@dataclasses.dataclass(frozen=True)
class Cell:
    """A small square of a patch; see `Patch.cell`.

    Parameters
    ----------
    patch
        The patch. Its outer cells are also those of its neighbours.
    builder
        How the patch is cut.
    x, y
        Its index.
    """

    patch: Patch
    builder: CellPatches
    x: int
    y: int

    @property
    def number(self) -> int:
        """Its sequential number in the patch."""
        return self.builder.cells_across * self.y + self.x

    @property
    def inner(self) -> Box:
        """The pixels that are of no other cell of the patch."""
        return self.builder.cell_box(self.patch.inner, self.x, self.y)

    @property
    def outer(self) -> Box:
        """The pixels that its images have."""
        return self.inner.grow(self.builder.cell_border)

    @property
    def corners(self) -> np.ndarray:
        """RA and Dec of the corners of the outer box, from the first pixel's."""
        return to_sky(self.patch.tract.wcs, self.outer.corners())


def tract_by_radius(
    number: int, center: tuple[float, float], radius: float, layout: TractLayout
) -> Tract:
    """Return the tract that holds a circle and the overlap around it.

    Parameters
    ----------
    number
        Its number.
    center, radius
        In degrees.
    layout
        What it shares with the other tracts of its map.
    """
    points = points_around(*center, radius + layout.tract_overlap, [0, 90, 180, 270])
    return _tract_around(points, layout, number=number, center=center, tangent=center)


def tract_by_vertices(
    number: int,
    center: tuple[float, float],
    vertices: np.ndarray,
    layout: TractLayout,
    *,
    tangent: tuple[float, float] | None = None,
) -> Tract:
    """Return the tract that holds vertices, and half of the overlap around each.

    Parameters
    ----------
    number
        Its number.
    center
        In degrees.
    vertices
        RA and Dec in degrees, one a row.
    layout
        What it shares with the other tracts of its map.
    tangent
        RA and Dec of the reference pixel, if that is not the centre.
    """
    tangent = center if tangent is None else tangent
    points, half = vertices, layout.tract_overlap / 2
    if half:
        points = np.concatenate(
            [points_around(ra, dec, half, _BEARINGS) for ra, dec in vertices]
        )
    region = tuple((float(ra), float(dec)) for ra, dec in vertices)
    return _tract_around(
        points, layout, number=number, center=center, tangent=tangent, region=region
    )


def _tract_around(points: np.ndarray, layout: TractLayout, **fields) -> Tract:
    """Return the tract that holds points, in whole patches."""
    box = enclosing_box(to_pixels(layout.wcs(*fields["tangent"]), points))
    size, reference = [], []
    firsts = (box.x_min, box.y_min)
    for first, needed, inner in zip(
        firsts, box.size, layout.patches.inner_size, strict=True
    ):
        number = -(-needed // inner)
        size.append(number)
        reference.append((inner * number - needed) // 2 - first)
    return Tract(layout=layout, size=tuple(size), reference=tuple(reference), **fields)
