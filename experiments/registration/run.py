"""Register real frames by gradient, without their WCS. See README.md.

python experiments/registration/run.py --data DIR
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from astropy.io import fits
from scipy.optimize import minimize

import jaxcoadd as jc
from jaxcoadd import io, sky

HERE = pathlib.Path(__file__).parent
REFERENCE = "kb13475_0100_I.fits"
SMOOTHING = 2.0
"""Pixels by which both frames are smoothed, so that their seeing matters less."""
BORDER = 40


def smooth(image, width):
    """Convolve with a Gaussian, in Fourier space."""
    y, x = (jnp.fft.fftfreq(n) for n in image.shape)
    power = jnp.exp(-2 * (jnp.pi * width) ** 2 * (y[:, None] ** 2 + x[None] ** 2))
    return jnp.fft.ifft2(jnp.fft.fft2(image) * power).real


def clean(image, bad):
    """Take off the sky, fill what is bad, compress bright stars, smooth."""
    sky_level = np.nanmedian(np.where(bad, np.nan, image))
    noise = 1.4826 * np.nanmedian(np.abs(image - sky_level))
    image = np.where(bad, 0, image - sky_level) / noise
    return smooth(jnp.asarray(np.arcsinh(image / 5), jnp.float32), SMOOTHING)


def coordinates_of(parameters, shape):
    """Return source coordinates: a shift, a turn and a scale about the middle."""
    dy, dx, turn, scale = parameters
    rows, columns = jnp.meshgrid(
        jnp.arange(-1.0, shape[0]), jnp.arange(-1.0, shape[1]), indexing="ij"
    )
    y, x = rows - shape[0] / 2, columns - shape[1] / 2
    c, s = (
        (1 + scale / 1e3) * jnp.cos(turn / 1e3),
        (1 + scale / 1e3) * jnp.sin(turn / 1e3),
    )
    return jnp.stack(
        [s * x + c * y + shape[0] / 2 + dy, c * x - s * y + shape[1] / 2 + dx]
    )


def loss(parameters, image, reference):
    """Return the robust mean difference of the moved frame and the reference."""
    zeros = jnp.zeros(image.shape, jnp.uint32)
    moved = jc.resample(
        image,
        jnp.ones_like(image),
        zeros,
        jc.as_positions(coordinates_of(parameters, image.shape)),
    )
    inner = jnp.zeros(image.shape, bool).at[BORDER:-BORDER, BORDER:-BORDER].set(True)
    good = moved.inside & inner
    found = jnp.where(good, moved.image, 0)
    wanted = jnp.where(good, reference, 0)
    # Seeing and transparency: the best factor, which does not depend on the shift much.
    factor = jnp.sum(found * wanted) / jnp.sum(found**2)
    difference = factor * found - wanted
    return jnp.sum(jnp.where(good, jnp.tanh(difference**2), 0)) / jnp.sum(good)


value_and_slope = jax.jit(jax.value_and_grad(loss))


def first_shift(image, reference):
    """Return the whole shift at the peak of the correlation."""
    product = np.fft.rfft2(image) * np.conj(np.fft.rfft2(reference))
    correlation = np.fft.irfft2(product, s=image.shape)
    peak = np.unravel_index(correlation.argmax(), correlation.shape)
    return [p - n if p > n // 2 else p for p, n in zip(peak, image.shape, strict=True)]


def register(image, reference):
    """Minimise by a quasi-Newton method, with gradients by reverse mode."""
    start = [*map(float, first_shift(np.asarray(image), np.asarray(reference))), 0, 0]

    def evaluate(parameters):
        value, slope = value_and_slope(
            jnp.asarray(parameters, jnp.float32), image, reference
        )
        return float(value), np.asarray(slope, float)

    found = minimize(evaluate, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    return found.x, found.nfev


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    options = parser.parse_args()
    folder = options.data / "saao_kb13475" / "exposures"
    reference_file = io.open_exposure(folder / REFERENCE)
    exposure = reference_file.read()
    reference = clean(np.asarray(exposure.image), np.asarray(exposure.mask) != 0)
    shape = reference.shape
    results = {}
    for path in sorted(folder.glob("*.fits")):
        file = io.open_exposure(path)
        exposure = file.read()
        image = clean(np.asarray(exposure.image), np.asarray(exposure.mask) != 0)
        found, evaluations = register(image, reference)
        mapping = sky.pixel_mapping(file.pixels.wcs, reference_file.pixels.wcs)
        wanted = sky.mapped_coordinates(mapping, shape)
        ours = np.asarray(coordinates_of(jnp.asarray(found, jnp.float32), shape))
        inner = np.s_[:, BORDER:-BORDER, BORDER:-BORDER]
        apart = (ours - wanted)[inner]
        results[path.name] = {
            "rms_from_star_positions": float(np.sqrt((apart**2).sum(axis=0).mean())),
            "mean_from_star_positions": apart.mean(axis=(1, 2)).tolist(),
            "rms_of_star_positions": fits.getval(path, "REGRMS", "SCI"),
            "seeing": file.pixels.seeing,
            "evaluations": evaluations,
        }
        print(path.name, json.dumps(results[path.name]), flush=True)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
