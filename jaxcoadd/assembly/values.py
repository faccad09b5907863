"""Values of settings: how they are written, and what they may be."""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Check = Callable[[Any], Any]
"""Returns a value as it is needed; `ValueError` says what was expected."""

MOST_ITERATIONS = 100
"""Passes of a clip; each is compiled, and after a few nothing changes."""

_PLANE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")


class SettingsError(ValueError):
    """A setting that does not exist or cannot be; one sentence says which."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; `SettingsError` if it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is not TOML ({error}); write lines as sigma_clip = 3.0"
        ) from error


def parse(text: str) -> Any:
    """Read a value as TOML, JSON or Python write it; what is none of these is text.

    Examples
    --------
    >>> parse("['BAD', 'SAT']"), parse("{'SAT': 0.2}"), parse("True"), parse("MEAN")
    (['BAD', 'SAT'], {'SAT': 0.2}, True, 'MEAN')
    """
    text = text.strip()
    for candidate in (text, text.replace("'", '"')):
        for read in (_as_toml, json.loads):
            try:
                return read(candidate)
            except ValueError:
                continue
    return {"True": True, "False": False}.get(text, text)


def _as_toml(text: str) -> Any:
    return tomllib.loads(f"value = {text}")["value"]


def checked(key: str, value: Any, check: Check) -> Any:
    """Return a value that has been checked; `SettingsError` names its key."""
    try:
        return check(value)
    except ValueError as error:
        raise SettingsError(f"{key} is {value!r}; expected {error}") from error


def nearest(name: str, known: Sequence[str]) -> str:
    """Propose the known name that is nearest to one that is not known."""
    by_small = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_small, n=1)
    return f"; did you mean {by_small[near[0]]}?" if near else ""


def number(value: Any) -> float:
    """Check a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a number")
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def positive(value: Any) -> float:
    """Check a number above 0."""
    if number(value) <= 0:
        raise ValueError("a number above 0")
    return float(value)


def not_negative(value: Any) -> float:
    """Check a number that is not below 0."""
    if number(value) < 0:
        raise ValueError("a number that is 0 or more")
    return float(value)


def fraction(value: Any) -> float:
    """Check a number from 0 to 1."""
    if not 0 <= number(value) <= 1:
        raise ValueError("a number from 0 to 1")
    return float(value)


def magnitude(value: Any) -> float:
    """Check a zero point."""
    if not 0 < number(value) <= 60:
        raise ValueError("an AB magnitude above 0 and at most 60")
    return float(value)


def whole(value: Any) -> int:
    """Check a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number above 0")
    return value


def count(value: Any) -> int:
    """Check a whole number that is not below 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number that is 0 or more")
    return value


def iterations(value: Any) -> int:
    """Check a number of passes."""
    if whole(value) > MOST_ITERATIONS:
        raise ValueError(f"a whole number from 1 to {MOST_ITERATIONS}")
    return value


def rows(value: Any) -> int:
    """Check a number of rows, or LSST's size (width, height) of a subregion."""
    if isinstance(value, str):
        value = [parse(part) for part in value.strip("()[] ").split(",")]
    sizes = value if isinstance(value, list) and len(value) == 2 else [value]
    try:
        return [whole(size) for size in sizes][-1]
    except ValueError as error:
        raise ValueError(f"{error}, or a size as [2000, 2000]") from error


def truth(value: Any) -> bool:
    """Check true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def plane_name(value: Any) -> str:
    """Check the name of a mask plane, which must be possible as a card."""
    if not isinstance(value, str) or not _PLANE_NAME.fullmatch(value):
        raise ValueError("the name of a mask plane, of letters, digits and _")
    return value


def plane_names(value: Any) -> tuple[str, ...]:
    """Check a list of names, or text with commas between them."""
    if isinstance(value, str):
        parts = (part.strip(" ()[]\"'") for part in value.split(","))
        value = [part for part in parts if part]
    if not isinstance(value, list):
        raise ValueError("a list of mask planes, as ['NO_DATA', 'BAD']")
    return tuple(plane_name(name) for name in value)


def thresholds(value: Any) -> dict[str, float]:
    """Check a table of fractions by plane."""
    if not isinstance(value, dict):
        raise ValueError("a table of mask planes and fractions, as {SAT = 0.1}")
    return {plane_name(name): number(limit) for name, limit in value.items()}


def one_of(names: Sequence[str], *, also: Sequence[str] = ()) -> Check:
    """Make a check for one of some names; others are proposed if they are near."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            hint = nearest(str(value), (*names, *also))
            raise ValueError(f"one of {', '.join(names)}{hint}")
        return value

    return check


def table(value: Any) -> dict[str, Any]:
    """Check a table."""
    if not isinstance(value, dict):
        raise ValueError("a table of settings, as {max_epochs = 2}")
    return value


def reader_table(value: Any) -> dict[str, Any]:
    """Check the table of a mapping of files, or the name of a preset."""
    if isinstance(value, str):
        return {"preset": value}
    if not isinstance(value, dict):
        raise ValueError("the name of a preset, or a table as {zero_point = 27.0}")
    return dict(value)
