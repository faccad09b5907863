"""How a tract is cut into patches, and a patch into cells."""

import abc
import dataclasses
import struct

from jaxcoadd.sky.boxes import Box
from jaxcoadd.sky.errors import SkyMapError


class AbstractPatches(abc.ABC):
    """How a tract is cut into patches."""

    @property
    @abc.abstractmethod
    def inner_size(self) -> tuple[int, int]:
        """Columns and rows of the inner box of a patch."""

    @property
    @abc.abstractmethod
    def margin(self) -> int:
        """By how many pixels the outer box of a patch reaches beyond the inner one."""

    @abc.abstractmethod
    def outer_box(self, inner: Box, tract: Box) -> Box:
        """Return the outer box of a patch, given its inner box and its tract's box."""

    @abc.abstractmethod
    def identity(self) -> bytes:
        """Return the bytes that stand for it in the identity of a sky map."""


@dataclasses.dataclass(frozen=True)
class LegacyPatches(AbstractPatches):
    """Patches of any size; those at the edge of the tract are cut to it.

    Parameters
    ----------
    width, height
        Columns and rows of the inner box. LSST: patchInnerDimensions.
    border
        By how many pixels the outer box is larger on each side. LSST: patchBorder.

    Raises
    ------
    SkyMapError
        A size below 1, or a negative border.
    """

    width: int = 4000
    height: int = 4000
    border: int = 100

    def __post_init__(self):
        """Refuse what cuts nothing."""
        if min(self.width, self.height) < 1 or self.border < 0:
            raise SkyMapError(f"no patches can be of {self}; sizes are 1 or more")

    @property
    def inner_size(self) -> tuple[int, int]:
        """Columns and rows of the inner box of a patch."""
        return self.width, self.height

    @property
    def margin(self) -> int:
        """By how many pixels the outer box of a patch reaches beyond the inner one."""
        return self.border

    def outer_box(self, inner: Box, tract: Box) -> Box:
        """Return the inner box with its border, cut to the tract."""
        return inner.grow(self.border).clip(tract)

    def identity(self) -> bytes:
        """Return the bytes that stand for it in the identity of a sky map."""
        return struct.pack("<iii", self.width, self.height, self.border)


@dataclasses.dataclass(frozen=True)
class CellPatches(AbstractPatches):
    """Square patches made of square cells; those at the edge reach out of the tract.

    Parameters
    ----------
    cell_size
        Columns, and rows, of the inner box of a cell. LSST: cellInnerDimensions.
    cell_border
        By how many pixels a cell's outer box is larger on each side. LSST: cellBorder.
    inner_cells
        Cells along the inner box of a patch. LSST: numCellsPerPatchInner.
    border_cells
        Rings of cells around it. LSST: numCellsInPatchBorder.

    Raises
    ------
    SkyMapError
        A size or a number below 1, or a negative border.
    """

    cell_size: int = 150
    cell_border: int = 50
    inner_cells: int = 20
    border_cells: int = 1

    def __post_init__(self):
        """Refuse what cuts nothing."""
        if min(self.cell_size, self.inner_cells) < 1 or (
            min(self.cell_border, self.border_cells) < 0
        ):
            raise SkyMapError(f"no patches can be of {self}; sizes are 1 or more")

    @property
    def inner_size(self) -> tuple[int, int]:
        """Columns and rows of the inner box of a patch."""
        size = self.cell_size * self.inner_cells
        return size, size

    @property
    def margin(self) -> int:
        """By how many pixels the outer box of a patch reaches beyond the inner one."""
        return self.border_cells * self.cell_size + self.cell_border

    @property
    def cells_across(self) -> int:
        """Cells along a side of a patch, with those around its inner box."""
        return self.inner_cells + 2 * self.border_cells

    def outer_box(self, inner: Box, tract: Box) -> Box:
        """Return the inner box with its border, wherever the tract ends."""
        return inner.grow(self.margin)

    def cell_box(self, patch: Box, x: int, y: int) -> Box:
        """Return the inner box of a cell, given the inner box of its patch."""
        left = patch.x_min + (x - self.border_cells) * self.cell_size
        bottom = patch.y_min + (y - self.border_cells) * self.cell_size
        last = self.cell_size - 1
        return Box(left, bottom, left + last, bottom + last)

    def identity(self) -> bytes:
        """Return the bytes that stand for it in the identity of a sky map."""
        return struct.pack(
            "<iiiii",
            self.cell_size,
            self.cell_size,
            self.cell_border,
            self.inner_cells,
            self.border_cells,
        )
