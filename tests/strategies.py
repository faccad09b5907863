"""Draw whole stacks of warps, from few shapes so that few programs are compiled."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.warps import WarpStack

WARPS, ROWS, COLUMNS = 6, 4, 5
ZERO_POINTS = (27.0, 29.5, 31.0)

PLANES = MaskPlanes(
    (
        *LSST_PLANES.names,
        *("CLIPPED", "NOT_DEBLENDED", None, "SENSOR_EDGE"),
        *(None,) * 14,
        *("HIGH29", "HIGH30", "HIGH31"),
    )
)
"""LSST's planes, two that coadds set as well, and the three highest bits."""

both_precisions = settings(
    # `precision` sets a switch for the whole test, the same for every example.
    suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def warp_stacks(
    draw,
    *,
    shape=(ROWS, COLUMNS),
    rejected=(0.0, 0.1, 0.6),
    levels=(0.0, 100.0, 1e4),
    zero_points=(ZERO_POINTS, ZERO_POINTS[:1]),
    absent=None,
    weights=True,
    planes=PLANES,
):
    """Draw a stack whose numbers are the same in 32 and in 64 bits.

    Parameters
    ----------
    shape
        Rows and columns.
    rejected
        Parts of the pixels that are masked, or not finite, to choose from.
    levels
        Backgrounds to choose from, in units of the scatter.
    zero_points
        Sets of zero points to choose from; each warp has one of the set.
    absent
        Number of warps that are absent, the last ones; ``None``: any but all.
    weights
        Whether the stack brings weights.
    planes
        Planes of the masks.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    part = draw(st.sampled_from(rejected))
    level = draw(st.sampled_from(levels))
    n = WARPS - (draw(st.integers(0, WARPS - 1)) if absent is None else absent)
    shape = (WARPS, *shape)
    zero_point = rng.choice(draw(st.sampled_from(zero_points)), WARPS)
    unit = 10 ** ((zero_point - ZERO_POINTS[0]) / 2.5)[:, None, None]
    stack = WarpStack(
        image=_as_floats(unit * _draw_image(rng, level, part / 4, shape)),
        variance=_as_floats(unit**2 * rng.gamma(4.0, 0.25, shape)),
        mask=jnp.asarray(_draw_masks(rng, planes, part / 8, shape)),
        planes=planes,
        zero_point=_as_floats(zero_point),
        weight=_as_floats(rng.uniform(0.5, 2.0, WARPS)) if weights else None,
        present=jnp.arange(WARPS) < n,
    )
    return _clear_absent(stack)


def _as_floats(values):
    """Take numbers of 32 bits in the precision that is on."""
    return jnp.asarray(values.astype(np.float32), float)


def _draw_image(rng, level, part, shape):
    image = level + rng.normal(size=shape)
    # Equal values, as those of a constant background, have no scatter at all.
    image[:, 0, 0] = level
    image = np.where(rng.random(shape) < 0.05, image + 50, image)
    odd = rng.choice([np.nan, np.inf, -np.inf], shape)
    return np.where(rng.random(shape) < part, odd, image)


def _draw_masks(rng, planes, part, shape):
    mask = np.zeros(shape, np.uint32)
    for name in planes.used:
        bit = np.uint32(1 << planes.bit(name))
        mask |= np.where(rng.random(shape) < part, bit, np.uint32(0))
    return mask


def _clear_absent(stack):
    """Give absent warps what padding has."""
    here = stack.present[:, None, None]
    return dataclasses.replace(
        stack,
        image=jnp.where(here, stack.image, 0),
        variance=jnp.where(here, stack.variance, 1),
        mask=jnp.where(here, stack.mask, jnp.uint32(0)),
        zero_point=jnp.where(stack.present, stack.zero_point, 0),
        weight=None
        if stack.weight is None
        else jnp.where(stack.present, stack.weight, 0),
    )
