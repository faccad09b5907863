"""Finish a stacked coadd: flag, and interpolate over what is missing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.coadds import (
    Coadd,
    CoaddConfig,
    fill_holes,
    flag_inexact_psf,
    flag_no_data,
)
from jaxcoadd.interpolation import fallback_value
from jaxcoadd.masks import MaskPlanes

FINISH_ROWS = 256
"""Rows that are interpolated at a time; the rows of an image do not touch."""


@partial(jax.jit, static_argnames=("planes", "interpolate"))
def _finish_rows(rows, fallback, planes, interpolate):
    image, variance, mask = rows
    part = Coadd(
        image=image,
        variance=variance,
        mask=mask,
        n_image=jnp.zeros(mask.shape, jnp.int32),
        weight=jnp.zeros_like(image),
        planes=planes,
        zero_point=0.0,
    )
    flagged = flag_no_data(flag_inexact_psf(part))
    done = fill_holes(flagged, fallback) if interpolate else flagged
    return done.image, done.variance, done.mask


def finish_planes(
    stacked: dict[str, np.ndarray], config: CoaddConfig, planes: MaskPlanes
) -> None:
    """Flag and interpolate planes of a whole coadd, some rows at a time, in place."""
    image, variance, mask = stacked["image"], stacked["variance"], stacked["mask"]
    fallback = jax.jit(fallback_value)(jnp.asarray(image))
    height = len(image)
    rows = min(FINISH_ROWS, height)
    for begin in range(0, height, rows):
        # So every call has one shape: the last rows are done together with some that
        # are done already, of which nothing is taken.
        start = min(begin, height - rows)
        part = slice(start, start + rows)
        fresh = slice(begin - start, rows)
        done = _finish_rows(
            tuple(jnp.asarray(plane[part]) for plane in (image, variance, mask)),
            fallback,
            planes,
            config.interpolate,
        )
        for plane, new in zip((image, variance, mask), done, strict=True):
            plane[begin : start + rows] = np.asarray(new)[fresh]
