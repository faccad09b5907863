"""Mappings: which parts of a file are image, noise and mask, and how to read them."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NOISE_KINDS = ("variance", "sigma", "inverse_variance", "weight")


@dataclasses.dataclass(frozen=True)
class ReaderMapping:
    """Where a kind of file keeps the parts of a warp. ``None``: find it out.

    Parameters
    ----------
    image, noise, mask
        HDU by name or by index from 0.
    noise_file, mask_file
        The file beside the image that holds the plane: a pattern as
        ``"{stem}.weight.fits"``, a replacement as ``"_ooi_ -> _oow_"``, or several of
        which the first that fits counts.
    noise_kind
        ``"variance"``, ``"sigma"``, ``"inverse_variance"``, or ``"weight"``: an
        inverse variance that is 0 where there are no data.
    has_mask
        False if there is no mask.
    bits
        Bit number of each plane of the mask. By default from its header.
    codes
        Plane for each value of a mask that holds one code a pixel. Values that are
        not listed count as BAD.
    zero_point
        AB magnitude of one count, or the card that holds it.
    identifier
        The card that tells warps apart; empty for the name of the file.
    detector
        The card with the detector of an exposure.
    scale, scale_default
        The card of a factor for the image, and its value where there is no such card.
    factor
        One more factor for the image.
    unit
        Unit of the image after both factors.
    layout
        Name of the kind of file.

    Raises
    ------
    ValueError
        An unknown kind of noise, or a number that cannot be what it should.
    """

    image: int | str | None = None
    noise: int | str | None = None
    noise_file: str | tuple[str, ...] | None = None
    noise_kind: str = "variance"
    mask: int | str | None = None
    mask_file: str | tuple[str, ...] | None = None
    has_mask: bool = True
    bits: Mapping[str, int] | None = None
    codes: Mapping[int, str] | None = None
    zero_point: float | str | None = None
    identifier: str | None = None
    detector: str | None = None
    scale: str | None = None
    scale_default: float | None = None
    factor: float = 1.0
    unit: str | None = None
    layout: str = "mapping"

    def __post_init__(self):
        """Refuse kinds and numbers that cannot be."""
        if self.noise_kind not in NOISE_KINDS:
            near = _nearest(self.noise_kind, NOISE_KINDS)
            raise ValueError(
                f"no noise_kind {self.noise_kind!r}; the kinds are {NOISE_KINDS}{near}"
            )
        if isinstance(self.zero_point, int | float) and not 0 < self.zero_point <= 60:
            raise ValueError(
                f"zero_point {self.zero_point} is not above 0 and at most 60 magnitudes"
            )
        if not math.isfinite(self.factor) or self.factor <= 0:
            raise ValueError(f"factor {self.factor} is not a positive number")


# Pixels of DECam's data quality images: bits before pipeline V3.5.0, then codes.
_DECAM_BITS = {"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 4, "BLEED": 6, "DIFF": 7}
_DECAM_CODES = {
    1: "BAD",
    2: "NO_DATA",
    3: "SAT",
    4: "BLEED",
    5: "CR",
    6: "LOWWT",
    7: "DIFF",
    8: "STREAK",
}

PRESETS: Mapping[str, ReaderMapping] = MappingProxyType(
    {
        "afw": ReaderMapping(layout="afw"),
        "sample": ReaderMapping(
            image="SCI",
            noise="VAR",
            mask="MASK",
            zero_point="MAGZERO",
            layout="sample",
        ),
        "swarp": ReaderMapping(
            image=0,
            noise=0,
            noise_file="{stem}.weight.fits",
            noise_kind="weight",
            has_mask=False,
            scale="FLXSCALE",
            scale_default=1.0,
            layout="swarp",
        ),
        "decam": ReaderMapping(
            noise_file=("_ooi_ -> _oow_", "_opi_ -> _opw_", "_osi_ -> _osw_"),
            noise_kind="inverse_variance",
            mask_file=("_ooi_ -> _ood_", "_opi_ -> _opd_", "_osi_ -> _osd_"),
            bits=_DECAM_BITS,
            codes=_DECAM_CODES,
            layout="decam",
        ),
        "jwst": ReaderMapping(
            image="SCI",
            noise="ERR",
            noise_kind="sigma",
            has_mask=False,
            scale="PIXAR_SR",
            factor=1e15,
            unit="nJy",
            zero_point=31.4,
            identifier="",
            layout="jwst",
        ),
    }
)
"""Mappings of known kinds of file, by name.

