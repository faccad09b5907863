"""Point-spread functions of an image, one a cell of it."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

CELL_SIZE = 500


@dataclasses.dataclass(frozen=True, eq=False)
class PsfGrid:
    """Kernel images at the centres of cells.

    Parameters
    ----------
    stamps
        One a cell; all NaN where there is no input.
    y, x
        Centres of the rows and of the columns of cells, in pixels of the image.
    has_input
        Whether a cell's centre is covered by any input.
    cell_size
        Rows and columns of a cell; the last ones may have less.
    """

    stamps: Float[np.ndarray, "cell_y cell_x y x"]
    y: Float[np.ndarray, " cell_y"]
    x: Float[np.ndarray, " cell_x"]
    has_input: Bool[np.ndarray, "cell_y cell_x"]
    cell_size: int = CELL_SIZE

    def __post_init__(self):
        """Refuse centres and flags that are not those of the stamps."""
        cells = self.stamps.shape[:2]
        if (len(self.y), len(self.x)) != cells or self.has_input.shape != cells:
            raise ValueError(
                f"a grid of PSFs has {cells} cells and {len(self.y)} by {len(self.x)} "
                f"centres and flags of {self.has_input.shape}; all must agree"
            )


def grid_cell_centres(
    shape: tuple[int, int],
    *,
    origin: tuple[int, int] = (0, 0),
    cell_size: int = CELL_SIZE,
) -> tuple[Float[np.ndarray, " cell_y"], Float[np.ndarray, " cell_x"]]:
    """Return the centres of the cells that cover an image.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].
    cell_size
        Rows and columns of a cell.

    Returns
    -------
    y, x
        Centres of the rows and of the columns of cells. A cell that reaches beyond
        the image ends with it.

    Raises
    ------
    ValueError
        The image has no pixels, or the cells have none.

    Examples
    --------
    >>> grid_cell_centres((1000, 600), cell_size=500)
    (array([249.5, 749.5]), array([249.5, 549.5]))
    """
    if min(*shape, cell_size) < 1:
        raise ValueError(
            f"an image of shape {tuple(shape)} cannot be cut into cells of "
            f"{cell_size} pixels; all must be at least 1"
        )
    starts = [np.arange(0, n, cell_size) for n in shape]
    y, x = (
        first + (start + np.minimum(start + cell_size, n) - 1) / 2
        for start, n, first in zip(starts, shape, origin[::-1], strict=True)
    )
    return y, x
