"""Which footprints on a difference are artifacts, by the epochs that see them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from jaxcoadd.artifacts.config import CompareWarpConfig
from jaxcoadd.detection import areas, count_pixels, pixels_of
from jaxcoadd.spans import SpanSet

Origin = tuple[int, int]
Counts = Int[np.ndarray, "y x"]


def has_good_pixels(
    footprints: Sequence[SpanSet],
    bad: Bool[np.ndarray, "y x"],
    *,
    ratio: float,
    origin: Origin = (0, 0),
) -> Bool[np.ndarray, " footprint"]:
    """Tell which footprints have more than some part of their pixels good.

    Parameters
    ----------
    footprints
        Candidates.
    bad
        Pixels that are not good, (y, x).
    ratio
        The part; pixels outside of the image are not good.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    good = count_pixels(footprints, ~bad, origin)
    return good / areas(footprints) > ratio


def max_epochs(
    n_epochs: Float[np.ndarray, " footprint"], config: CompareWarpConfig
) -> Int[np.ndarray, " footprint"]:
    """Return how many of a number of epochs may see an artifact at one place.

    Parameters
    ----------
    n_epochs
        How many epochs there are, on average over a footprint.
    config
        The limits.

    Examples
    --------
    >>> max_epochs(np.array([2.0, 3.0, 5.0, 10.0, 34.0]), CompareWarpConfig())
    array([0, 1, 2, 2, 3])
    """
    few = config.max_fraction_low * n_epochs
    many = config.max_epochs + config.max_fraction_high * n_epochs
    return np.minimum(few, many).astype(np.int64)


def is_transient(
    footprints: Sequence[SpanSet],
    epoch_count: Counts,
    n_image: Counts,
    *,
    config: CompareWarpConfig,
    origin: Origin = (0, 0),
) -> Bool[np.ndarray, " footprint"]:
    """Tell which footprints are where few epochs see something.

    Parameters
    ----------
    footprints
        Candidates, on the image.
    epoch_count
        How many epochs have a candidate at each pixel, (y, x).
    n_image
        How many epochs have data there, (y, x).
    config
        How many are few, and on how large a part of a footprint.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    index, owner = pixels_of(footprints, epoch_count.shape, origin)
    n = len(footprints)
    area = areas(footprints)
    n_epochs = np.bincount(owner, n_image.reshape(-1)[index], n)
    on_image = np.bincount(owner, minlength=n)
    limit = max_epochs(n_epochs / np.maximum(on_image, 1), config)
    seen = epoch_count.reshape(-1)[index].astype(np.int64)
    few = (seen > 0) & (seen <= limit[owner])
    return np.bincount(owner[few], minlength=n) / area > config.spatial_threshold


def count_regions(
    regions: Sequence[SpanSet], shape: tuple[int, int], origin: Origin = (0, 0)
) -> UInt16[np.ndarray, "y x"]:
    """Count at each pixel of an image the regions that it is in.

    Parameters
    ----------
    regions
        Regions, which may overlap.
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    x0, y0 = origin
    box = (x0, y0, x0 + shape[1] - 1, y0 + shape[0] - 1)
    # Along each row, a step up where a run begins and one down behind its end.
    steps = np.zeros((shape[0], shape[1] + 1), np.int16)
    for region in regions:
        y, first, last = region.clipped(box).rows.T
        steps[y - y0, first - x0] += 1
        steps[y - y0, last - x0 + 1] -= 1
    return np.cumsum(steps[:, :-1], axis=1, dtype=np.int16).astype(np.uint16)


def number_pixels(
    footprints: Sequence[SpanSet], shape: tuple[int, int], origin: Origin = (0, 0)
) -> Counts:
    """Return an image of the numbers of footprints, from 1; 0 where there is none.

    Parameters
    ----------
    footprints
        Regions that do not overlap.
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    index, owner = pixels_of(footprints, shape, origin)
    numbers = np.zeros(shape[0] * shape[1], np.int64)
    numbers[index] = owner + 1
    return numbers.reshape(shape)


def is_within_one(
    footprints: Sequence[SpanSet], numbers: Counts, *, origin: Origin = (0, 0)
) -> Bool[np.ndarray, " footprint"]:
    """Tell which footprints lie whole within one of others.

    Parameters
    ----------
    footprints
        Candidates.
    numbers
        The numbers of the others, see `number_pixels`.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    index, owner = pixels_of(footprints, numbers.shape, origin)
    number = numbers.reshape(-1)[index]
    n = len(footprints)
    first = np.zeros(n, np.int64)
    # The last to be written stays: any one pixel of the footprint will do.
    first[owner] = number
    same = (number == first[owner]) & (number > 0)
    return np.bincount(owner[same], minlength=n) == areas(footprints)
