"""What can be set for each method, by our names and by LSST's."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxcoadd.artifacts import (
    CompareWarpConfig,
    ConstantOffset,
    PlaneOffset,
    SkyOffset,
    SplineOffset,
)
from jaxcoadd.assembly import values
from jaxcoadd.assembly.methods import Method
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.detection import VarianceScaleConfig
from jaxcoadd.statistics import FromScatter, FromVariances


class Entry(NamedTuple):
    """Something that can be set: how it is checked, where it goes, how it is said."""

    check: values.Check
    places: tuple[str, ...]
    show: Callable[[Any], str] = str


def _at(check: values.Check, *places: str) -> Entry:
    return Entry(check, places)


def _is_there(value: Any) -> str:
    return str(value is not None)


def _scale(value: Any) -> VarianceScaleConfig | None:
    return VarianceScaleConfig() if values.truth(value) else None


def _prefilter(value: Any) -> float | None:
    ratio = CompareWarpConfig().prefilter_ratio
    return ratio if values.truth(value) else None


_OFFSETS = {"constant": ConstantOffset, "plane": PlaneOffset, "spline": SplineOffset}


def _sky_offset(value: Any) -> SkyOffset | None:
    """Check how backgrounds may differ: plane, or plane 128 with the size of cells."""
    expected = (
        f"none, {', '.join(_OFFSETS)}, or one of the last two and the pixels a side of "
        'a cell, as "plane 128"'
    )
    name, _, size = str(value).lower().partition(" ")
    if name == "none" and not size:
        return None
    if name not in _OFFSETS or (size and name == "constant"):
        raise ValueError(expected)
    if not size:
        return _OFFSETS[name]()
    if not size.strip().isdecimal() or int(size) < 1:
        raise ValueError(expected)
    return _OFFSETS[name](int(size))


def _show_offset(model: SkyOffset | None) -> str:
    """Return the text that `_sky_offset` reads."""
    (name,) = [n for n, kind in _OFFSETS.items() if type(model) is kind] or ["none"]
    size = getattr(model, "bin_size", None)
    return name if size is None else f"{name} {size}"


def _static_error(value: Any) -> FromVariances | FromScatter:
    return FromVariances() if values.truth(value) else FromScatter()


def _detection(place: str, table: str) -> dict[str, Entry]:
    """Return what can be set of a detection."""
    return {
        f"{table}.threshold": _at(values.positive, f"{place}.threshold"),
        f"{table}.min_pixels": _at(values.whole, f"{place}.min_pixels"),
        f"{table}.n_sigma_to_grow": _at(
            values.not_negative, f"{place}.n_sigma_to_grow"
        ),
    }


COMPARE_WARP_FIELDS: dict[str, Entry] = {
    "max_epochs": _at(values.count, "config.max_epochs"),
    "max_fraction_low": _at(values.fraction, "config.max_fraction_low"),
    "max_fraction_high": _at(values.fraction, "config.max_fraction_high"),
    "spatial_threshold": _at(values.fraction, "config.spatial_threshold"),
    "keep_sources": _at(values.truth, "config.keep_sources"),
    "prefilter_planes": _at(values.plane_names, "config.prefilter_planes"),
    "prefilter_ratio": _at(values.fraction, "config.prefilter_ratio"),
    "scale_variance": Entry(_scale, ("config.variance_scale",), _is_there),
    "background": Entry(_sky_offset, ("config.background",), _show_offset),
    "streaks": _at(values.truth, "streaks"),
    "streak_growth": _at(values.not_negative, "config.streak_growth"),
    "streak_search.saturated_dilation": _at(
        values.not_negative, "streak_search.saturated_dilation"
    ),
    "streak_search.max_streak_width": _at(
        values.not_negative, "streak_search.max_streak_width"
    ),
    "streak_search.abs_minimum_kernel_height": _at(
        values.not_negative, "streak_search.abs_minimum_kernel_height"
    ),
    "streak_search.cluster_minimum_size": _at(
        values.whole, "streak_search.cluster_minimum_size"
    ),
    **_detection("config.detection", "detection"),
    **_detection("config.source_detection", "source_detection"),
    "source_attempts": _at(values.iterations, "config.source_attempts"),
    "source_factor": _at(values.positive, "config.source_factor"),
    "static_sky.sigma_clip": _at(
        values.positive,
        "config.static_sky.statistic.sigma_clip",
        "config.static_sky.weighting.sigma_clip",
    ),
    "static_sky.clip_iter": _at(
        values.iterations,
        "config.static_sky.statistic.clip_iter",
        "config.static_sky.weighting.clip_iter",
    ),
}
"""What can be set in the table ``compare_warp``."""

OUTLIER_FIELDS: dict[str, Entry] = {
    "n_sigma": _at(values.positive, "outliers.n_sigma"),
    "n_sigma_beside": _at(values.positive, "outliers.n_sigma_beside"),
    "flux_share": _at(values.not_negative, "outliers.flux_share"),
    "reach": _at(values.count, "outliers.reach"),
    "floor": _at(values.not_negative, "outliers.floor"),
}
"""What can be set in the table ``outliers``."""

SAFE_CLIP_FIELDS: dict[str, Entry] = {
    "min_overlap": _at(values.fraction, "config.min_overlap"),
    "min_overlap_single": _at(values.fraction, "config.min_overlap_single"),
    "min_overlap_double": _at(values.fraction, "config.min_overlap_double"),
    "max_overlap_double": _at(values.fraction, "config.max_overlap_double"),
    "min_big_overlap": _at(values.count, "config.min_big_overlap"),
    **_detection("config.detection", "detection"),
}
"""What can be set in the table ``safe_clip``."""

_LSST_DETECTION = {
    "thresholdValue": "threshold",
    "minPixels": "min_pixels",
    "nSigmaToGrow": "n_sigma_to_grow",
}


def _lsst_detection(lsst: str, table: str) -> dict[str, str]:
    return {
        f"{lsst}.{theirs}": f"{table}.{ours}"
        for theirs, ours in _LSST_DETECTION.items()
    }


COMPARE_WARP_LSST = {
    "maxNumEpochs": "max_epochs",
    "maxFractionEpochsLow": "max_fraction_low",
    "maxFractionEpochsHigh": "max_fraction_high",
    "spatialThreshold": "spatial_threshold",
    "doPreserveContainedBySource": "keep_sources",
    "prefilterArtifactsMaskPlanes": "prefilter_planes",
    "prefilterArtifactsRatio": "prefilter_ratio",
    "doScaleWarpVariance": "scale_variance",
    "doFilterMorphological": "streaks",
    "growStreakFp": "streak_growth",
    "maskStreaks.saturatedDetectionsDilation": "streak_search.saturated_dilation",
    "maskStreaks.maxStreakWidth": "streak_search.max_streak_width",
    "maskStreaks.absMinimumKernelHeight": "streak_search.abs_minimum_kernel_height",
    "maskStreaks.clusterMinimumSize": "streak_search.cluster_minimum_size",
    **_lsst_detection("detect", "detection"),
    **_lsst_detection("detectTemplate", "source_detection"),
    "maxDetectTemplateIter": "source_attempts",
    "detectTemplateIterMultiplier": "source_factor",
    "assembleStaticSkyModel.sigmaClip": "static_sky.sigma_clip",
    "assembleStaticSkyModel.clipIter": "static_sky.clip_iter",
}
"""Our names of the settings of LSST's CompareWarpAssembleCoaddTask."""

