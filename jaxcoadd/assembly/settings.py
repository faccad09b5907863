"""Settings of a run: from a TOML file and ``key=value`` pairs, by our names or LSST's."""

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcoadd import statistics
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


class SettingsError(ValueError):
    """A setting that does not exist or cannot be; one sentence says which."""


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
    bright_object_plane
        The plane of the bright objects.
    subregion_rows
        Rows that are read and stacked at a time; None: as many as memory allows.
    reader
        Where the files keep what; None: found out from each.
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
    bright_object_plane: str = "BRIGHT_OBJECT"
    subregion_rows: int | None = None
    reader: ReaderMapping | str | None = None

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
        return {f.name: str(getattr(self, f.name)) for f in dataclasses.fields(self)}


def _number(value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    return float(value)


def _positive(value):
    if _number(value) <= 0:
        raise ValueError("a number above 0")
    return float(value)


def _whole(value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number above 0")
    return value


def _truth(value):
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _plane_name(value):
    if not isinstance(value, str):
        raise ValueError("the name of a mask plane")
    return value


def _names(value):
    if isinstance(value, str):
        value = [name for name in value.split(",") if name]
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("a list of names")
    return tuple(value)


def _thresholds(value):
    if not isinstance(value, dict):
        raise ValueError("a table of plane names and fractions")
    return {name: _number(limit) for name, limit in value.items()}


def _one_of(names: Sequence[str]) -> Callable[[Any], str]:
    def check(value):
        if value not in names:
            near = difflib.get_close_matches(str(value), names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"one of {', '.join(names)}{hint}")
        return value

    return check


def _statistic(value):
    if value in LSST_STATISTICS:
        return LSST_STATISTICS[value].__name__
    return _one_of(tuple(STATISTICS))(value)


def _rows(value):
    if isinstance(value, list) and len(value) == 2:
        return _whole(value[1])
    return _whole(value)


def _reader(value):
    return value if isinstance(value, str) else mapping_from_table(value)


def _zero_point(value):
    if not 0 < _number(value) < 60:
        raise ValueError("an AB magnitude between 0 and 60")
    return float(value)


FIELDS: dict[str, Callable[[Any], Any]] = {
    "statistic": _statistic,
    "sigma_clip": _positive,
    "clip_iter": _whole,
    "softness": _positive,
    "error": _one_of(tuple(ERRORS)),
    "weighting": _one_of(WEIGHTINGS),
    "zero_point": _zero_point,
    "bad_planes": _names,
    "remove_planes": _names,
    "mask_thresholds": _thresholds,
    "interpolate": _truth,
    "bright_object_plane": _plane_name,
    "subregion_rows": _rows,
    "reader": _reader,
}
"""What may be set, and how a value is checked."""

LSST_FIELDS = {
    "badMaskPlanes": "bad_planes",
    "sigmaClip": "sigma_clip",
    "clipIter": "clip_iter",
    "subregionSize": "subregion_rows",
    "doInterp": "interpolate",
    "maskPropagationThresholds": "mask_thresholds",
    "removeMaskPlanes": "remove_planes",
    "brightObjectMaskName": "bright_object_plane",
}
"""Our names of LSST's settings."""


def _from_input_variance(value):
    return {"error": "variances" if _truth(value) else "scatter"}


def _scale_zero_point(value):
    return {"zero_point": 27.0} if _truth(value) else {}


def _no_effect(value):
    _truth(value)
    return {}


LSST_SWITCHES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "calcErrorFromInputVariance": _from_input_variance,
    "doScaleZeroPoint": _scale_zero_point,
    # The count is always written, and both kinds of mean are the same to rounding.
    "doNImage": _no_effect,
    "doOnlineForMean": _no_effect,
}
"""LSST's settings that are not one of ours, and what they set."""


def read_settings(
    path: str | Path | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """Read settings from a TOML file, then from ``key=value`` pairs.

    Parameters
    ----------
    path
        A TOML file; its table ``[reader]`` is a mapping of where files keep what.
    overrides
        Pairs whose values are written as in TOML; text may go without quotes.

    Raises
    ------
    SettingsError
        The file is not TOML, or a setting does not exist or cannot be.
    """
    given: dict[str, Any] = {}
    if path is not None:
        given |= _read_toml(Path(path))
    for pair in overrides:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"-c {pair}: expected key=value")
        _put(given, key.strip(), _parse_value(text))
    chosen: dict[str, Any] = {}
    for key, value in given.items():
        chosen |= _translate(key, value)
    return Settings(**chosen)


def _read_toml(path):
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _parse_value(text):
    """Read a value as TOML; what is not TOML is text."""
    for candidate in (text, text.replace("'", '"')):
        try:
            return tomllib.loads(f"value = {candidate}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return {"True": True, "False": False}.get(text, text)


def _put(given, key, value):
    """Set a value; ``table.key`` sets one entry of a table."""
    table, dot, entry = key.partition(".")
    if dot:
        given.setdefault(table, {})[entry] = value
    else:
        given[key] = value


def _translate(key, value) -> dict[str, Any]:
    """Turn one setting into fields of `Settings`."""
    known = (*FIELDS, *LSST_FIELDS, *LSST_SWITCHES)
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"there is no setting {key!r}{hint}")
    try:
        if key in LSST_SWITCHES:
            return LSST_SWITCHES[key](value)
        name = LSST_FIELDS.get(key, key)
        return {name: FIELDS[name](value)}
    except ValueError as error:
        raise SettingsError(f"{key} is {value!r}; expected {error}") from error
