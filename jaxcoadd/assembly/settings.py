"""Settings of a run: from TOML and ``key=value`` pairs, by our names or LSST's."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcoadd import statistics
from jaxcoadd.assembly import method_settings, methods, values
from jaxcoadd.assembly.methods import Method, Plain
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.io import ReaderMapping, mapping_from_table
from jaxcoadd.weights import EqualWeights, VarianceWeights, WarpWeights

LSST_STATISTICS = {
    "MEAN": statistics.Mean,
    "MEANCLIP": statistics.ClippedMean,
    "MEDIAN": statistics.Median,
    "STDEV": statistics.StandardDeviation,
    "STDEVCLIP": statistics.ClippedStandardDeviation,
    "VARIANCE": statistics.Variance,
    "VARIANCECLIP": statistics.ClippedVariance,
    "IQRANGE": statistics.InterquartileRange,
    "MIN": statistics.Minimum,
    "MAX": statistics.Maximum,
    "SUM": statistics.Sum,
    "MEANSQUARE": statistics.MeanSquare,
    "NPOINT": statistics.UsedCount,
    "NMASKED": statistics.MaskedCount,
    "NCLIPPED": statistics.ClippedCount,
}
"""Our statistics by the names of LSST's properties."""

STATISTICS = {kind.__name__: kind for kind in LSST_STATISTICS.values()} | {
    "SoftClippedMean": statistics.SoftClippedMean
}
ERRORS = {
    "variances": statistics.FromVariances,
    "scatter": statistics.FromScatter,
    "mosaic": statistics.Mosaic,
}
WEIGHTINGS = ("warp", "variance", "equal")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to make a coadd from files. The defaults are LSST's.

    Parameters
    ----------
    statistic
        Name of a statistic: ``ClippedMean``, ``Median``, ...
    sigma_clip, clip_iter
        Of clipped statistics, and of the mean variance that makes the weights.
    softness
        Of ``SoftClippedMean``.
    error
        Variance of a mean: from the ``variances`` of the inputs, from their
        ``scatter``, or ``mosaic``.
    weighting
        ``warp``, ``variance`` or ``equal``.
    zero_point
        AB magnitude of one count; None: that of the inputs if they share one, else
        31.4, that is nanojansky.
    bad_planes, remove_planes, mask_thresholds, interpolate
        As in `CoaddConfig`; BAD_VARIANCE is always bad.
    online_mean
        Make a mean by `accumulate`, whose mask follows bad planes only. No other
        statistic is different.
    bright_object_plane
        The plane of the bright objects.
    subregion_rows
        Rows that are read and stacked at a time; fewer where memory is short.
    psf_fwhm
        Width of the point-spread functions that artifacts are told by, in pixels: that
        of the warps that are compared. None: as their files say, else 4.
    reader
        Where the files keep what. What it does not say is found out from each file.
    method
        How artifacts are kept out.
    """

    statistic: str = "ClippedMean"
    sigma_clip: float = 3.0
    clip_iter: int = 2
    softness: float = 0.3
    error: str = "variances"
    weighting: str = "warp"
    zero_point: float | None = None
    bad_planes: tuple[str, ...] = ("NO_DATA", "BAD", "SAT", "EDGE")
    remove_planes: tuple[str, ...] = ("NOT_DEBLENDED",)
    mask_thresholds: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"SAT": 0.1}
    )
    interpolate: bool = True
    online_mean: bool = False
    bright_object_plane: str = "BRIGHT_OBJECT"
    subregion_rows: int | None = None
    psf_fwhm: float | None = None
    reader: ReaderMapping | None = None
    method: Method = Plain()  # noqa: RUF009

    def coadd_config(self) -> CoaddConfig:
        """Return what the pixels need to know of the settings."""
        weightings = {
            "warp": WarpWeights(self.sigma_clip, self.clip_iter),
            "variance": VarianceWeights(),
            "equal": EqualWeights(),
        }
        try:
            return CoaddConfig(
                statistic=self._make_statistic(),
                weighting=weightings[self.weighting],
                bad_planes=(*self.bad_planes, "BAD_VARIANCE"),
                remove_planes=self.remove_planes,
                mask_thresholds=dict(self.mask_thresholds),
                interpolate=self.interpolate,
            )
        except ValueError as error:
            raise SettingsError(str(error)) from error

    def _make_statistic(self) -> statistics.AbstractStatistic:
        kind = STATISTICS[self.statistic]
        offered = {
            "sigma_clip": self.sigma_clip,
            "clip_iter": self.clip_iter,
            "softness": self.softness,
            "error": ERRORS[self.error](),
        }
        wanted = {field.name for field in dataclasses.fields(kind)}
        return kind(**{name: offered[name] for name in wanted})

    def as_text(self) -> dict[str, str]:
        """Return the settings as text, by name."""
        found = {f.name: str(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return found | method_settings.as_text(self.method)


def _statistic(value: Any) -> str:
    if isinstance(value, str) and value.upper() in LSST_STATISTICS:
        return LSST_STATISTICS[value.upper()].__name__
    return values.one_of(tuple(STATISTICS), also=tuple(LSST_STATISTICS))(value)


FIELDS: dict[str, values.Check] = {
    "statistic": _statistic,
    "sigma_clip": values.positive,
    "clip_iter": values.iterations,
    "softness": values.positive,
    "error": values.one_of(tuple(ERRORS)),
    "weighting": values.one_of(WEIGHTINGS),
    "zero_point": values.magnitude,
    "bad_planes": values.plane_names,
    "remove_planes": values.plane_names,
    "mask_thresholds": values.thresholds,
    "interpolate": values.truth,
    "online_mean": values.truth,
    "bright_object_plane": values.plane_name,
    "subregion_rows": values.rows,
    "psf_fwhm": values.positive,
    "reader": values.reader_table,
}
"""What may be set, and how a value is checked."""

LSST_FIELDS = {
    "badMaskPlanes": "bad_planes",
    "sigmaClip": "sigma_clip",
    "clipIter": "clip_iter",
    "subregionSize": "subregion_rows",
    "doInterp": "interpolate",
    "doOnlineForMean": "online_mean",
    "maskPropagationThresholds": "mask_thresholds",
    "removeMaskPlanes": "remove_planes",
    "brightObjectMaskName": "bright_object_plane",
}
"""Our names of LSST's settings."""


