"""Which exposures belong to one visit, and in which order they are merged."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxcoadd.io import InputError, ReaderMapping
from jaxcoadd.io.exposure_files import DETECTOR_CARDS, ExposureFile, open_exposure


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that is left out.

    Parameters
    ----------
    path
        The file.
    reason
        One sentence that says why.
    fault
        Whether something is wrong with it; not if it is but off the grid.
    """

    path: Path
    reason: str
    fault: bool = True


class NothingWarpedError(InputError):
    """No exposure brings a pixel to the grid.

    Parameters
    ----------
    message
        What is wrong.
    skipped
        The exposures, each with its reason.
    """

    def __init__(self, message: str, skipped: Sequence[Skipped]):
        super().__init__(message)
        self.skipped = tuple(skipped)


@dataclasses.dataclass(frozen=True, eq=False)
class Visit:
    """The exposures of all detectors at one time.

    Parameters
    ----------
    identifier
        The exposure's name or number, as each of the files has it.
    exposures
        In the order in which they are merged: by detector, numbers before names.
    """

    identifier: str
    exposures: tuple[ExposureFile, ...]


def find_visits(
    paths: Iterable[str | Path],
    mapping: ReaderMapping | str | None = None,
    *,
    need_psf: bool = True,
) -> tuple[list[Visit], list[Skipped]]:
    """Read the headers of exposures and gather those of one visit.

    Parameters
    ----------
    paths
        The files.
    mapping
        Where the planes are, see `open_exposure`.
    need_psf
        Whether a file without a point-spread function is left out.

    Returns
    -------
    visits : list of Visit
        In the order of their first files.
    skipped : list of Skipped
        Files that cannot be used.
    """
    by_visit: dict[str, list[ExposureFile]] = {}
    skipped = []
    for path in map(Path, paths):
        try:
            file = open_exposure(path, mapping)
            file.pixels.known_zero_point()
        except InputError as error:
            skipped.append(Skipped(path, str(error)))
            continue
        reason = _unusable(file, by_visit, need_psf=need_psf)
        if reason:
            skipped.append(Skipped(path, reason))
        else:
            by_visit.setdefault(file.pixels.identifier, []).append(file)
    visits = [
        Visit(identifier, tuple(sorted(files, key=_merging_order)))
        for identifier, files in by_visit.items()
    ]
    return visits, skipped


def _unusable(
    file: ExposureFile, by_visit: dict[str, list[ExposureFile]], *, need_psf: bool
) -> str | None:
    """Say why an exposure cannot be used, if so."""
    if need_psf and file.psf is None:
        return (
            f"{file.path} has no HDU PSF with its point-spread function; add one, or "
            "allow exposures without (--without-psf)"
        )
    for other in by_visit.get(file.pixels.identifier, ()):
        if file.detector is None and other.detector is None:
            *first, last = DETECTOR_CARDS
            return (
                f"{file.path} and {other.path} are of the same visit "
                f"({file.pixels.identifier}) and neither has a card of its detector "
                f"({', '.join(first)} or {last}); add one, or name the card that holds "
                "it with -c reader.detector=CARD"
            )
        if other.detector == file.detector:
            return (
                f"{file.path} is of the same visit and detector as {other.path} "
                f"({file.pixels.identifier}, {file.detector}); give one of them"
            )
    return None


def _merging_order(file: ExposureFile) -> tuple[bool, int, str]:
    name = file.detector or ""
    numeric = name.isdecimal()
    return (not numeric, int(name) if numeric else 0, name)
