"""Methods to keep artifacts out of a coadd, and what can be set for each."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxcoadd.artifacts import (
    COMPARE_WARP,
    COMPARE_WARP_V24,
    SAFE_CLIP,
    CompareWarpConfig,
    SafeClipConfig,
)
from jaxcoadd.assembly import values
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.detection import VarianceScaleConfig
from jaxcoadd.statistics import FromScatter, FromVariances


@dataclasses.dataclass(frozen=True)
class Plain:
    """Coadd warps as they are; what is clipped is up to the statistic."""


@dataclasses.dataclass(frozen=True)
class CompareWarp:
    """Leave out what few warps show beside a static sky.

    Parameters
    ----------
    config
        How; how the warps are coadded is set as for any coadd.
    streaks
        Whether streaks are looked for as well.
    """

    config: CompareWarpConfig = COMPARE_WARP
    streaks: bool = False


@dataclasses.dataclass(frozen=True)
class SafeClip:
    """Leave out whole footprints of what a clipped mean clips.

    Parameters
    ----------
    config
        How; how the warps are coadded is set as for any coadd.
    """

    config: SafeClipConfig = SAFE_CLIP


Method = Plain | CompareWarp | SafeClip

METHODS: dict[str, Method] = {
    "plain": Plain(),
    "compare-warp": CompareWarp(),
    "safe-clip": SafeClip(),
}
"""The methods by name."""

VERSIONS: dict[str, dict[str, Method]] = {
    "v24": {
        "compare-warp": CompareWarp(COMPARE_WARP_V24),
        "safe-clip": SafeClip(),
    }
}
"""The methods as LSST had them in a version."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compare-warp": {
        "statistic": "Mean",
        "bad_planes": ("NO_DATA", "BAD", "SAT"),
        "remove_planes": ("NOT_DEBLENDED", "EDGE"),
    },
    "safe-clip": {"statistic": "Mean", "sigma_clip": 1.5, "clip_iter": 3},
}
"""What a method changes in the defaults of other settings."""


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
    "streaks": _at(values.truth, "streaks"),
    "streak_growth": _at(values.not_negative, "config.streak_growth"),
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
    """What can be set for a method, by our names and by LSST's."""

    method: str
    fields: Mapping[str, Entry]
    lsst: Mapping[str, str]
    switches: Mapping[str, Entry]


TABLES: dict[str, Table] = {
    "compare_warp": Table(
        "compare-warp", COMPARE_WARP_FIELDS, COMPARE_WARP_LSST, COMPARE_WARP_SWITCHES
    ),
    "safe_clip": Table("safe-clip", SAFE_CLIP_FIELDS, SAFE_CLIP_LSST, {}),
}
"""The tables of settings, each of one method."""


def find_method(name: str, version: str | None = None) -> Method:
    """Return a method by its name, as a version of LSST's has it.

    Parameters
    ----------
    name
        One of `METHODS`.
    version
        One of `VERSIONS`; None: as it is now.

    Raises
    ------
    SettingsError
        There is no such method, or it had no version.
    """
    if name not in METHODS:
        raise SettingsError(f"method is {name!r}; it is one of {', '.join(METHODS)}")
    if version is None:
        return METHODS[name]
    if version not in VERSIONS:
        listed = ", ".join(VERSIONS)
        raise SettingsError(f"version is {version!r}; it is one of {listed}")
    if name not in VERSIONS[version]:
        raise SettingsError(
            f"the method {name} has no versions; leave out version {version}, or name "
            f"a method ({', '.join(VERSIONS[version])})"
        )
    return VERSIONS[version][name]


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
    if type(method) is not type(METHODS[of.method]):
        raise SettingsError(
            f"{table}.{next(iter(entries), '')} is for the method {of.method}; name it "
            f"as --method {of.method}, or leave the setting out"
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
    (name,) = (n for n, one in METHODS.items() if type(one) is type(method))
    found = {"method": name}
    for table, of in TABLES.items():
        if of.method == name:
            for key, entry in of.fields.items():
                found[f"{table}.{key}"] = entry.show(_get(method, entry.places[0]))
    return found