def _from_input_variance(value: Any) -> dict[str, Any]:
    return {"error": "variances" if values.truth(value) else "scatter"}


def _scale_zero_point(value: Any) -> dict[str, Any]:
    return {"zero_point": 27.0} if values.truth(value) else {}


def _no_effect(value: Any) -> dict[str, Any]:
    values.truth(value)
    return {}


LSST_SWITCHES: dict[str, values.Check] = {
    "calcErrorFromInputVariance": _from_input_variance,
    "doScaleZeroPoint": _scale_zero_point,
    "doNImage": _no_effect,  # the count is always written
}
"""LSST's settings that are not one of ours, and what they set."""

ELSEWHERE = {
    "doMaskBrightObjects": "name the bright objects with --bright-objects FILE",
    "select": "name the warps to use as arguments",
    "doSelectVisits": "name the warps to use as arguments",
    "doWrite": "to write nothing there is --dry-run",
    "method": "name it as --method NAME",
}
"""LSST's settings that are no settings here, and what to do in place of them."""


def read_settings(
    path: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    method: str = "plain",
    version: str | None = None,
) -> Settings:
    """Read settings from a TOML file, then from ``key=value`` pairs.

    Parameters
    ----------
    path
        A TOML file; its table ``[reader]`` is a mapping of where files keep what.
    overrides
        Pairs, of which a later one counts more. Values are written as in TOML, JSON
        or Python; text may go without quotes, and lists without brackets. A key
        ``table.entry`` sets one entry and leaves the others as they were.
    method
        Name of the method that keeps artifacts out; it has its own defaults.
    version
        That of LSST's whose method it is; None: the present one.

    Raises
    ------
    SettingsError
        The file is not TOML, or a setting does not exist or cannot be.

    Examples
    --------
    >>> read_settings(overrides=["sigmaClip=4", "mask_thresholds.CR=0.5"]).sigma_clip
    4.0
    """
    pairs = [] if path is None else list(values.read_toml(Path(path)).items())
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"-c {text}: expected key=value, as -c sigma_clip=3")
        pairs.append((key.strip(), values.parse(value)))
    start = methods.find_method(method, version)
    return _make_settings(pairs, methods.DEFAULTS[method] | {"method": start})


def _make_settings(
    pairs: Iterable[tuple[str, Any]], defaults: Mapping[str, Any]
) -> Settings:
    chosen = dict(defaults)
    for key, value in pairs:
        chosen |= _translate(key, value, chosen)
    if "reader" in chosen:
        try:
            chosen["reader"] = mapping_from_table(chosen["reader"])
        except ValueError as error:
            raise SettingsError(f"reader: {error}") from error
    return Settings(**chosen)


def _translate(key: str, value: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Turn one setting into fields of `Settings`."""
    table, dot, entry = key.partition(".")
    if table in method_settings.TABLES:
        own = {entry: value} if dot else values.checked(key, value, values.table)
        return {"method": method_settings.set_entries(chosen["method"], table, own)}
    name = LSST_FIELDS.get(table, table)
    if dot and name in ("mask_thresholds", "reader"):
        return {name: _with_entry(name, key, {entry: value}, chosen)}
    if name in FIELDS and not dot:
        return {name: values.checked(key, value, FIELDS[name])}
    if key in LSST_SWITCHES:
        return values.checked(key, value, LSST_SWITCHES[key])
    if key in ELSEWHERE:
        raise SettingsError(f"there is no setting {key!r}; {ELSEWHERE[key]}")
    hint = values.nearest(key, (*FIELDS, *LSST_FIELDS, *LSST_SWITCHES))
    raise SettingsError(
        f"there is no setting {key!r}{hint or '; they are ' + ', '.join(FIELDS)}"
    )


def _with_entry(
    name: str, key: str, entry: dict[str, Any], chosen: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a table with one entry set."""
    before = {} if name == "reader" else Settings().mask_thresholds
    return {**chosen.get(name, before), **values.checked(key, entry, FIELDS[name])}
