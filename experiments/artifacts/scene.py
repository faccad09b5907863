"""Simulated warps of one field with artifacts, and the truth about every pixel."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

import jaxcoadd as jc

CLASSES = (
    "cosmic rays, short",
    "cosmic rays, long",
    "trails",
    "ghosts",
    "moving objects",
    "cloud",
    "jump",
    "variable stars",
)
"""All but the last are artifacts; variable stars are to be kept."""
LEVELS = (0.1, 1.0, 2.0, 5.0)
"""A pixel is in a truth mask where the artifact has so many standard deviations."""

SIZE = 1000
PADDED = 1024
"""Rendered with a margin, which periodic convolution spoils."""
MARGIN = (PADDED - SIZE) // 2
SEEING, SEEING_SCATTER = 1.7, 0.2
"""Width of the core of the PSF, pixels, and its relative scatter between warps."""
MATCHED = 3.27
"""The width all are matched to: 7.7 pixels between half maxima, as LSST does."""
WING = 0.1
"""The part of the flux in a Gaussian of twice the width."""
SKY = 900.0
"""Variance of the sky, in square counts."""
SATURATION = 60_000.0
JITTER = 0.03
"""Registration error of each warp, pixels."""
MATCHING_ERROR = 0.005
"""Relative error of the width that a warp is matched with."""
GAP_GROWTH = 10
"""Matched warps have no data that near to a gap, pixels."""


class Sources(NamedTuple):
    """Sums of Gaussians: places, fluxes, and widths before seeing."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    sigma_x: np.ndarray
    sigma_y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Field:
    """What is the same in all warps."""

    stars: Sources
    galaxies: Sources
    variable: np.ndarray


class Epoch(NamedTuple):
    """What one warp has, as numbers that JAX renders."""

    seeing: np.ndarray
    sky: np.ndarray
    transmission: np.ndarray
    shift: np.ndarray
    matching: np.ndarray
    jump: np.ndarray
    brightness: np.ndarray
    short: Sources
    long: Sources
    moving: Sources
    trails: np.ndarray
    ghosts: np.ndarray
    clouds: np.ndarray
    gaps: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scene:
    """Warps of one field with their truth.

    ``truth`` holds, a level of `LEVELS`, the classes of each pixel as bits, (level,
    warp, y, x); ``clean`` are the warps with clouds and jumps, but without other
    artifacts and without noise, and ``unspoilt`` those with the noise alone. ``psfs``
    are stamps whose width is off as that of matching kernels is.
    """

    field: Field
    stack: jc.WarpStack
    matched: list[jc.Warp]
    sigmas: np.ndarray
    truth: np.ndarray
    clean: np.ndarray
    unspoilt: np.ndarray
    sky: np.ndarray
    psfs: np.ndarray

    @property
    def matched_sigma(self):
        """Determinant radius of the PSF of matched warps."""
        return radius(MATCHED)


def psf_stamp(core, half=20):
    """Return the PSF whose core has some width, a stamp of sum 1."""
    edge = np.arange(-half, half + 2) - 0.5

    def profile(width):
        along = np.diff(special.ndtr(edge / width))
        return np.outer(along, along)

    stamp = (1 - WING) * profile(core) + WING * profile(2 * core)
    return (stamp / stamp.sum()).astype(np.float32)


def radius(core):
    """Return the determinant radius of the PSF, whose core has some width."""
    return core * np.sqrt(1 + 3 * WING)


