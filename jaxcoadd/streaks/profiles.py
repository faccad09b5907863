"""Fit the profile of a streak: straight, of one width, and equally bright all along.

The profile across the streak is that of Moffat with the exponent 2.5. The brightness
is linear and solved for; position, angle and width are found by Newton's method.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcoadd.streaks.line_search import minimize_along

Pixels = Float[Array | np.ndarray, "bin pixel"]
PerBin = Float[Array, " bin"]
KeptBins = Bool[Array, " bin"]
Scalar = Float[Array, ""]
Shape = Float[Array, "3"]
"""Shift (pixels) and turn (radians) from the first line, and the inverse width."""

_SEARCH_TOLERANCE = 0.05
_OUTLIER_SIGMA = 3.0
# A sum of squares is known to this many units of its last place.
_ROUNDING = 8


class StreakPixels(eqx.Module):
    """The pixels near a line, a row for every bin along it.

    Parameters
    ----------
    across
        Distance from the line, in pixels, with a sign.
    along
        Distance along the line from the foot of the perpendicular.
    image
        The image there.
    weight
        One over its variance; 0 for pixels that do not count, and for those that
        fill up a row.
    rho
        Distance of the line from the centre of the image.
    """

    across: Pixels
    along: Pixels
    image: Pixels
    weight: Pixels
    rho: Float[Array | np.ndarray, ""]


class ProfileFit(eqx.Module):
    """What a fit found.

    Parameters
    ----------
    shape
        Shift and turn from the first line, in pixels and radians, and inverse width.
    amplitude
        Brightness of the middle of the streak, in the unit of the image.
    kept
        Bins that were not rejected.
    converged
        Whether the fit ended, rather than gave up.
    """

    shape: Shape
    amplitude: Scalar
    kept: KeptBins
    converged: Bool[Array, ""]


class _Progress(NamedTuple):
    shape: Shape
    kept: KeptBins
    chi2: Scalar
    iterations: Int[Array, ""]
    ended: Bool[Array, ""]
    failed: Bool[Array, ""]


def moffat_profile(distance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the profile of a streak, 1 in the middle.

    Parameters
    ----------
    distance
        Distance from the middle, in widths.

    Notes
    -----
    ``(1 + distance**2) ** -2.5``. Smooth.

    Examples
    --------
    >>> moffat_profile(jnp.array([0.0, 3.0**0.5]))
    Array([1.     , 0.03125], dtype=float32)
    """
    root = jax.lax.rsqrt(1 + distance * distance)
    square = root * root
    return square * square * root


def fit_profile(
    pixels: StreakPixels,
    kept: KeptBins,
    inverse_width: Scalar,
    *,
    chi2_tolerance: float = 0.1,
    max_iterations: int = 100,
    max_rho: float = float("inf"),
) -> ProfileFit:
    """Fit position, angle, width and brightness of a streak.

    Parameters
    ----------
    pixels
        The pixels near the line that the fit begins with.
    kept
        Bins that take part from the first.
    inverse_width
        One over the width that the fit begins with.
    chi2_tolerance
        The fit ends where χ² changes by no more, nor by more than rounding explains,
        and no bin is rejected any more.
    max_iterations, max_rho
        The fit fails after more iterations, and where the line is farther from the
        centre of the image.

    Returns
    -------
    ProfileFit
        ``converged`` is false where the fit failed, also because the Hessian cannot
        be inverted, or because χ² falls without end.

    Notes
    -----
    Newton's method, with a line search along each step. After each step bins whose
    reduced χ² is above the mean of all bins by 3 standard deviations are rejected for
    good. Works under ``jit`` and ``vmap``; has no derivatives.
    """
    shape = jnp.stack([jnp.zeros_like(inverse_width)] * 2 + [inverse_width])
    start = _Progress(
        shape,
        kept,
        _total_chi2(shape, pixels, kept),
        jnp.zeros((), int),
        jnp.asarray(False),
        ~jnp.any(kept),
    )

    def improve(progress: _Progress) -> _Progress:
        shape, reachable = _newton_step(progress.shape, pixels, progress.kept)
        outliers = _outliers(shape, pixels, progress.kept)
        kept = progress.kept & ~outliers
        chi2 = _total_chi2(shape, pixels, kept)
        rounding = _ROUNDING * float(jnp.finfo(chi2.dtype).eps) * chi2
        settled = jnp.abs(progress.chi2 - chi2) <= chi2_tolerance + rounding
        iterations = progress.iterations + 1
        far = jnp.abs(pixels.rho + shape[0]) > max_rho
        return _Progress(
            shape,
            kept,
            chi2,
            iterations,
            settled & ~jnp.any(outliers),
            ~reachable | far | (iterations > max_iterations),
        )

    end = jax.lax.while_loop(lambda p: ~(p.ended | p.failed), improve, start)
    _, amplitude = _bin_chi2(end.shape, pixels, end.kept)
    return ProfileFit(end.shape, amplitude, end.kept, end.ended & ~end.failed)


