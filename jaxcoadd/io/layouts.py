"""Finding the planes of a warp among the HDUs of its file, or of files beside it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu, check_image, read_hdus
from jaxcoadd.io.mappings import PRESETS, ReaderMapping, find_mapping

FITS_SUFFIXES = (".fits.gz", ".fits.fz", ".fits", ".fit", ".fts")
_LABELS: Mapping[str, tuple[str, ...]] = {
    "image": ("IMAGE", "SCI"),
    "mask": ("MASK",),
    "variance": ("VARIANCE", "VAR"),
    "sigma": ("ERR", "SIGMA"),
    "inverse_variance": ("INVVAR", "IVAR"),
    "weight": ("WEIGHT", "WHT"),
}
_PLACES = ("image", "noise", "noise_file", "mask", "mask_file")
# LSST's files without names: image, mask, variance from the first HDU with pixels.
_POSITIONS = {"image": 0, "mask": 1, "variance": 2}


def fits_files(folder: Path) -> list[Path]:
    """Return the FITS files of a folder by their names, sorted."""
    return sorted(p for p in folder.glob("*") if p.name.endswith(FITS_SUFFIXES))


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """The planes of one warp.

    Parameters
    ----------
    hdus
        All HDUs of the file of the image.
    image, noise, mask
        The planes; no mask where the format has none.
    mask_hdus
        All HDUs of the file of the mask.
    mapping
        How to read them.
    """

    hdus: tuple[Hdu, ...]
    image: Hdu
    noise: Hdu
    mask: Hdu | None
    mask_hdus: tuple[Hdu, ...]
    mapping: ReaderMapping


def file_stem(path: Path) -> str:
    """Return the name of a file without folder and FITS suffix."""
    for suffix in FITS_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def find_layout(path: Path, mapping: ReaderMapping | str | None = None) -> Layout:
    """Find image, noise and mask of a warp, and check that they fit together.

    Parameters
    ----------
    path
        The file with the image.
    mapping
        Where the planes are, or the name of a preset. What it does not say is found
        out: by EXTTYPE, EXTNAME, the names of files, and last by position.

    Raises
    ------
    InputError
        A file or an HDU is missing, is no image, or differs in shape.
    """
    hdus = read_hdus(path)
    found = _complete(mapping, path, hdus)
    image = _find_image(hdus, found)
    noise, _ = _find_companion(path, hdus, image, found, found.noise_kind)
    mask, mask_hdus = None, hdus
    if found.has_mask:
        mask, mask_hdus = _find_companion(path, hdus, image, found, "mask")
    for plane in (noise, mask):
        if plane is not None:
            _check_fit(image, plane)
    return Layout(hdus, image, noise, mask, mask_hdus, found)


def _complete(
    mapping: ReaderMapping | str | None, path: Path, hdus: Sequence[Hdu]
) -> ReaderMapping:
    """Return a mapping that says where the planes are."""
    if mapping is None:
        return _recognise(path, hdus)
    given = find_mapping(mapping)
    if given.layout != ReaderMapping.layout or any(
        getattr(given, place) is not None for place in _PLACES
    ):
        return given
    # A mapping that gives but a zero point, say, counts for every kind of file.
    said = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(ReaderMapping)
        if getattr(given, field.name) != field.default
    }
    if {"bits", "codes"} & said.keys():
        said = {"bits": None, "codes": None} | said
    return dataclasses.replace(_recognise(path, hdus), **said)


def _recognise(path: Path, hdus: Sequence[Hdu]) -> ReaderMapping:
    """Tell the kind of a file by what is in it and beside it."""
    labels = {hdu.name for hdu in hdus} | {hdu.kind for hdu in hdus}
    if labels >= {"IMAGE", "VARIANCE", "N_IMAGE", "INPUTS"}:
        return dataclasses.replace(PRESETS["afw"], layout="coadd")
    if {"SCI", "ERR"} <= labels and any("PIXAR_SR" in hdu.header for hdu in hdus):
        return PRESETS["jwst"]
    if {"SCI", "VAR"} <= labels:
        return dataclasses.replace(PRESETS["sample"], zero_point=None)
    if "IMAGE" not in labels and _companion(path, PRESETS["decam"].noise_file):
        return PRESETS["decam"]
    if len(hdus) == 1 and hdus[0].is_image:
        weight = _companion(path, PRESETS["swarp"].noise_file)
        if weight is not None and weight.exists():
            return PRESETS["swarp"]
    if hdus[0].get("DATAMODL") is not None:
        return dataclasses.replace(PRESETS["afw"], layout="lsst-images")
    return PRESETS["afw"]


def _companion(path: Path, patterns: str | tuple[str, ...] | None) -> Path | None:
    """Return the file beside another that a pattern names."""
    for pattern in (patterns,) if isinstance(patterns, str) else patterns or ():
        old, arrow, new = (part.strip() for part in pattern.partition("->"))
        if not arrow:
            return path.with_name(pattern.replace("{stem}", file_stem(path)))
        if old in path.name:
            return path.with_name(path.name.replace(old, new))
    return None


def list_hdus(hdus: Sequence[Hdu]) -> str:
    """List what is in a file, for a message."""
    return ", ".join(f"{hdu.index} {hdu.title}" for hdu in hdus)


def find_hdu(hdus: Sequence[Hdu], key: int | str) -> Hdu:
    """Return the HDU of a name or index; `InputError` if there is none."""
    if isinstance(key, int) and 0 <= key < len(hdus):
        return hdus[key]
    for hdu in hdus:
        if isinstance(key, str) and key.upper() in (hdu.name, hdu.kind):
            return hdu
    raise InputError(
        f"{hdus[0].path} has no HDU {key!r}; it has {list_hdus(hdus)}; correct the "
        "mapping or the file"
    )


def _find_image(hdus: Sequence[Hdu], mapping: ReaderMapping) -> Hdu:
    """Return the HDU with the image."""
    if mapping.image is not None:
        image = find_hdu(hdus, mapping.image)
    elif mapping.noise_file is not None:
        image = _only_image(hdus)
    else:
        image = _search(hdus, "image")
    check_image(image)
    return image


def _only_image(hdus: Sequence[Hdu]) -> Hdu:
    """Return the one image of a file that has its noise elsewhere."""
    images = [hdu for hdu in hdus if hdu.is_image]
    if len(images) != 1:
        raise InputError(
            f"{hdus[0].path} has {len(images)} images ({list_hdus(hdus)}) where one is "
            "expected; name the one to read as `image` in a mapping"
        )
    return images[0]


def _find_companion(
    path: Path, hdus: tuple[Hdu, ...], image: Hdu, mapping: ReaderMapping, role: str
) -> tuple[Hdu, tuple[Hdu, ...]]:
    """Return the HDU with noise or mask, and all HDUs of its file."""
    field = "mask" if role == "mask" else "noise"
    named = getattr(mapping, field)
    patterns = getattr(mapping, f"{field}_file")
    if patterns is not None:
        beside = _read_beside(path, patterns, field)
        _check_same_exposure(hdus[0], beside[0])
        hdus = beside
        if named is None:
            named = image.name or image.index
    plane = _search(hdus, role) if named is None else find_hdu(hdus, named)
    check_image(plane)
    return plane, hdus


def _read_beside(
    path: Path, patterns: str | tuple[str, ...], field: str
) -> tuple[Hdu, ...]:
    """Read the headers of the file beside the image that holds another plane."""
    beside = _companion(path, patterns)
    if beside is None:
        raise InputError(
            f"the {field} of {path} should be in a file named by {patterns!r}, which "
            "does not fit the name; rename the file or correct the mapping"
        )
    if not beside.exists():
        raise InputError(
            f"{path} needs its {field} in {beside}, which does not exist; put the file "
            "there or correct the mapping"
        )
    return read_hdus(beside)


def _check_same_exposure(image: Hdu, plane: Hdu) -> None:
    """Refuse a file beside the image that is of another exposure or processing."""
    for card in ("EXPNUM", "PLVER"):
        wanted, found = image.get(card), plane.get(card)
        if None not in (wanted, found) and wanted != found:
            raise InputError(
                f"{plane.path} has {card} {found!r} and {image.path} has {wanted!r}; "
                "put files of one exposure and processing side by side"
            )


def _search(hdus: Sequence[Hdu], role: str) -> Hdu:
    """Find a plane by EXTTYPE, else by EXTNAME, else by its position."""
    labels = _LABELS[role]
    for attribute in ("kind", "name"):
        for hdu in hdus:
            if getattr(hdu, attribute) in labels:
                return hdu
    if role in _POSITIONS:
        index = _POSITIONS[role] + (0 if hdus[0].shape else 1)
        unnamed = [h for h in hdus[index : index + 1] if not (h.name or h.kind)]
        if unnamed and not unnamed[0].is_table:
            return unnamed[0]
    or_none = " (or has_mask = false)" if role == "mask" else ""
    raise InputError(
        f"{hdus[0].path} has no HDU {' or '.join(labels)}; it has {list_hdus(hdus)}; "
        f"name the HDU in a mapping{or_none} or write the file again"
    )


def _check_fit(image: Hdu, plane: Hdu) -> None:
    """Refuse a plane of another shape than the image."""
    if plane.shape != image.shape:
        raise InputError(
            f"{plane} has shape {plane.shape} and {image} has {image.shape}; they "
            "must be equal, write the file again"
        )
