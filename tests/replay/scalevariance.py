"""Replay ``scalevariance_*``: the factor of a variance plane, and what it leaves."""

import jax.numpy as jnp
import numpy as np

from jaxcoadd.detection import BackgroundConfig, VarianceScaleConfig, scale_variance
from jaxcoadd.detection.backgrounds import measure_background
from tests.replay.footprints import PLANES, as_bits, load
from tests.replay.ulps import assert_close, assert_within_ulps


def replay(path, precision):
    """Assert that factor, variance and image of a recorded case come out."""
    case, params = load(path)
    wide = precision == 64
    image, variance = (
        jnp.asarray(case[n], f"float{precision}") for n in ("image", "variance")
    )
    mask = jnp.asarray(as_bits(case["mask"]))
    background = BackgroundConfig(
        params["background"]["binSize"],
        tuple(params["background"]["ignoredPixelMask"]),
    )
    config = VarianceScaleConfig(
        tuple(params["maskPlanes"]), params["limit"], background
    )
    found = scale_variance(image, variance, mask, planes=PLANES, config=config)
    # Factors come of pixels and quartiles that are rounded to 32 bits.
    for name in ("pixel_factor", "image_factor", "factor"):
        np.testing.assert_allclose(getattr(found, name), case[name], rtol=1e-6)
    assert np.isnan(found.factor) == bool(params["raises"])
    factor = 1 if params["raises"] else case["factor"]
    recorded = case.get("out_variance", case["variance"] * np.float32(factor))
    allowed = 1e-6 * np.abs(np.nan_to_num(recorded, posinf=0, neginf=0))
    assert_close(found.variance, recorded, allowed=allowed, label="variance")
    check_image(case, found.image)
    if "background" in case:
        model = measure_background(image, mask, planes=PLANES, config=background)
        if wide:
            assert_within_ulps(model, case["background"], ulps=1, label="background")
        else:
            size = np.abs(case["background"]).max()
            assert_close(model, case["background"], allowed=1e-5 * size)


def check_image(case, image):
    """Compare the image, whose pixels were rounded together with the background.

    Each of the two roundings is half a unit of the last place of the larger term.
    """
    recorded = case["image"].copy()
    recorded[tuple(case["out_image_at"].T)] = case["out_image_values"]
    size = np.nanmax(np.abs(recorded[np.isfinite(recorded)]))
    assert_close(image, recorded, allowed=2.0**-22 * size, label="image")