def make_field(rng):
    """Draw stars up to saturation, a tenth of them variable, and galaxies."""
    n, m = 500, 250
    stars = _points(rng, 10 ** rng.uniform(2.8, 6.4, n))
    variable = rng.random(n) < 0.1
    flux, size = 10 ** rng.uniform(3, 5, m), 10 ** rng.uniform(0.1, 0.75, m)
    ratio = np.exp(rng.normal(0, 0.25, m))
    place = rng.uniform(0, PADDED, (2, m))
    # An exponential disc is near to three Gaussians.
    parts = [
        Sources(*place, share * flux, width * size * ratio, width * size / ratio)
        for share, width in ((0.15, 0.35), (0.5, 0.9), (0.35, 1.7))
    ]
    galaxies = Sources(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    return Field(stars, galaxies, variable)


def _points(rng, flux, width=0.0):
    place = rng.uniform(0, PADDED, (2, len(flux)))
    size = np.full(len(flux), width)
    return Sources(*place, flux, size, size)


def make_epoch(rng, number, n, field, tracks):
    """Draw one warp: the first is cloudy, and the second jumped."""
    cloudy, jumped = number == 0, number == 1
    seeing = SEEING * (1 + SEEING_SCATTER * np.clip(rng.normal(), -1.9, 1.9))
    transmission = 10 ** (-0.4 * abs(rng.normal(0, 0.1)))
    sky = SKY * np.exp(rng.normal(0, 0.2))
    brightness = np.where(field.variable, rng.normal(1, 0.3, len(field.variable)), 1)
    return Epoch(
        seeing=seeing,
        sky=sky,
        transmission=transmission * (0.63 if cloudy else 1),
        shift=rng.normal(0, JITTER, 2),
        matching=rng.normal(0, MATCHING_ERROR),
        jump=np.array([1.5, -1.0]) * jumped,
        brightness=np.maximum(brightness, 0.05),
        short=_short_rays(rng),
        long=_long_rays(rng),
        moving=_moving(tracks, number / n),
        trails=_trails(rng, seeing, np.sqrt(sky)),
        ghosts=_ghosts(rng, np.sqrt(sky)),
        clouds=_clouds(rng, cloudy),
        gaps=_gaps(rng),
    )


def _short_rays(rng, n=120, length=4):
    """One to four pixels each, with peaks of 3 to 300 standard deviations."""
    peak = np.sqrt(SKY) * 10 ** rng.uniform(0.5, 2.5, n)
    start = rng.uniform(0, PADDED, (2, n, 1))
    angle = rng.uniform(0, 2 * np.pi, (n, 1))
    step = np.arange(length)
    lit = step < rng.integers(1, length + 1, (n, 1))
    flux = np.where(lit, peak[:, None] * rng.uniform(0.5, 1, (n, length)), 0)
    x, y = start[0] + step * np.cos(angle), start[1] + step * np.sin(angle)
    return _narrow(np.rint(x), np.rint(y), flux, 0.25)


def _long_rays(rng, n=12, length=160):
    """Tracks of 15 to 80 pixels, half a pixel a step."""
    level = np.sqrt(SKY) * 10 ** rng.uniform(0.6, 2, n)
    start = rng.uniform(0, PADDED, (2, n, 1))
    angle = rng.uniform(0, 2 * np.pi, (n, 1))
    step = 0.5 * np.arange(length)
    lit = step < rng.uniform(15, 80, (n, 1))
    flux = np.where(lit, 0.5 * level[:, None], 0)
    return _narrow(
        start[0] + step * np.cos(angle), start[1] + step * np.sin(angle), flux, 0.45
    )


def _narrow(x, y, flux, width):
    size = np.full(flux.size, width)
    return Sources(x.ravel(), y.ravel(), flux.ravel(), size, size)


def make_tracks(rng, n=10):
    """Draw moving objects: places, ways over all epochs, fluxes."""
    return {
        "start": rng.uniform(0, PADDED, (2, n)),
        "way": rng.uniform(100, 900, n) * _unit(rng.uniform(0, 2 * np.pi, n)),
        "flux": 10 ** rng.uniform(3.3, 5, n),
    }


def _unit(angle):
    return np.stack([np.cos(angle), np.sin(angle)])


def _moving(tracks, time):
    x, y = (tracks["start"] + time * tracks["way"]) % PADDED
    return Sources(x, y, tracks["flux"], 0 * x, 0 * x)


def _trails(rng, seeing, noise, most=3):
    """Return rows of normal, distance, width and peak: half of the warps have some."""
    number = rng.choice([0, 0, 1, 2, most])
    rows = np.zeros((most, 5))
    for row in rows:
        angle = rng.uniform(0, np.pi)
        peak = noise * 10 ** rng.uniform(0.0, 1.3)
        width = np.hypot(seeing, rng.uniform(0, 2.5))
        row[:] = *_unit(angle), rng.uniform(-0.35, 0.35) * PADDED, width, peak
    rows[number:, -1] = 0
    return rows


def _ghosts(rng, noise, most=2):
    """Return rows of place, radius and level: half of the warps have some."""
    number = rng.choice([0, 0, 1, most])
    rows = np.stack(
        [
            *rng.uniform(0, PADDED, (2, most)),
            rng.uniform(25, 70, most),
            noise * 10 ** rng.uniform(-0.3, 0.5, most),
        ],
        axis=1,
    )
    rows[number:, -1] = 0
    return rows


def _clouds(rng, cloudy, waves=6):
    """Return rows of wave numbers, phase and strength."""
    number = rng.uniform(-3, 3, (2, waves)) * 2 * np.pi / PADDED
    phase = rng.uniform(0, 2 * np.pi, waves)
    return np.stack([*number, phase, np.full(waves, 0.04 * cloudy)], axis=1)


def _gaps(rng):
    """Return where a vertical and a horizontal gap begin and end."""
    start = rng.uniform(-0.2, 1.2, 2) * PADDED
    return np.stack([start, start + rng.uniform(8, 30, 2)], axis=1)


def paint(sources, seeing, shift=(0.0, 0.0)):
    """Render Gaussians, integrated over pixels, as a product of matrices."""

    def profile(centre, width):
        edge = jnp.arange(PADDED + 1) - 0.5
        z = (edge[None] - centre[:, None]) / (jnp.sqrt(2.0) * width[:, None])
        return 0.5 * jnp.diff(jax.lax.erf(z), axis=1)

    width_x = jnp.sqrt(sources.sigma_x**2 + seeing**2)
    width_y = jnp.sqrt(sources.sigma_y**2 + seeing**2)
    columns = profile(sources.x + shift[0], width_x)
    rows = profile(sources.y + shift[1], width_y)
    return (sources.flux[:, None] * rows).T @ columns


def paint_seen(sources, seeing, shift=(0.0, 0.0)):
    """Render what has gone through the atmosphere: a core and a wing."""
    core = paint(sources, seeing, shift)
    return (1 - WING) * core + WING * paint(sources, 2 * seeing, shift)


def paint_trails(trails):
    """Render straight lines with a Gaussian profile."""
    y, x = jnp.mgrid[:PADDED, :PADDED] - PADDED / 2

    def one(row):
        across = row[0] * x + row[1] * y - row[2]
        return row[4] * jnp.exp(-0.5 * (across / row[3]) ** 2)

    return sum(one(row) for row in trails)


def paint_ghosts(ghosts):
    """Render discs with a hole and soft rims, as a pupil out of focus."""
    y, x = jnp.mgrid[:PADDED, :PADDED]

    def one(row):
        away = jnp.hypot(x - row[0], y - row[1])
        disc = jax.nn.sigmoid((row[2] - away) / 3)
        return row[3] * disc * jax.nn.sigmoid((away - 0.3 * row[2]) / 3)

    return sum(one(row) for row in ghosts)


def cloud_transmission(clouds):
    """Return what the cloud lets through, over what its zero point says."""
    y, x = jnp.mgrid[:PADDED, :PADDED]
    depth = sum(c[3] * jnp.sin(c[0] * x + c[1] * y + c[2]) for c in clouds)
    return jnp.exp(depth)


def matching_kernel(seeing, error):
    """Return the kernel that matches a PSF to the common one, in Fourier space."""
    fy, fx = jnp.fft.fftfreq(PADDED), jnp.fft.rfftfreq(PADDED)
    k2 = 2 * jnp.pi**2 * (fy[:, None] ** 2 + fx[None] ** 2)

    def transfer(width):
        core = jnp.exp(-k2 * width**2)
        return (1 - WING) * core + WING * jnp.exp(-4 * k2 * width**2)

    return transfer(MATCHED) / transfer(seeing * (1 + error))


def convolve(image, transfer):
    """Convolve in Fourier space."""
    return jnp.fft.irfft2(jnp.fft.rfft2(image) * transfer, image.shape)


@partial(jax.jit, static_argnames="margin")
def render(field, epoch, key, margin):
    """Render one warp, in electrons, and cut a margin off.

    Returns the direct warp, the matched one, the truth, the clean image, and the clean
    image with noise.
    """
    stars = field[0]
    steady = paint_seen(stars, epoch.seeing, epoch.shift)
    still = steady + paint_seen(field[1], epoch.seeing, epoch.shift)
    changed = stars._replace(flux=stars.flux * (epoch.brightness - 1))
    variables = paint_seen(changed, epoch.seeing, epoch.shift)
    clean = epoch.transmission * (still + variables)
    moved = paint_seen(
        stars._replace(flux=stars.flux * epoch.brightness),
        epoch.seeing,
        epoch.shift + epoch.jump,
    ) + paint_seen(field[1], epoch.seeing, epoch.shift + epoch.jump)
    jumped = epoch.transmission * moved
    dimmed = jumped * cloud_transmission(epoch.clouds)
    parts = (
        paint(epoch.short, 0.0),
        paint(epoch.long, 0.0),
        paint_trails(epoch.trails),
        paint_ghosts(epoch.ghosts),
        epoch.transmission * paint_seen(epoch.moving, epoch.seeing),
        dimmed - jumped,
        jumped - clean,
        epoch.transmission * variables,
    )
    noise = jnp.sqrt(epoch.sky + jnp.maximum(clean, 0))
    level = jnp.stack([jnp.abs(part) for part in parts]) / noise
    bits = (1 << jnp.arange(len(parts))).astype(jnp.uint8)[:, None, None]
    truth = jnp.stack(
        [jnp.where(level > limit, bits, 0).sum(0, dtype=jnp.uint8) for limit in LEVELS]
    )
    image = clean + sum(parts[:-1])
    variance = epoch.sky + jnp.maximum(image, 0)
    drawn = jax.random.normal(key, image.shape)
    observed = image + jnp.sqrt(variance) * drawn
    unspoilt = clean + noise * drawn
    gap, near = _in_gap(epoch.gaps, 0), _in_gap(epoch.gaps, GAP_GROWTH)
    saturated = observed > SATURATION
    observed = jnp.where(gap, 0, jnp.minimum(observed, SATURATION))
    transfer = matching_kernel(epoch.seeing, epoch.matching)
    power = jnp.fft.rfft2(jnp.fft.irfft2(transfer, image.shape) ** 2)
    blur = jax.lax.reduce_window(
        saturated, False, jnp.logical_or, (11, 11), (1, 1), "SAME"
    )
    direct = observed, variance, gap, saturated
    matched = convolve(observed, transfer), convolve(variance, power), near, blur
    # Clouds and jumps do to stars what clipping is not to be blamed for.
    found = direct, matched, truth, dimmed, unspoilt
    inner = slice(margin, PADDED - margin)
    return jax.tree.map(lambda array: array[..., inner, inner], found)


def _in_gap(gaps, growth):
    at = jnp.arange(PADDED)
    x, y = ((at > a - growth) & (at < b + growth) for a, b in gaps)
    return x[None, :] | y[:, None]


def as_warp(image, variance, missing, saturated, zero_point):
    """Make a warp with the planes of what was rendered."""
    planes = jc.LSST_PLANES
    mask = jnp.where(saturated, jnp.uint32(planes.bits(["SAT"])), jnp.uint32(0))
    mask = mask | jnp.where(missing, jnp.uint32(planes.bits(["NO_DATA"])), 0).astype(
        "uint32"
    )
    image = jnp.where(missing, jnp.nan, image)
    variance = jnp.where(missing, jnp.nan, variance)
    return jc.Warp(image, variance, mask, planes=planes, zero_point=zero_point)


def simulate(n, seed=0, margin=MARGIN):
    """Simulate n warps."""
    size = PADDED - 2 * margin
    rng = np.random.default_rng([seed, n])
    field, tracks = make_field(rng), make_tracks(rng)
    direct, matched, sigmas, skies, psfs = [], [], [], [], []
    truth = np.zeros((len(LEVELS), n, size, size), np.uint8)
    clean, unspoilt = np.zeros((2, n, size, size), np.float32)
    sources = jax.tree.map(np.float32, (field.stars, field.galaxies))
    for i in range(n):
        epoch = make_epoch(rng, i, n, field, tracks)
        key = jax.random.fold_in(jax.random.key(seed), i)
        numbers = jax.tree.map(np.float32, epoch)
        one, other, levels, expected, noisy = render(sources, numbers, key, margin)
        zero_point = 27 + 2.5 * np.log10(epoch.transmission)
        direct.append(as_warp(*one, zero_point))
        matched.append(as_warp(*other, zero_point))
        truth[:, i] = levels
        # At the common zero point.
        clean[i] = expected / epoch.transmission
        unspoilt[i] = noisy / epoch.transmission
        sigmas.append(radius(epoch.seeing))
        psfs.append(psf_stamp(epoch.seeing * (1 + epoch.matching)))
        skies.append(epoch.sky / epoch.transmission**2)
    return Scene(
        field=field,
        stack=jc.stack_warps(direct),
        matched=matched,
        sigmas=np.array(sigmas),
        truth=truth,
        clean=clean,
        unspoilt=unspoilt,
        sky=np.array(skies),
        psfs=np.stack(psfs),
    )
