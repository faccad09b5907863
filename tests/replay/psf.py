"""Point-spread functions of warps and coadds, recorded from another pipeline."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.wcs import WCS

from jaxcoadd.coadd_psfs import (
    CoaddPsf,
    NoInputsError,
    PsfInput,
    see_from_pixels,
)
from jaxcoadd.inputs import Polygon
from jaxcoadd.inputs.regions import (
    InputRegion,
    NoAveragePositionError,
    affine_maps,
    source_positions,
)
from jaxcoadd.psfs import (
    CachedKernel,
    LargeTransformError,
    PsfSamples,
    StampPsf,
    coadd_psf_at,
    make_stamp_psf,
    psf_kernel_at,
    shift_stamp,
    stack_psfs,
)
from jaxcoadd.resampling import Bilinear, Lanczos, Nearest

# In parts of the largest pixel, by which a stamp changes in a pixel at most. In 64 bits
# as near as two programs come, says the recipe; the source position is a sum of three
# numbers, each rounded, on top (see _allowed). In 32 bits offsets of up to 40 pixels
# and their sums are known to 40 * 3 * 2**-24, and so are the weights along each axis.
ROUNDING = {64: 1e-12, 32: 40 * 3 * 2.0**-24}

# From the WCS: where the recorded derivatives are good to 1e-8, by the recipe.
GOOD_DERIVATIVE = FROM_WCS = 1e-8
# Positions come from degrees, which are rounded by 6e-14: 1e-9 pixels on the sky.
POSITION = 1e-8

KERNELS = {"bilinear": Bilinear, "nearest": Nearest}


def replay(path: Path, precision: int) -> None:
    """Compare kernel images, boxes, images and errors of one recorded case."""
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    kinds = {"plain": _replay_plain, "warped": _replay_warped, "coadd": _replay_coadd}
    kinds[params["kind"]](case, params, precision)


def _replay_plain(case, params, precision):
    psf = _psf(case, 0, params)
    positions = jnp.asarray(case["positions"])
    drawn = jax.jit(jax.vmap(psf_kernel_at, (None, 0)))(psf, positions)
    allowed = _allowed(case, params, precision)
    for n, found in enumerate(drawn):
        box = case["out_kernel_box"][n]
        _check_stamp(found, case["out_kernel"][n], box, allowed)
    _replay_images(case, drawn, allowed)


def _replay_warped(case, params, precision):
    psf = _psf(case, 0, params)
    maps = case["dest_to_src"][:, None]
    used = np.ones(maps.shape[:2], bool)
    _replay_maps(case, params, [psf], np.ones(1), maps, used, precision)


def _replay_coadd(case, params, precision):
    components = params["components"]
    psfs = [_psf(case, k, item) for k, item in enumerate(components)]
    coadd = CoaddPsf(
        _wcs(params["coadd_wcs"]),
        [_input(psf, item, params) for psf, item in zip(psfs, components, strict=True)],
        _kernel(params),
    )
    _replay_geometry(coadd, case)
    if str(case["construct_error"]):
        with pytest.raises(NoAveragePositionError):
            coadd.average_position()
        return
    average = coadd.average_position()
    np.testing.assert_allclose(average, case["out_avg"], rtol=0, atol=POSITION)
    weights = np.array([item["weight"] for item in components])
    maps, used = case["dest_to_src"], case["used"]
    _replay_maps(case, params, psfs, weights, maps, used, precision)
    _replay_from_wcs(coadd, case, params, precision)


def _replay_geometry(coadd, case):
    """Compare who covers what, from where, and the exact derivatives."""
    positions = case["positions"]
    for k, item in enumerate(coadd.inputs):
        found = source_positions(coadd.wcs, item.region.wcs, positions)
        np.testing.assert_allclose(found, case["src_pos"][:, k], rtol=0, atol=POSITION)
        np.testing.assert_array_equal(
            item.region.contains(*found.T), case["used"][:, k]
        )
        maps = affine_maps(coadd.wcs, item.region.wcs, positions)
        error = np.abs(maps - case["dest_to_src"][:, k])[:, :, :2].max(axis=(1, 2))
        # What is left is the recorded error of the recorded derivatives.
        off = np.abs(error - case["aux_jacobian_error"][:, k])
        assert off.max() < 1e-9
        middle = np.array([item.average], float)
        average = source_positions(item.region.wcs, coadd.wcs, middle)[0]
        np.testing.assert_allclose(average, case["comp_avg"][k], rtol=0, atol=POSITION)


def _replay_maps(case, params, psfs, weights, maps, used, precision):
    """Draw the kernel images from the recorded maps, all in the largest size."""
    too_large = ["large transform" in str(error) for error in case["out_error"]]
    for n in np.flatnonzero(too_large):
        with pytest.raises(LargeTransformError):
            _samples(psfs, maps[n], used[n], case["positions"][n], weights)
    if any(too_large):
        return
    samples = [
        _samples(psfs, *row, weights)
        for row in zip(maps, used, case["positions"], strict=True)
    ]
    samples = jax.tree.map(lambda *leaves: np.stack(leaves), *samples)
    halves = np.where(used[..., None], samples.half_size, 0).max(axis=1)
    size = tuple(int(n) for n in 2 * halves.max(axis=0) + 1)
    stamps, has_input = _draw(stack_psfs(psfs), samples, _kernel(params), size=size)
    errors = case["out_error"].astype(str) != ""
    np.testing.assert_array_equal(has_input, ~errors)
    assert np.all(np.isnan(stamps[errors]))
    drawn = [_cut(stamp, 2 * h + 1) for stamp, h in zip(stamps, halves, strict=True)]
    allowed = _allowed(case, params, precision)
    for n in np.flatnonzero(~errors):
        box = case["out_kernel_box"][n]
        _check_stamp(drawn[n], case["out_kernel"][n], box, allowed)
        np.testing.assert_array_equal(case["out_bbox"][n], box)
    _replay_images(case, drawn, allowed)


@functools.partial(jax.jit, static_argnames="size")
def _draw(psfs, samples, kernel, *, size):
    draw = functools.partial(coadd_psf_at, psfs, kernel=kernel, size=size)
    return jax.lax.map(draw, samples)


def _allowed(case, params, precision):
    """Bound the difference by rounding, and by another entry of a table of weights."""
    largest = np.abs(case["positions"]).max()
    allowed = ROUNDING[precision] + 2 * np.spacing(largest)
    if precision == 32 and params.get("cacheSize"):
        return allowed + 1 / params["cacheSize"]
    return allowed


def _samples(psfs, maps, used, position, weights) -> PsfSamples:
    """See all inputs from one position."""
    fields = [
        see_from_pixels(one[None], position[None], np.asarray(psf.half_size))
        for one, psf in zip(maps, psfs, strict=True)
    ]
    gather = {
        name: np.concatenate([field[name] for field in fields]) for name in fields[0]
    }
    return PsfSamples(**gather, weight=weights, used=used)


def _replay_images(case, drawn, allowed):
    """Move the kernel images to where the positions lie between pixels."""
    for m, n in enumerate(case["out_image_at"]):
        if str(case["out_image_error"][m]):
            assert str(case["out_error"][n])
            continue
        position = case["positions"][n]
        fraction = jnp.asarray(position - np.floor(position + 0.5))
        half_size = jnp.array([n // 2 for n in drawn[n].shape])
        moved = _shift(drawn[n], fraction, half_size)
        pixels = np.floor(position + 0.5).astype(int)
        x0, y0, width, height = case["out_image_box"][m]
        assert (x0, y0) == (pixels[0] - width // 2, pixels[1] - height // 2)
        assert moved.shape == (height, width)
        _assert_near(moved, case["out_image"][m][:height, :width], allowed)


_shift = jax.jit(shift_stamp)


def _replay_from_wcs(coadd, case, params, precision):
    """Draw them from the WCS alone, where the recorded derivatives are good."""
    found = coadd.kernels(case["positions"])
    allowed = FROM_WCS + _allowed(case, params, precision)
    errors = np.where(case["used"], case["aux_jacobian_error"], 0).max(axis=1)
    for n, position in enumerate(case["positions"]):
        assert found.has_input[n] == (not str(case["out_error"][n]))
        if not found.has_input[n]:
            assert np.all(np.isnan(found.pixels[n]))
            if n < 3:
                with pytest.raises(NoInputsError):
                    coadd.kernel_at(position)
            continue
        if errors[n] < GOOD_DERIVATIVE:
            _, _, width, height = case["out_kernel_box"][n]
            assert (2 * found.half_sizes[n] + 1).tolist() == [height, width]
            recorded = case["out_kernel"][n][:height, :width]
            _assert_near(_cut(found.pixels[n], (height, width)), recorded, allowed)


def _cut(stamp, size):
    """Leave out the padding."""
    rows, columns = ((full - n) // 2 for full, n in zip(stamp.shape, size, strict=True))
    return stamp[rows : stamp.shape[0] - rows, columns : stamp.shape[1] - columns]


def _check_stamp(found, recorded, box, allowed):
    """Compare a kernel image and its box."""
    x0, y0, width, height = box
    assert (x0, y0) == (-(width // 2), -(height // 2))
    assert found.shape == (height, width)
    _assert_near(found, recorded[:height, :width], allowed)


def _assert_near(found, recorded, allowed):
    """Compare in parts of the largest pixel; what is not finite must not be."""
    if not np.isfinite(recorded).all():
        assert not np.isfinite(recorded).any()
        assert not np.isfinite(found).any()
        return
    np.testing.assert_allclose(
        found, recorded, rtol=0, atol=allowed * np.abs(recorded).max()
    )


def _psf(case, k, item) -> StampPsf:
    return make_stamp_psf(case[f"stamps_{k}"], item["spatial"])


def _input(psf, item, params) -> PsfInput:
    x0, y0, width, height = item["box"]
    polygon = None if item["polygon"] is None else Polygon(item["polygon"])
    box = (x0, y0, x0 + width - 1, y0 + height - 1)
    return PsfInput(
        psf,
        InputRegion(_wcs(item["wcs"]), box, polygon),
        weight=item["weight"],
        n_pixels=item["goodpix"] if params["goodpix"] else 1,
        average=tuple(item["avg"]),
    )


@functools.cache
def _named_kernel(name):
    return KERNELS[name]() if name in KERNELS else Lanczos(int(name[7:]))


def _kernel(params):
    kernel = _named_kernel(params["kernel"])
    size = params["cacheSize"]
    return CachedKernel(kernel, size) if size else kernel


def _wcs(header) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(header["crpix"]) + 1
    wcs.wcs.crval = header["crval"]
    wcs.wcs.cd = header["cd"]
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.set()
    return wcs
