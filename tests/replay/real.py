"""Replay ``real_*``: coadds of the real warps, by the function and the command."""

import json
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcoadd as jc
from jaxcoadd import cli, io
from jaxcoadd.demo import sample_folder
from tests.replay.ulps import assert_close, assert_within_ulps, report_first

WARPS = {
    "decam": "decam_ls_1867p255/warps",
    "saao": "saao_kb13475/warps",
}


def find_warps(path, params, data):
    """Return the warps of a case, from the package or the folder that is given."""
    place = WARPS[path.name.split("_")[1]]
    for folder in (sample_folder(), data):
        if folder is not None:
            found = [Path(folder) / place / name for name in params["warps"]]
            if all(file.exists() for file in found):
                return found
    pytest.skip(f"{path.name} needs all warps of {place}: name their folder by --data")


def replay(path, precision, data=None):
    """Assert that the coadd of a case comes out, by both ways to it."""
    with np.load(path) as case:
        case = dict(case)
    params = json.loads(str(case["params"]))
    warps = find_warps(path, params, data)
    with jax.enable_x64(precision == 64):
        check_planes(by_function(warps, params, precision), case, params, precision)
        found, weights = by_command(warps, params)
    check_planes(found, case, params, precision)
    # Weights are rounded to 32 bits; in 32 bits the sums behind them are, too.
    np.testing.assert_allclose(
        weights, case["weights"], rtol=2**-24 if precision == 64 else 1e-6
    )


def by_function(warps, params, precision):
    """Coadd with `jaxcoadd.coadd`."""
    dtype = jnp.float64 if precision == 64 else jnp.float32
    read = [io.read_warp(file) for file in warps]
    wide = [
        jc.Warp(
            warp.image.astype(dtype),
            warp.variance.astype(dtype),
            warp.mask,
            planes=warp.planes,
            zero_point=warp.zero_point,
        )
        for warp in read
    ]
    config = jc.CoaddConfig(
        bad_planes=tuple(params["bad_planes"]),
        mask_thresholds=params["mask_propagation_thresholds"],
    )
    return jax.jit(jc.coadd)(jc.stack_warps(wide), config)


def by_command(warps, params):
    """Coadd with ``jaxcoadd assemble``."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "coadd.fits"
        code = cli.main(
            [
                "assemble",
                *map(str, warps),
                f"--output={output}",
                "-q",
                "-c",
                f"badMaskPlanes={params['bad_planes']}",
            ]
        )
        assert code == 0
        found = io.read_coadd(output)
    return found.coadd, np.asarray(found.inputs["weight"])


def check_planes(found, case, params, precision):
    """Compare the planes of a coadd, the bits of its mask by their names."""
    n_image = np.asarray(found.n_image)
    report_first(n_image != case["n_image"], n_image, case["n_image"], "n_image")
    alike = same_masks(found, case, params, precision)
    holes = (case["final_mask"] & params["mask_planes"]["INTRP"]) != 0
    for name in ("image", "variance"):
        got, recorded = np.asarray(getattr(found, name)), case[f"final_{name}"]
        # What is interpolated is a sum of other pixels of its row, which may cancel.
        of_row = 4 * np.spacing(row_maximum(recorded))
        if precision == 64:
            assert_within_ulps(got, recorded, ulps=2, where=~holes, label=name)
            assert_close(got, recorded, allowed=of_row, where=holes, label=name)
        else:
            allowed = allowed_in_32_bits(case, name)
            # Weights of an interpolation add up to at most 4.
            allowed = np.where(holes, of_row + 4 * row_maximum(allowed), allowed)
            check_nearly_all(got, recorded, allowed, alike)


def allowed_in_32_bits(case, name):
    """Allow 1e-5 of the scatter and 2e-6 of the value; of a variance, 1e-5."""
    size = np.abs(np.nan_to_num(case[f"final_{name}"], posinf=0))
    if name == "variance":
        return 1e-5 * size
    variance = case["final_variance"]
    return 1e-5 * np.sqrt(np.where(np.isfinite(variance), variance, 0)) + 2e-6 * size


def check_nearly_all(found, recorded, allowed, where):
    """Compare all pixels but one in a hundred thousand.

    The pixels of these files are rounded, so that some lie at a limit of the clip as
    exactly as 32 bits can tell, and fall on the other side.
    """
    with np.errstate(invalid="ignore"):
        near = np.abs(found.astype(float) - recorded) <= allowed
    same = near | (found == recorded) | (np.isnan(found) & np.isnan(recorded))
    assert np.mean(where & ~same) <= 1e-5


def row_maximum(plane):
    """Return the largest size in each row, for values made of others in the row."""
    finite = np.where(np.isfinite(plane), np.abs(plane), 0)
    return np.broadcast_to(finite.max(axis=1, keepdims=True), plane.shape)


def same_masks(found, case, params, precision):
    """Compare masks by plane; tell where they agree.

    In 64 bits they agree everywhere. In 32 bits a value may lie so near to the limit
    of the clip that it falls on the other side: one pixel of a hundred thousand.
    """
    agree = np.ones(case["final_mask"].shape, bool)
    for name, value in params["mask_planes"].items():
        recorded = (case["final_mask"] & value) != 0
        got = np.zeros(agree.shape, bool)
        if name in found.planes:
            bit = found.planes.bit(name)
            got = ((np.asarray(found.mask).astype(np.uint32) >> bit) & 1) != 0
        if precision == 64:
            report_first(got != recorded, got, recorded, name)
        agree &= got == recorded
    assert np.mean(~agree) <= 1e-5
    return agree