``afw``: LSST and HSC. ``sample``: HDUs SCI, VAR and MASK with a card MAGZERO.
``swarp``: an image with ``.weight.fits`` beside it, not yet multiplied by FLXSCALE.
``decam``: image, weight and data quality in three files. ``jwst``: SCI and ERR in
MJy/sr, brought to nanojansky by PIXAR_SR.
"""


def find_mapping(mapping: ReaderMapping | str) -> ReaderMapping:
    """Return a mapping, or the preset of a name; `ValueError` if there is none."""
    if isinstance(mapping, ReaderMapping):
        return mapping
    if mapping not in PRESETS:
        near = _nearest(mapping, PRESETS)
        raise ValueError(f"no preset {mapping!r}; they are {tuple(PRESETS)}{near}")
    return PRESETS[mapping]


def mapping_from_table(table: Mapping[str, Any]) -> ReaderMapping:
    """Build a mapping from a table of a configuration file.

    Parameters
    ----------
    table
        Fields of `ReaderMapping`; ``preset`` names the one to start from.

    Raises
    ------
    ValueError
        A key that does not exist, or a value of the wrong type.

    Examples
    --------
    >>> mapping = mapping_from_table({"preset": "sample", "zero_point": 27.0})
    >>> mapping.image, mapping.zero_point
    ('SCI', 27.0)
    """
    values = dict(table)
    base = find_mapping(values.pop("preset", ReaderMapping()))
    keys = [field.name for field in dataclasses.fields(ReaderMapping)]
    for key, value in values.items():
        if key not in keys:
            near = _nearest(key, ["preset", *keys])
            raise ValueError(f"no key {key!r} in a reader mapping{near}")
        values[key] = _value_of(key, value)
    return dataclasses.replace(base, **values)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "image": (int, str),
    "noise": (int, str),
    "noise_file": (str, list, tuple),
    "noise_kind": (str,),
    "mask": (int, str),
    "mask_file": (str, list, tuple),
    "has_mask": (bool,),
    "bits": (Mapping,),
    "codes": (Mapping,),
    "zero_point": (int, float, str),
    "identifier": (str,),
    "detector": (str,),
    "scale": (str,),
    "scale_default": (int, float),
    "factor": (int, float),
    "unit": (str,),
    "layout": (str,),
}


def _value_of(key: str, value: Any) -> Any:
    """Return the value of a key in the type of the field."""
    types = _TYPES[key]
    truth = isinstance(value, bool) and bool not in types
    if truth or not isinstance(value, types):
        names = " or ".join(kind.__name__.lower() for kind in types)
        raise ValueError(f"{key} = {value!r} in a reader mapping should be {names}")
    if float in types and isinstance(value, int):
        return float(value)
    if key == "codes" and isinstance(value, Mapping):
        return {_code(code): str(name) for code, name in value.items()}
    if key == "bits" and isinstance(value, Mapping):
        return {str(name): _bit(name, bit) for name, bit in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _code(code: Any) -> int:
    """Return a code of a mask, which is text where it is the key of a TOML table."""
    text = str(code)
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"code {code!r} of a mask should be a whole number above 0")
    return int(text)


def _bit(name: str, bit: Any) -> int:
    """Return the bit number of a plane."""
    if not isinstance(bit, int) or isinstance(bit, bool) or not 0 <= bit < 32:
        raise ValueError(f"bit {bit!r} of plane {name!r} should be a number 0 to 31")
    return bit


def _nearest(name: str, known: Any) -> str:
    """Propose the known name that is nearest to one that is not known."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