SAFE_CLIP_LSST = {
    "minClipFootOverlap": "min_overlap",
    "minClipFootOverlapSingle": "min_overlap_single",
    "minClipFootOverlapDouble": "min_overlap_double",
    "maxClipFootOverlapDouble": "max_overlap_double",
    "minBigOverlap": "min_big_overlap",
    **_lsst_detection("clipDetection", "detection"),
}
"""Our names of the settings of LSST's SafeClipAssembleCoaddTask."""

COMPARE_WARP_SWITCHES: dict[str, Entry] = {
    "doPrefilterArtifacts": _at(_prefilter, "config.prefilter_ratio"),
    "assembleStaticSkyModel.calcErrorFromInputVariance": _at(
        _static_error, "config.static_sky.statistic.error"
    ),
}
"""LSST's settings that are not one of ours."""


class Table(NamedTuple):
    """What can be set for some methods, by our names and by LSST's."""

    methods: tuple[str, ...]
    fields: Mapping[str, Entry]
    lsst: Mapping[str, str]
    switches: Mapping[str, Entry]


TABLES: dict[str, Table] = {
    "compare_warp": Table(
        ("compare-warp", "compare-and-clip"),
        COMPARE_WARP_FIELDS,
        COMPARE_WARP_LSST,
        COMPARE_WARP_SWITCHES,
    ),
    "outliers": Table(("compare-and-clip",), OUTLIER_FIELDS, {}, {}),
    "safe_clip": Table(("safe-clip",), SAFE_CLIP_FIELDS, SAFE_CLIP_LSST, {}),
}
"""The tables of settings, each of one method or two."""


def set_entries(method: Method, table: str, entries: Mapping[str, Any]) -> Method:
    """Return a method with other settings.

    Parameters
    ----------
    method
        The method.
    table
        One of `TABLES`.
    entries
        Values by name, ours or LSST's; a table in them stands for names with a point.

    Raises
    ------
    SettingsError
        The table is that of another method, or a setting does not exist or cannot be.
    """
    of = TABLES[table]
    if method.name not in of.methods:
        raise SettingsError(
            f"{table}.{next(iter(entries), '')} is for the method "
            f"{' or '.join(of.methods)}, and the method is {method.name}; name it as "
            f"--method {of.methods[0]}, or leave the setting out"
        )
    for name, value in _flat(entries):
        key = f"{table}.{name}"
        known = {**of.fields, **of.switches}
        entry = known.get(of.lsst.get(name, name))
        if entry is None:
            hint = values.nearest(name, (*of.fields, *of.lsst, *of.switches))
            listed = f"; they are {', '.join(of.fields)}"
            raise SettingsError(f"there is no setting {key!r}{hint or listed}")
        checked = values.checked(key, value, entry.check)
        for place in entry.places:
            method = _put(method, place, checked)
    return method


def _flat(entries: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Join the names of tables within tables."""
    pairs = []
    for name, value in entries.items():
        inner = _flat(value) if isinstance(value, Mapping) else [("", value)]
        pairs += [(f"{name}.{rest}".rstrip("."), found) for rest, found in inner]
    return pairs


def _put(thing: Any, place: str, value: Any) -> Any:
    """Return a dataclass with one value changed, however deep."""
    name, _, rest = place.partition(".")
    if rest:
        value = _put(getattr(thing, name), rest, value)
    return dataclasses.replace(thing, **{name: value})


def _get(thing: Any, place: str) -> Any:
    for name in place.split("."):
        thing = getattr(thing, name)
    return thing


def as_text(method: Method) -> dict[str, str]:
    """Return the name of a method, and its settings, as text."""
    found = {"method": method.name}
    for table, of in TABLES.items():
        if method.name in of.methods:
            for key, entry in of.fields.items():
                found[f"{table}.{key}"] = entry.show(_get(method, entry.places[0]))
    return found
