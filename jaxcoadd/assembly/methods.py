"""Methods to keep artifacts out of a coadd."""

import dataclasses
from typing import Any, ClassVar

from jaxcoadd.artifacts import (
    COMPARE_WARP,
    COMPARE_WARP_V24,
    OUTLIERS,
    SAFE_CLIP,
    CompareWarpConfig,
    OutlierConfig,
    SafeClipConfig,
)
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.streaks.config import StreakConfig


@dataclasses.dataclass(frozen=True)
class Plain:
    """Coadd warps as they are; what is clipped is up to the statistic."""

    name: ClassVar[str] = "plain"


@dataclasses.dataclass(frozen=True)
class CompareWarp:
    """Leave out what few warps show beside a static sky.

    Parameters
    ----------
    config
        How; how the warps are coadded is set as for any coadd.
    streaks
        Whether streaks are looked for as well.
    streak_search
        How they are.
    outliers
        How far a pixel may be from the median of the warps; None: single pixels are
        not looked at.
    """

    config: CompareWarpConfig = COMPARE_WARP
    streaks: bool = False
    streak_search: StreakConfig = StreakConfig()  # noqa: RUF009
    outliers: OutlierConfig | None = None

    @property
    def name(self) -> str:
        """By which it is asked for."""
        return "compare-warp" if self.outliers is None else "compare-and-clip"


@dataclasses.dataclass(frozen=True)
class SafeClip:
    """Leave out whole footprints of what a clipped mean clips.

    Parameters
    ----------
    config
        How; how the warps are coadded is set as for any coadd.
    """

    name: ClassVar[str] = "safe-clip"
    config: SafeClipConfig = SAFE_CLIP


Method = Plain | CompareWarp | SafeClip

METHODS: dict[str, Method] = {
    method.name: method
    for method in (Plain(), CompareWarp(), CompareWarp(outliers=OUTLIERS), SafeClip())
}
"""The methods by name."""

VERSIONS: dict[str, dict[str, Method]] = {
    "v24": {
        "compare-warp": CompareWarp(COMPARE_WARP_V24),
        "safe-clip": SafeClip(),
    }
}
"""The methods as LSST had them in a version."""

_COMPARED = {
    "statistic": "Mean",
    "bad_planes": ("NO_DATA", "BAD", "SAT"),
    "remove_planes": ("NOT_DEBLENDED", "EDGE"),
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compare-warp": _COMPARED,
    "compare-and-clip": _COMPARED,
    "safe-clip": {"statistic": "Mean", "sigma_clip": 1.5, "clip_iter": 3},
}
"""What a method changes in the defaults of other settings."""


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
