"""Images on other grids, recorded from another pipeline.

The original rounds every product and sum to 32 bits. The reference does, too; what is
compared with it are units in the last place. JAX computes in 64 bits, or in 32 bits in
another order: that agrees to a part of the largest pixel of the image, and of the
variance itself.
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS, Sip

from jaxcoadd import reference, sky
from jaxcoadd.resampling import Bilinear, Lanczos, Nearest, as_positions, resample
from tests.replay.ulps import assert_close, assert_within_ulps

# Of the largest pixel, and of the variance. In 64 bits what is left is the rounding
# of the original; in 32 bits both round.
ALLOWED = {64: (3e-7, 6e-7), 32: (1e-6, 2e-6)}
# The recorded inverse of a distortion is off by up to 3e-6 pixels.
ALLOWED_DISTORTED = (5e-6, 5e-6)

AXES = ("RA---", "DEC--")


def kernel_of(name):
    """Return the kernel that goes by a name."""
    if name.startswith("lanczos"):
        return Lanczos(int(name.removeprefix("lanczos")))
    return {"bilinear": Bilinear(), "nearest": Nearest(), "": None}[name]


def replay(path: Path, precision: int) -> None:
    """Compare image, variance, mask and number of pixels of one recorded case."""
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    coordinates = coordinates_of(params)
    distorted = "sipA" in params["map"].get("src", {})
    shift = np.abs(coordinates[::-1, 1:, 1:] - _recorded(case, params))
    if params["interpLength"] == 0:
        assert shift.max() < (1e-5 if distorted else 1e-8)
    options = {"grow_full_mask": params["growFullMask"]}
    sizes = ALLOWED_DISTORTED if distorted else ALLOWED[precision]
    found = jax.jit(_resample, static_argnames=("names", "options"))(
        *(jnp.asarray(case[n], f"float{precision}") for n in ("image", "variance")),
        jnp.asarray(case["mask"].astype(np.uint32)),
        cached(as_positions(coordinates), coordinates, params["cacheSize"]),
        names=(params["kernel"], params["maskKernel"]),
        options=tuple(options.items()),
    )
    peak = np.nanmax(np.abs(case["image"]), where=np.isfinite(case["image"]), initial=0)
    assert found.image.dtype == found.variance.dtype == f"float{precision}"
    assert_close(found.image, case["out_image"], allowed=sizes[0] * peak, label="image")
    size = sizes[1] * np.abs(case["out_variance"].astype(float))
    assert_close(found.variance, case["out_variance"], allowed=size, label="variance")
    np.testing.assert_array_equal(np.asarray(found.mask, np.int64), case["out_mask"])
    assert found.n_good == case["out_ngood"]
    if precision == 64 and not distorted:
        # Positions on the sky agree to 1e-9: a weight may be rounded the other way.
        flips = 0 if "affine" in params["map"] else 2.0**-24 * peak
        _replay_reference(case, params, coordinates, flips)


def _resample(image, variance, mask, positions, names, options):
    kernel, mask_kernel = (kernel_of(name) for name in names)
    return resample(
        image,
        variance,
        mask,
        positions,
        kernel,
        mask_kernel=mask_kernel,
        **dict(options),
    )


def _replay_reference(case, params, coordinates, flips):
    found = reference.resample(
        *(case[name] for name in ("image", "variance", "mask")),
        coordinates,
        kernel=params["kernel"],
        mask_kernel=params["maskKernel"] or None,
        grow_full_mask=params["growFullMask"],
        cache_size=params["cacheSize"],
    )
    allowed = 2 * np.spacing(np.abs(case["out_image"])) + flips
    assert_close(found.image, case["out_image"], allowed=allowed, label="reference")
    assert_within_ulps(found.variance, case["out_variance"], ulps=4, label="reference")
    np.testing.assert_array_equal(found.mask, case["out_mask"])
    assert found.inside.sum() == case["out_ngood"]


def cached(positions, coordinates, size):
    """Round fractions as a table of weights of some size does."""
    if not size:
        return positions
    here = coordinates[:, 1:, 1:]
    rounded = (np.floor((here - np.floor(here)) * size) + 0.5) / size
    row, column = (jnp.asarray(f, positions.area.dtype) for f in rounded)
    return dataclasses.replace(positions, row_fraction=row, column_fraction=column)


def _recorded(case, params):
    x0, y0 = params["src_xy0"]
    return np.moveaxis(case["src_pos"], -1, 0) - np.array([x0, y0])[:, None, None]


def coordinates_of(params):
    """Compute the positions of a case, as they are interpolated."""
    options = {
        "spacing": params["interpLength"],
        "source_origin": tuple(params["src_xy0"]),
        "target_origin": tuple(params["dest_xy0"]),
    }
    given, shape = params["map"], tuple(params["dest_shape"])
    if "affine" not in given:
        grids = (wcs_of(given["src"]), wcs_of(given["dest"]))
        return sky.pixel_coordinates(*grids, shape, **options)
    affine = np.array(given["affine"])
    (a, b), (c, d) = np.linalg.inv(affine[:, :2])
    tx, ty = affine[:, 2]
    return sky.mapped_coordinates(
        lambda x, y: (
            a * (x - tx) + b * (y - ty),
            c * (x - tx) + d * (y - ty),
        ),
        shape,
        **options,
    )


def wcs_of(given):
    """Make a WCS of its recorded numbers."""
    wcs = WCS(naxis=2)
    suffix = "-SIP" if "sipA" in given else ""
    wcs.wcs.ctype = [f"{name}{given['projection']}{suffix}" for name in AXES]
    wcs.wcs.crpix = np.array(given["crpix"]) + 1
    wcs.wcs.crval, wcs.wcs.cd = given["crval"], given["cd"]
    if suffix:
        a, b = (_square(given[name]) for name in ("sipA", "sipB"))
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def _square(table):
    table = np.array(table, float)
    size = max(table.shape)
    return np.pad(table, [(0, size - n) for n in table.shape])
