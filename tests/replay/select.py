"""Replay ``select_*``: detectors by overlap and PSF, and visits by seeing."""

import json

import numpy as np
import pytest
from astropy.wcs import WCS

from jaxcoadd import sky
from tests.replay.skymap import assert_same_places

PSF_FIELDS = {
    "maxPsfFwhm": "max_fwhm",
    "maxEllipResidual": "max_ellipticity_residual",
    "maxSizeScatter": "max_size_scatter",
    "maxScaledSizeScatter": "max_scaled_size_scatter",
    "maxPsfTraceRadiusDelta": "max_trace_radius_delta",
    "maxPsfApFluxDelta": "max_aperture_flux_delta",
    "maxPsfApCorrSigmaScaledDelta": "max_aperture_correction_delta",
    "minNPsfStarPerBand": "min_stars",
    "maxStarEPerBand": "max_star_ellipticity",
    "maxStarUnNormalizedEPerBand": "max_star_unnormalized_ellipticity",
}
VISIT_FIELDS = {
    "nVisitsMax": "max_visits",
    "nVisitsMin": "min_visits",
    "qMin": "min_quantile",
    "qMax": "max_quantile",
    "maxPsfFwhm": "max_fwhm",
    "minPsfFwhm": "min_fwhm",
    "doConfirmOverlap": "confirm_overlap",
    "minMJD": "min_mjd",
    "maxMJD": "max_mjd",
    "visitSummaryMinValues": "min_values",
}


def with_numbers(value):
    """Return recorded JSON with numbers in place of the texts nan and inf."""
    if isinstance(value, dict):
        return {name: with_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def renamed(config, fields):
    """Return a recorded configuration under our names."""
    return {fields[name]: value for name, value in config.items()}


def corners_of(recorded, box):
    """Return the corners of an image, None without WCS."""
    if recorded is None:
        return None
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(recorded["crpix"]) + 1
    wcs.wcs.crval, wcs.wcs.cd = recorded["crval"], recorded["cd"]
    wcs.wcs.ctype = [f"{axis}-{recorded['projection']}" for axis in ("RA--", "DEC-")]
    return sky.image_corners(wcs, sky.Box(*box))


def check_patch(case):
    """Compare the corners of the patch, and return them."""
    tract = sky.named_sky_map("lsst_cells_v1").tract(case["tract"])
    corners = tract.patch(case["patch"]).corners
    assert_same_places(corners, case["patch_corners"])
    return corners


def check_overlap(case):
    """Compare the images that overlap a patch."""
    patch = check_patch(case)
    images = [corners_of(image["wcs"], image["bbox"]) for image in case["images"]]
    for run in case["runs"]:
        found = sky.select_overlapping(
            images,
            patch,
            detectors=[image["detector"] for image in case["images"]],
            exclude_detectors=run["config"].get("excludeDetectors", ()),
        )
        fragile = set(case["aux_fragile"])
        assert set(found) - fragile == set(run["selected"]) - fragile
        assert found == sorted(found)


def check_psf(case):
    """Compare the detectors that overlap and pass the limits."""
    patch, detectors = check_patch(case), case["detectors"]
    rows = {row["id"]: row for row in case["rows"]}
    images = [corners_of(wcs, case["bbox"]) for wcs in case["wcs"]]
    for run in case["runs"]:
        config = dict(run["config"])
        excluded = config.pop("excludeDetectors", ())
        cuts = sky.PsfCuts(**renamed(config, PSF_FIELDS))
        valid = [sky.failed_psf_cut(rows.get(d), cuts) is None for d in detectors]
        assert valid == run["valid"], config
        found = sky.select_overlapping(
            images, patch, detectors=detectors, exclude_detectors=excluded
        )
        assert [number for number in found if valid[number]] == run["selected"]
    for config, _ in case["config_errors"]:
        with pytest.raises(ValueError, match="no entry 'fallback'"):
            sky.PsfCuts(**renamed(config, PSF_FIELDS))


def make_visit(case):
    """Return a recorded visit."""
    rows = case["detectors"]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    corners = (columns.pop("raCorners"), columns.pop("decCorners"))
    return sky.VisitSummary(
        case["visit"],
        case["mjd"],
        columns.pop("psfSigma"),
        columns.pop("pixelScale"),
        columns.pop("has_wcs").astype(bool),
        np.stack(corners, axis=-1),
        columns,
    )


def check_visits(case, name, kind, select):
    """Compare the visits that one way of selecting them takes."""
    patch = check_patch(case)
    visits = [make_visit(visit) for visit in case["visits"]]
    unordered = any(np.isnan(sky.visit_fwhm(visit)) for visit in visits)
    for run in case[name]:
        config = renamed(run["config"], VISIT_FIELDS)
        if run.get("error") == "FieldValidationError":
            with pytest.raises(ValueError, match="a quantile of visits is from 0"):
                kind(**config)
            continue
        found, expected = select(visits, patch, kind(**config)), run["selected"] or []
        # The original sorts NaN in no order.
        if unordered:
            found, expected = sorted(found), sorted(expected)
        assert found == expected, config


def replay(path, precision):
    """Assert that what is selected comes out; nothing depends on the precision."""
    case = with_numbers(json.loads(path.read_text()))
    if "cases" in case:
        for one in case["cases"]:
            check_overlap(one)
    elif "rows" in case:
        check_psf(case)
    else:
        check_visits(case, "best_seeing", sky.BestSeeing, sky.select_best_seeing)
        check_visits(case, "quantile", sky.SeeingQuantile, sky.select_seeing_quantile)
