"""Boxes of pixels: both ends inclusive, integers are pixel centres."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of pixels.

    Parameters
    ----------
    x_min, y_min
        The first pixel.
    x_max, y_max
        The last pixel, which belongs to the box. A box whose last pixel is before its
        first one is empty.

    Examples
    --------
    >>> Box(0, 0, 9, 4).grow(2).clip(Box(0, 0, 99, 99))
    Box(x_min=0, y_min=0, x_max=11, y_max=6)
    """

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.x_max - self.x_min + 1, self.y_max - self.y_min + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as of an array."""
        columns, rows = self.size
        return rows, columns

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return min(self.size) < 1

    def as_tuple(self) -> tuple[int, int, int, int]:
        """Return x and y of the first pixel, x and y of the last."""
        return dataclasses.astuple(self)

    def grow(self, border: int) -> "Box":
        """Return the box with a border on each side."""
        return Box(
            self.x_min - border,
            self.y_min - border,
            self.x_max + border,
            self.y_max + border,
        )

    def clip(self, other: "Box") -> "Box":
        """Return what it has in common with another box, which may be empty."""
        return Box(
            max(self.x_min, other.x_min),
            max(self.y_min, other.y_min),
            min(self.x_max, other.x_max),
            min(self.y_max, other.y_max),
        )

    def contains(self, x: float, y: float) -> bool:
        """Tell whether the pixel nearest to a position is in the box; NaN never is."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return False
        x, y = nearest_pixel(x), nearest_pixel(y)
        return self.x_min <= x <= self.x_max and self.y_min <= y <= self.y_max

    def corners(self, *, inset: float = 0.0) -> np.ndarray:
        """Return the corners (x, y) of its outer pixels, anticlockwise from the first.

        Parameters
        ----------
        inset
            How far inside of the corners, in pixels.
        """
        edge = 0.5 - inset
        left, right = self.x_min - edge, self.x_max + edge
        bottom, top = self.y_min - edge, self.y_max + edge
        return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def nearest_pixel(position: float) -> int:
    """Return the pixel nearest to a position; the later one of two."""
    return math.floor(position + 0.5)


def enclosing_box(points: np.ndarray) -> Box:
    """Return the box of the pixels that points (x, y) reach."""
    low, high = points.min(axis=0), points.max(axis=0)
    x_min, y_min = (math.ceil(value - 0.5) for value in low)
    x_max, y_max = (nearest_pixel(value) for value in high)
    return Box(x_min, y_min, x_max, y_max)
