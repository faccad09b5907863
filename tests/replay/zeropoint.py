"""Photometric scaling recorded from another pipeline: fluxes, images and factors."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from astropy.wcs import WCS

from jaxcoadd import Warp, stack_warps
from jaxcoadd.photometry import ChebyshevField, PhotoCalib
from jaxcoadd.zero_points import (
    interpolate_factors,
    mean_factor,
    scale_planes,
    scale_zero_points,
    zero_point_factors,
)

# Logarithms and powers of two libraries differ by an ulp or two, and few operations
# follow; the same for the polynomials.
FEW_ULP = 8 * np.finfo(np.float64).eps


def replay(path: Path, precision: int) -> None:
    """Compare one recorded case: numbers to a few ulp, pixels bit for bit."""
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    if "calib_kind" in case:
        _replay_conversions(case)
    if "points" in case:
        _replay_points(case)
    if "calibrated_image" in case:
        _replay_calibration(case)
    if "flux_mag0" in case:
        _replay_scaling(case)
        _replay_stack(case)
    if "scale_list" in case:
        _replay_spatial(case)


def _replay_conversions(case: dict) -> None:
    makers = {"mean": PhotoCalib, "zp": PhotoCalib.from_flux_mag0}
    flux, error = case["inst_flux"], case["inst_flux_err"]
    for index, kind in enumerate(case["calib_kind"]):
        calib = makers[str(kind)](*case["calib_args"][index])
        computed = {
            "calib_mean": calib.mean,
            "calib_err": calib.error,
            "inst_flux_at_zero_mag": calib.inst_flux_at_zero_magnitude,
            "njy": calib.nanojansky(flux),
            "njy_with_err": calib.nanojansky(flux),
            "njy_err": calib.nanojansky(error),
            "mag": calib.magnitude(flux),
            "mag_with_err": calib.magnitude(flux),
            "mag_err": calib.magnitude_error(flux, error),
            "mag_to_inst": calib.magnitude_to_inst_flux(case["magnitudes"]),
            "njy_to_inst": calib.nanojansky_to_inst_flux(case["njy_in"]),
        }
        for name, values in computed.items():
            _assert_numbers(values, case[name][index], name)


def _replay_points(case: dict) -> None:
    calib, at = _calib(case), tuple(case["points"].T)
    flux, error = case["inst_flux"], case["inst_flux_err"]
    computed = {
        "local_calibration": calib.calibration(at),
        "njy": calib.nanojansky(flux, at=at),
        "njy_err": calib.nanojansky(error, at=at),
        "mag": calib.magnitude(flux, at=at),
        "mag_err": calib.magnitude_error(flux, error),
        "mag27_to_inst": calib.magnitude_to_inst_flux(27.0, at=at),
        "njy_to_inst": calib.nanojansky_to_inst_flux(1000.0, at=at),
    }
    for name, values in computed.items():
        _assert_numbers(values, case[name], name)


def _replay_calibration(case: dict) -> None:
    calib = _calib(case)
    _assert_numbers(calib.mean, case["calib_mean"], "calib_mean")
    planes, origin = (case["image"], case["variance"]), tuple(case["xy0"].tolist())
    _assert_planes(calib.calibrate_image(*planes, origin=origin), case, "calibrated_{}")
    _assert_planes(
        calib.uncalibrate_image(*planes, origin=origin), case, "uncalibrated_{}"
    )
    if "field_bbox" not in case:
        scaled = scale_planes(*_on_device(planes), float(case["calib_mean"]))
        _assert_planes(scaled, case, "calibrated_{}")


def _replay_scaling(case: dict) -> None:
    planes = (case["image"], case["variance"])
    for row, zero_point in enumerate(case["zero_points"]):
        calibs = [PhotoCalib.from_flux_mag0(flux) for flux in case["flux_mag0"]]
        factors = [1 / calib.magnitude_to_inst_flux(zero_point) for calib in calibs]
        _assert_numbers(factors, case["scale"][row], "scale")
        _assert_numbers(factors, case["scale_from_flux_mag0"][row], "scale")
        target = PhotoCalib.from_zero_point(zero_point).mean
        _assert_numbers(target, case["target_calib_mean"][row], "target_calib_mean")
        expected = case["scaled_image"][row], case["scaled_variance"][row]
        for given in (planes, _on_device(planes)):
            scaled = scale_planes(*given, float(factors[1]))
            np.testing.assert_array_equal(scaled[0], expected[0])
            np.testing.assert_array_equal(scaled[1], expected[1])

    before = 2.5 * np.log10(case["flux_mag0"])
    factors = [zero_point_factors(before, target) for target in case["zero_points"]]
    # Magnitudes up to 32 are rounded by 4e-15, which a factor sees as 3e-15.
    np.testing.assert_allclose(factors, case["scale"], rtol=1e-14)


def _replay_stack(case: dict) -> None:
    zero_point = 2.5 * np.log10(case["flux_mag0"][1])
    stack = stack_warps([Warp(case["image"], case["variance"], zero_point=zero_point)])
    for row, target in enumerate(case["zero_points"]):
        scaled = scale_zero_points(stack, float(target))
        # The zero points are in 32 bits here: 2e-6 magnitudes at most near 30, the
        # same part of the flux, and twice that of the variance.
        np.testing.assert_allclose(scaled.image[0], case["scaled_image"][row], 4e-6)
        np.testing.assert_allclose(
            scaled.variance[0], case["scaled_variance"][row], 8e-6
        )


def _replay_spatial(case: dict) -> None:
    x, y, factors = case["x_list"], case["y_list"], case["scale_list"]
    planes, shape = (case["image"], case["variance"]), case["image"].shape
    mean = mean_factor(x, y, factors, shape=shape)
    np.testing.assert_array_equal(mean.astype(np.float32), case["interp_image"])
    for given in (planes, _on_device(planes)):
        _assert_planes(scale_planes(*given, mean), case, "scaled_{}")
        times = scale_planes(*given, case["scale_image"])
        _assert_planes(times, case, "times_image_{}")
        _assert_planes(scale_planes(*given, np.pi), case, "times_pi_{}")

    for _, error in json.loads(str(case["errors"])):
        assert error == "RuntimeError"
    for table in ((x, y, factors[:-1]), (x[:0], y[:0], factors[:0])):
        for spread in (mean_factor, interpolate_factors):
            with pytest.raises(ValueError, match="of one length"):
                spread(*table, shape=shape)
    _replay_spatial_task(case)


def _replay_spatial_task(case: dict) -> None:
    """The table that another pipeline makes of a database of zero points."""
    entries = json.loads(str(case["flux_mag_info"]))
    header, wcs = json.loads(str(case["wcs"])), WCS(naxis=2)
    wcs.wcs.crpix = np.array(header["crpix"]) + 1
    wcs.wcs.crval, wcs.wcs.cd = header["crval"], header["cd"]
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    points = [wcs.all_world2pix(entry["coords"], 0).mean(axis=0) for entry in entries]
    # Positions in degrees near 150 are good to 3e-14, pixels of 2e-4 degree to 1e-9.
    np.testing.assert_allclose(np.array(points)[:, 0], case["task_x_list"], atol=1e-8)
    np.testing.assert_allclose(np.array(points)[:, 1], case["task_y_list"], atol=1e-8)
    flux_mag0 = np.array([entry["flux_mag0"] for entry in entries])
    factors = zero_point_factors(2.5 * np.log10(flux_mag0), 27.0)
    np.testing.assert_allclose(factors, case["task_scale_list"], rtol=1e-14)
    mean = mean_factor(*np.array(points).T, factors, shape=(1, 1))[0, 0]
    np.testing.assert_allclose(mean, case["task_scale"], rtol=1e-14)


def _calib(case: dict) -> PhotoCalib:
    if "field_bbox" not in case:
        return PhotoCalib(float(case["calib_mean"]))
    box = tuple(case["field_bbox"].tolist())
    return PhotoCalib.from_field(ChebyshevField(case["coefficients"], box))


def _on_device(planes: tuple) -> tuple:
    return tuple(jnp.asarray(plane) for plane in planes)


def _assert_numbers(values, expected, name: str) -> None:
    # A magnitude near 0 is the difference of logarithms near 30.
    atol = 30 * FEW_ULP if name.startswith("mag") and "inst" not in name else 0
    np.testing.assert_allclose(values, expected, FEW_ULP, atol, err_msg=name)


def _assert_planes(planes: tuple, case: dict, pattern: str) -> None:
    for plane, name in zip(planes, ("image", "variance"), strict=True):
        expected = case[pattern.format(name)]
        assert plane.dtype == expected.dtype
        np.testing.assert_array_equal(plane, expected)
