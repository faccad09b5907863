"""Masks of the artifacts of warps in FITS files, one file a warp."""

import contextlib
import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table
from jaxtyping import UInt32

from jaxcoadd.io.atomic import check_output, spoiled, write_atomically
from jaxcoadd.io.coadd_files import read_mask_planes, read_plane, verify_file
from jaxcoadd.io.errors import InputError, OutputError
from jaxcoadd.io.grids import Grid, grid_cards
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.io.image_hdus import (
    ascii_text,
    compressed_hdu,
    plane_cards,
    stored_mask,
    table_hdu,
)
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans import SpanSet, apply_alternative_masks

PLANES = MaskPlanes(("CLIPPED", "NO_DATA", "EDGE"))
"""Planes of a mask of artifacts: what these are, and where nothing was compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class ArtifactMask:
    """The artifacts of one warp.

    Parameters
    ----------
    identifier
        The exposure's.
    regions
        By plane; x and y count from 0 at the first pixel of the image.
    mask
        The same as an image, (y, x).
    planes
        Planes of the mask.
    """

    identifier: str
    regions: Mapping[str, SpanSet]
    mask: UInt32[np.ndarray, "y x"]
    planes: MaskPlanes = PLANES


def check_folder(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Check, before any work is done, that a folder can be written.

    Parameters
    ----------
    folder
        The folder; the one that it is in must exist.
    overwrite
        Whether files in it may be replaced.

    Raises
    ------
    OutputError
        It has files already, is a file, or cannot be made.
    """
    path = Path(os.path.realpath(folder))
    if path.is_dir():
        if any(path.iterdir()) and not overwrite:
            raise OutputError(
                f"{path} exists and is not empty; name another folder or allow files "
                "in it to be overwritten (--overwrite)"
            )
        check_output(path / "name")
    elif path.exists():
        raise OutputError(f"{path} is a file; name a folder")
    else:
        check_output(path)
    return path


def write_artifact_masks(
    folder: str | Path,
    identifiers: Sequence[str],
    regions: Sequence[Mapping[str, SpanSet]],
    grid: Grid,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write a file for each of several warps, all or none.

    Parameters
    ----------
    folder
        Where they are written; it is made if it is not there.
    identifiers
        Of the exposures, after which the files are named.
    regions
        Regions by plane, of each warp.
    grid
        Where the pixels lie.
    overwrite
        Whether files of the same name may be replaced.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OutputError
        They could not be written, or two would have one name.
    """
    target = check_folder(folder, overwrite=overwrite)
    names = [f"{_file_name(identifier)}.fits" for identifier in identifiers]
    if len(set(names)) < len(names):
        raise OutputError(
            f"two exposures would have one file in {target}; tell them apart by "
            "letters and digits"
        )
    # In a folder beside it, so that none of them is there before all are.
    hidden = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        hidden.mkdir()
        for name, identifier, some in zip(names, identifiers, regions, strict=True):
            _write_mask(hidden / name, identifier, some, grid)
        if not target.exists():
            os.replace(hidden, target)
        else:
            for name in names:
                os.replace(hidden / name, target / name)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{target} could not be written ({error}); name another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(hidden)
    return [target / name for name in names]


def _file_name(identifier: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", identifier).lstrip(".") or "exposure"


def _write_mask(
    path: Path, identifier: str, regions: Mapping[str, SpanSet], grid: Grid
) -> None:
    """Write one file, and read it back."""
    regions = {name: regions.get(name, SpanSet()) for name in PLANES.used}
    mask, _ = apply_alternative_masks(
        np.zeros(grid.shape, np.uint32),
        PLANES,
        {name: [region] for name, region in regions.items()},
    )
    mask = np.asarray(mask)

    def write(stream: BinaryIO) -> None:
        primary = fits.PrimaryHDU()
        primary.header["VISIT"] = ascii_text(identifier)
        header = fits.Header()
        header["EXTTYPE"] = "MASK"
        header.extend(grid_cards(grid))
        for card, bit in plane_cards(PLANES).items():
            header[card if len(card) <= 8 else f"HIERARCH {card}"] = (bit, "bit number")
        image = compressed_hdu(stored_mask(mask), header, "MASK")
        hdus = [primary, image, table_hdu(_spans_table(regions), "SPANS")]
        fits.HDUList(hdus).writeto(stream, checksum=True)

    def check(temporary: Path) -> None:
        found = read_artifact_mask(temporary)
        if not np.array_equal(found.mask, mask) or found.regions != regions:
            raise spoiled(path, "the mask or its spans")

    write_atomically(path, write, check, nbytes=mask.nbytes)


def _spans_table(regions: Mapping[str, SpanSet]) -> Table:
    """Make a table with a row a span."""
    names = [name for name, region in regions.items() for _ in region.rows]
    rows = np.concatenate([region.rows for region in regions.values()])
    columns = {"plane": np.array(names, dtype=f"S{max(map(len, regions))}")}
    return Table(columns | dict(zip(("y", "x0", "x1"), rows.T, strict=True)))


def read_artifact_mask(path: str | Path) -> ArtifactMask:
    """Read the artifacts of a warp.

    Parameters
    ----------
    path
        A file that `write_artifact_masks` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or not such a file.
    """
    hdus = read_hdus(path)
    verify_file(path)
    mask, planes = read_plane(hdus, "MASK"), read_mask_planes(hdus)
    try:
        table = Table.read(path, hdu="SPANS")
        rows = np.stack([np.asarray(table[c], int) for c in ("y", "x0", "x1")], -1)
        names = np.asarray(table["plane"]).astype(str)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(
            f"{path} has no table SPANS of artifacts ({error}); name a file that "
            "--write-artifact-masks made"
        ) from error
    regions = {name: SpanSet(rows[names == name]) for name in planes.used}
    identifier = str(hdus[0].get("VISIT", ""))
    return ArtifactMask(identifier, regions, mask.astype(np.uint32), planes)