def _distances(shape: Shape, pixels: StreakPixels) -> Float[Array, "bin pixel"]:
    """Return the distances from the line after shift and turn.

    Written with the offsets from the first line, which are small numbers: of
    x cos θ + y sin θ - ρ little is left in 32 bits.
    """
    shift, turn = shape[0], shape[1]
    offset = shift + 2 * pixels.rho * jnp.sin(turn / 2) ** 2
    return jnp.cos(turn) * pixels.across + jnp.sin(turn) * pixels.along - offset


def _bin_chi2(
    shape: Shape, pixels: StreakPixels, kept: KeptBins
) -> tuple[PerBin, Scalar]:
    """Return χ² of every bin, and the amplitude that fits the kept ones best."""
    profile = moffat_profile(_distances(shape, pixels) * shape[2])
    weighted = pixels.weight * profile
    # Bins first: two short sums lose less than one long one.
    above = jnp.sum(jnp.where(kept, jnp.sum(weighted * pixels.image, axis=1), 0))
    below = jnp.sum(jnp.where(kept, jnp.sum(weighted * profile, axis=1), 0))
    amplitude = above / jnp.where(below > 0, below, 1)
    residual = pixels.image - amplitude * profile
    return jnp.sum(pixels.weight * residual * residual, axis=1), amplitude


def _total_chi2(shape: Shape, pixels: StreakPixels, kept: KeptBins) -> Scalar:
    return jnp.sum(jnp.where(kept, _bin_chi2(shape, pixels, kept)[0], 0))


def _newton_step(
    shape: Shape, pixels: StreakPixels, kept: KeptBins
) -> tuple[Shape, Bool[Array, ""]]:
    """Go to the minimum along Newton's direction; say whether there is one."""
    gradient, hessian = _slopes(shape, pixels, kept)
    # Angles and positions differ a thousandfold: bring the diagonal to 1.
    diagonal = jnp.abs(jnp.diagonal(hessian))
    scale = jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = hessian * scale[:, None] * scale[None, :]
    step = -scale * jnp.linalg.solve(scaled, scale * gradient)
    solved = jnp.all(jnp.isfinite(step))
    step = jnp.where(solved, step, 0)
    length, _, found = minimize_along(
        lambda length: _total_chi2(shape + length * step, pixels, kept),
        shape.dtype,
        tolerance=_SEARCH_TOLERANCE,
    )
    return shape + length * step, solved & found


def _slopes(
    shape: Shape, pixels: StreakPixels, kept: KeptBins
) -> tuple[Shape, Float[Array, "3 3"]]:
    """Return gradient and Hessian of χ² where the amplitude follows.

    By hand, which is five times as fast as `jax.hessian`. The amplitude is a fourth
    parameter, which is then eliminated.
    """
    turn, inverse = shape[1], shape[2]
    distance = _distances(shape, pixels)
    turned = pixels.along * jnp.cos(turn) - pixels.across * jnp.sin(turn)
    turned -= pixels.rho * jnp.sin(turn)
    twice = -(distance + shape[0]) - pixels.rho
    scaled = distance * inverse
    profile = moffat_profile(scaled)
    falling = 1 / (1 + scaled * scaled)
    slope = -5 * scaled * profile * falling
    curvature = (35 * scaled * scaled * falling - 5) * profile * falling

    def add(values):
        return jnp.sum(jnp.where(kept, jnp.sum(values, axis=1), 0))

    _, amplitude = _bin_chi2(shape, pixels, kept)
    residual = pixels.weight * (pixels.image - amplitude * profile)
    first = -2 * amplitude * residual * slope
    square = 2 * amplitude**2 * pixels.weight * slope**2
    square -= 2 * amplitude * residual * curvature
    mixed = 2 * (amplitude * pixels.weight * profile - residual) * slope
    steps = (-inverse, inverse * turned, distance)
    gradient = jnp.stack([add(first * step) for step in steps])
    hessian = {
        (i, j): add(square * steps[i] * steps[j]) for i in range(3) for j in range(i, 3)
    }
    hessian[1, 1] += inverse * add(first * twice)
    hessian[0, 2] -= add(first)
    hessian[1, 2] += add(first * turned)
    rows = [[hessian[min(i, j), max(i, j)] for j in range(3)] for i in range(3)]
    cross = jnp.stack([add(mixed * step) for step in steps])
    own = 2 * add(pixels.weight * profile**2)
    coupling = cross[:, None] * cross[None, :] / jnp.where(own > 0, own, 1)
    return gradient, jnp.stack([jnp.stack(row) for row in rows]) - coupling


def _outliers(shape: Shape, pixels: StreakPixels, kept: KeptBins) -> KeptBins:
    """Return the kept bins that the model fits much worse than the others."""
    chi2, _ = _bin_chi2(shape, pixels, kept)
    count = jnp.sum((pixels.weight > 0).astype(chi2.dtype), axis=1)
    used = kept & (count > 0)
    reduced = jnp.where(used, chi2 / jnp.where(count > 0, count, 1), 0)
    number = jnp.maximum(jnp.sum(used.astype(chi2.dtype)), 1)
    mean = jnp.sum(reduced) / number
    spread = jnp.sum(jnp.where(used, (reduced - mean) ** 2, 0)) / number
    return used & (reduced > mean + _OUTLIER_SIGMA * jnp.sqrt(spread))
