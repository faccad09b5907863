"""Warp visits into files, one at a time."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from astropy.table import Table

from jaxcoadd.io import Grid, OutputError, check_output, write_warp
from jaxcoadd.io.image_hdus import table_hdu
from jaxcoadd.io.warp_files import MATCHED_FWHM
from jaxcoadd.warping.matching import MatchQuality
from jaxcoadd.warping.run import WarpedVisit, warp_visit
from jaxcoadd.warping.settings import WarpSettings
from jaxcoadd.warping.visits import Visit


@dataclasses.dataclass(frozen=True, eq=False)
class WarpedFile:
    """A warp that has been written.

    Parameters
    ----------
    path
        The file.
    made_of
        The visit, its detectors and what was skipped; without pixels.
    """

    path: Path
    made_of: WarpedVisit


def warp_paths(
    visits: Sequence[Visit], folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Name a file for each visit, and check that all can be written.

    Parameters
    ----------
    visits
        The visits.
    folder
        Where they will be written.
    overwrite
        Whether there may be such files.

    Raises
    ------
    OutputError
        There is no such folder, or a file exists, or two visits have one name.
    """
    names: dict[str, str] = {}
    paths = []
    for visit in visits:
        name = re.sub(r"[^\w.+-]+", "_", visit.identifier).lstrip(".") or "visit"
        if name in names:
            raise OutputError(
                f"the visits {names[name]!r} and {visit.identifier!r} would both be "
                f"written to {name}.fits; warp them into two folders"
            )
        names[name] = visit.identifier
        paths.append(check_output(Path(folder) / f"{name}.fits", overwrite=overwrite))
    return paths


def warp_files(
    visits: Sequence[Visit],
    grid: Grid,
    settings: WarpSettings,
    paths: Sequence[Path],
    *,
    compress: bool = True,
    overwrite: bool = False,
    done: Callable[[WarpedVisit], None] = lambda warped: None,
) -> list[WarpedFile]:
    """Warp visits onto a grid and write them, each as soon as it is made.

    Parameters
    ----------
    visits, paths
        The visits, and the file of each, see `warp_paths`.
    grid
        With a WCS.
    settings
        How to warp.
    compress, overwrite
        See `write_warp`.
    done
        Told of each visit, also of one without pixels, which is not written.

    Raises
    ------
    OutputError
        A file could not be written; those before it are there.
    MissingExtraError
        A background is to be measured, and photutils is not installed.
    """
    written = []
    for visit, path in zip(visits, paths, strict=True):
        warped = warp_visit(visit, grid, settings)
        if warped.warp is not None:
            table = table_hdu(_with_matches(warped), "DETECTORS")
            write_warp(
                path,
                warped.warp,
                grid,
                cards=_cards(warped, settings),
                images=warped.companions,
                others=[table],
                compress=compress,
                overwrite=overwrite,
            )
            warped = dataclasses.replace(warped, warp=None, companions={})
            written.append(WarpedFile(path, warped))
        done(warped)
    return written


def _with_matches(warped: WarpedVisit) -> Table:
    """Return the table of detectors, with columns of how well each was matched."""
    table = warped.detectors.copy()
    if warped.matches:
        for field in dataclasses.fields(MatchQuality):
            values = [getattr(match, field.name) for match in warped.matches]
            table[f"match_{field.name}"] = values
    return table


def _cards(warped: WarpedVisit, settings: WarpSettings) -> dict[str, str | float]:
    """Return cards of what the detectors of a visit have in common."""
    files = [one.pixels for one in warped.used]
    cards: dict[str, str | float] = {"VISIT": warped.visit.identifier}
    if settings.noise_realizations:
        cards["SEED"] = settings.seed
    if settings.match_fwhm is not None:
        cards[MATCHED_FWHM] = settings.match_fwhm
    for card, values in {
        "FILTER": {file.band for file in files},
        "MJD-OBS": {file.date for file in files},
        "SEEING": {file.seeing for file in files},
    }.items():
        known = values - {None}
        if len(known) == 1:
            cards[card] = known.pop()
    return cards
