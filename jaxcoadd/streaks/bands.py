"""The pixels near a line. Lines are x cos θ + y sin θ = ρ from the image's centre."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxcoadd.streaks.profiles import StreakPixels

_BIN_LENGTH = 5.0
# Bins with less than this part of the usual detected pixels do not take part.
_LEAST_DETECTED = 0.5
# Rows and their lengths are filled up to a multiple of these, and there are as many
# rows as the longest line needs: images of one size share a compiled program.
_ROW_STEP, _LENGTH_STEP = 32, 128


@dataclasses.dataclass(frozen=True)
class Band:
    """Pixels near a line.

    Parameters
    ----------
    y, x
        Rows and columns of the pixels.
    across, along
        Distance from the line and along it, in pixels, with signs.
    """

    y: Int[np.ndarray, " pixel"]
    x: Int[np.ndarray, " pixel"]
    across: Float[np.ndarray, " pixel"]
    along: Float[np.ndarray, " pixel"]


def band_of_line(
    shape: tuple[int, int], rho: float, theta: float, *, half_width: float
) -> Band:
    """Return all pixels of an image that are nearer to a line than `half_width`.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    rho, theta
        The line, in pixels from the centre of the image (half its size, counted from
        the middle of the first pixel) and in degrees.
    half_width
        Half the width of the band, in pixels.
    """
    cosine, sine = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
    centre_y, centre_x = shape[0] / 2, shape[1] / 2
    # Run by run along the axis that the line crosses at the larger angle.
    if abs(cosine) >= abs(sine):
        y, x = _runs(shape, (centre_y, centre_x), (sine, cosine), rho, half_width)
    else:
        x, y = _runs(shape[::-1], (centre_x, centre_y), (cosine, sine), rho, half_width)
    dy, dx = y - centre_y, x - centre_x
    across = dx * cosine + dy * sine - rho
    near = np.abs(across) < half_width
    along = dy * cosine - dx * sine
    return Band(y[near], x[near], across[near], along[near])


def _runs(shape, centre, normal, rho, half_width):
    """Return outer and inner position of all pixels near a line, and a few more."""
    outer = np.arange(shape[0])
    middle = (rho - (outer - centre[0]) * normal[0]) / normal[1] + centre[1]
    reach = half_width / abs(normal[1])
    first = np.clip(np.floor(middle - reach), 0, shape[1]).astype(np.int64)
    last = np.clip(np.ceil(middle + reach) + 1, 0, shape[1]).astype(np.int64)
    length = np.maximum(last - first, 0)
    starts = np.cumsum(length) - length
    inner = np.arange(length.sum()) - np.repeat(starts - first, length)
    return np.repeat(outer, length), inner


def bins_along(
    band: Band, detected: Bool[np.ndarray, " pixel"]
) -> tuple[Int[np.ndarray, " pixel"], Bool[np.ndarray, " bin"]]:
    """Cut a band into bins of 5 pixels, and say in which of them the streak is.

    Parameters
    ----------
    band
        Pixels near a line, at least one.
    detected
        Which of them are detected.

    Returns
    -------
    tuple
        The bin of every pixel; for every bin whether it has at least half of the
        median part of detected pixels.
    """
    bins = ((band.along - band.along.min()) / _BIN_LENGTH).astype(np.int64)
    count = np.bincount(bins)
    part = np.bincount(bins, detected) / np.maximum(count, 1)
    usual = np.median(part[count > 0])
    return bins, (count > 0) & (part >= _LEAST_DETECTED * usual)


def pixels_of_band(
    band: Band,
    bins: Int[np.ndarray, " pixel"],
    kept: Bool[np.ndarray, " bin"],
    *,
    image: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, " pixel"],
    rho: float,
) -> tuple[StreakPixels, Bool[np.ndarray, " bin"]]:
    """Lay out the pixels of a band for a fit, with a row for every bin.

    Parameters
    ----------
    band, bins, kept
        Pixels, the bin of each, and which bins take part.
    image
        The whole image.
    weight
        Weight of each pixel of the band.
    rho
        Distance of the line from the centre of the image.

    Returns
    -------
    tuple
        The pixels in the precision of the image, and which bins take part. Both are
        filled up to one of few shapes.
    """
    order = np.argsort(bins.astype(np.uint16), kind="stable")
    count = np.bincount(bins)
    row = bins[order]
    column = np.arange(len(row)) - (np.cumsum(count) - count)[row]
    longest = _round_up(int(count.max()), _LENGTH_STEP)
    n_rows = _round_up(int(np.hypot(*image.shape) / _BIN_LENGTH) + 2, _ROW_STEP)

    def lay_out(values):
        table = np.zeros((n_rows, longest), image.dtype)
        table[row, column] = values[order]
        return table

    # What has no weight may be anything, also not a number.
    values = np.where(weight > 0, image[band.y, band.x], 0)
    pixels = StreakPixels(
        across=lay_out(band.across),
        along=lay_out(band.along),
        image=lay_out(values),
        weight=lay_out(weight),
        rho=np.asarray(rho, image.dtype),
    )
    return pixels, np.pad(kept, (0, n_rows - len(kept)))


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
