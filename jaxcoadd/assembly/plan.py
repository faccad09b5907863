"""What a run will do, found out from headers alone."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcoadd.assembly.checks import (
    Input,
    check_inputs,
    check_partners,
    join_reasons,
)
from jaxcoadd.assembly.findings import UNKNOWN_FWHM
from jaxcoadd.assembly.memory import CLIP_BYTES, COMPARE_BYTES, divide_memory
from jaxcoadd.assembly.methods import CompareWarp, Method, Plain, SafeClip
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.coadds import check_planes, coadd_planes
from jaxcoadd.io import Grid, InputError, WarpFile, open_warp
from jaxcoadd.io.zero_points import NANOJANSKY
from jaxcoadd.masks import LSST_PLANES, MaskPlanes, unite_planes
from jaxcoadd.zero_points import zero_point_factors

SAME_ZERO_POINT = 1e-5
"""Zero points this near to each other, in magnitudes, differ by rounding only."""


class NoInputsError(InputError):
    """No file can be used.

    Parameters
    ----------
    message
        What is wrong.
    inputs
        The files, each with its reason.
    """

    def __init__(self, message: str, inputs: Sequence[Input]):
        super().__init__(message)
        self.inputs = tuple(inputs)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Parameters
    ----------
    inputs
        All files, in the order given.
    grid
        Where the pixels of the coadd lie.
    planes
        Mask planes of all inputs together.
    zero_point, unit
        Of the coadd.
    rows
        Rows that are read and stacked at a time.
    keep
        Whether the warps fit into memory, so that each file is read once.
    memory
        Bytes that the run will take, by estimate.
    unwarped
        Exposures that did not become warps. They are in the table of the coadd, and
        nowhere else.
    compared
        The warps that are compared with one another, if any are: the PSF-matched
        partners of the inputs, or the inputs themselves.
    search_passes
        How often the method reads the pixels of inputs that are not kept.
    """

    inputs: tuple[Input, ...]
    grid: Grid
    planes: MaskPlanes
    zero_point: float
    unit: str | None
    rows: int
    keep: bool
    memory: int
    unwarped: tuple[Input, ...] = ()
    compared: "Plan | None" = None
    search_passes: int = 0

    @property
    def used(self) -> tuple[Input, ...]:
        """The inputs that are not left out."""
        return tuple(i for i in self.inputs if not i.skipped)

    @property
    def files(self) -> tuple[WarpFile, ...]:
        """The headers of the inputs that are not left out."""
        return tuple(i.file for i in self.used if i.file is not None)

    @property
    def compares_itself(self) -> bool:
        """Whether warps are compared without PSF-matched partners."""
        own = [item.path for item in self.inputs]
        return bool(self.compared) and own == [i.path for i in self.compared.inputs]

    @property
    def subregions(self) -> int:
        """How many subregions there are."""
        return -(-self.grid.shape[0] // self.rows)

    @property
    def passes(self) -> int:
        """How often each file is read."""
        return 1 if self.keep else 2

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels that will be read."""
        return self.own_nbytes * self.passes + self.search_nbytes

    @property
    def own_nbytes(self) -> int:
        """Bytes of the pixels of the inputs."""
        return sum(file.nbytes for file in self.files)

    @property
    def search_nbytes(self) -> int:
        """Bytes of the pixels that will be read to find artifacts.

        Warps that are compared are weighed, stacked and compared, of which each reads
        what is not kept.
        """
        again = 0 if self.keep else self.search_passes * self.own_nbytes
        if self.compared is None:
            return again
        return again + self.compared.own_nbytes * (1 if self.keep else 3)


def empty_plan(grid: Grid, settings: Settings) -> Plan:
    """Plan a coadd without data.

    Parameters
    ----------
    grid
        Of the coadd.
    settings
        How to coadd.
    """
    zero_point = settings.zero_point or NANOJANSKY
    return Plan(
        inputs=(),
        grid=grid,
        planes=LSST_PLANES,
        zero_point=zero_point,
        unit=_common_unit((), zero_point),
        rows=grid.shape[0],
        keep=False,
        memory=0,
    )


def make_plan(
    paths: Sequence[str | Path],
    settings: Settings,
    *,
    matched: Sequence[str | Path] = (),
    memory: int | None = None,
) -> Plan:
    """Find out from headers what a run will do.

    Parameters
    ----------
    paths
        The warps.
    settings
        How to coadd them.
    matched
        Their PSF-matched partners, for the method `CompareWarp`; without any, the warps
        are compared as they are.
    memory
        Bytes for pixels, see `divide_memory`.

    Raises
    ------
    NoInputsError
        No file can be used, or none of the partners.
    InputError
        The files have more mask planes than a mask has bits.
    SettingsError
        A setting names a mask plane that no file has, memory is too small, or the
        method has no use for partners.
    """
    inputs = check_inputs([_open(Path(path), settings) for path in paths])
    files = [i.file for i in inputs if i.file is not None and not i.skipped]
    if not files:
        raise NoInputsError(
            f"none of the {len(inputs)} warps can be used: "
            f"{join_reasons([i.skipped for i in inputs])}",
            inputs,
        )
    planes = _common_planes(files, settings)
    partners = _find_partners(matched, inputs, files, settings)
    division = divide_memory(
        files[0].shape,
        len(files) + sum(not one.skipped for one in partners or ()),
        memory=memory,
        rows=settings.subregion_rows,
        search=_search_bytes(settings.method),
    )

    def plan(inputs: Sequence[Input], planes: MaskPlanes, **others: Any) -> Plan:
        files = [i.file for i in inputs if i.file is not None and not i.skipped]
        zero_point = _common_zero_point(files, settings)
        return Plan(
            inputs=tuple(_with_factor(i, zero_point) for i in inputs),
            # All are on one grid, up to their offsets.
            grid=grid,
            planes=planes,
            zero_point=zero_point,
            unit=_common_unit(files, zero_point),
            **division._asdict(),
            **others,
        )

    grid = files[0].grid
    compared = None
    if partners is not None:
        found = [i.file for i in partners if i.file is not None and not i.skipped]
        compared = plan(partners, unite_planes(file.planes for file in found))
    own = planes.add(*_planes_of(settings.method))
    passes = _search_passes(settings.method)
    return plan(inputs, own, compared=compared, search_passes=passes)


def _search_bytes(method: Method) -> int:
    """Return what the search for artifacts takes, in bytes a pixel of the coadd."""
    if isinstance(method, CompareWarp):
        return COMPARE_BYTES
    return CLIP_BYTES if isinstance(method, SafeClip) else 0


def _search_passes(method: Method) -> int:
    """Return how often the search for artifacts reads what is not kept.

    SafeClip makes two means and looks at the masks twice; outliers need a median, and
    are then looked for.
    """
    if isinstance(method, CompareWarp):
        return 0 if method.outliers is None else 2
    return 4 if isinstance(method, SafeClip) else 0


def _planes_of(method: Method) -> tuple[str, ...]:
    """Return the planes that a method sets in the masks of warps."""
    if isinstance(method, CompareWarp):
        return ("CLIPPED", "NO_DATA", "EDGE")
    return ("CLIPPED",) if isinstance(method, SafeClip) else ()


def _find_partners(
    paths: Sequence[str | Path],
    inputs: Sequence[Input],
    files: Sequence[WarpFile],
    settings: Settings,
) -> list[Input] | None:
    """Find the PSF-matched partners of warps; without any, these themselves.

    None for a method that compares nothing.
    """
    if not isinstance(settings.method, CompareWarp):
        if not paths:
            return None
        raise SettingsError(
            f"there are {len(paths)} PSF-matched warps, and the method "
            f"{settings.method.name} compares none; leave them out, or choose "
            "compare-warp"
        )
    if not paths:
        return list(inputs)
    partners = check_partners([_open(Path(path), settings) for path in paths], files)
    if all(one.skipped for one in partners):
        raise NoInputsError(
            f"none of the {len(partners)} PSF-matched warps is the partner of a warp: "
            f"{join_reasons([one.skipped for one in partners])}",
            partners,
        )
    return partners


def notices(plan: Plan) -> list[str]:
    """Say what is allowed in a plan, but may not be meant."""
    found = []
    bands = collections.Counter(file.band for file in plan.files if file.band)
    if len(bands) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in bands.items())
        found.append(f"the warps are of {len(bands)} bands ({listed})")
    coadds = [str(file.path) for file in plan.files if file.layout == "coadd"]
    if coadds:
        found.append(f"among the warps there are coadds: {', '.join(coadds)}")
    return found


def method_notices(plan: Plan, settings: Settings) -> list[str]:
    """Say what the method of a run does without, if it has to."""
    if isinstance(settings.method, Plain):
        return []
    found = []
    compared = plan.compared
    if plan.compares_itself:
        found.append(
            "there are no PSF-matched warps (--psf-matched); the warps themselves are "
            "compared, and sources leave residuals where the seeing differs"
        )
    files = plan.files if compared is None else compared.files
    unknown = [file for file in files if file.matched_fwhm is None]
    if unknown and settings.psf_fwhm is None:
        found.append(
            f"{len(unknown)} of {len(files)} warps do not say the width of their "
            f"point-spread functions; it is taken as {UNKNOWN_FWHM:g} pixels; give it "
            "as -c psf_fwhm=WIDTH"
        )
    return found


def without_partner(plan: Plan) -> list[str]:
    """Return the identifiers of warps that cannot be compared with any other."""
    if plan.compared is None:
        return []
    known = {file.identifier for file in plan.compared.files}
    return [f.identifier for f in plan.files if f.identifier not in known]


def _open(path: Path, settings: Settings) -> Input:
    if not path.exists() and set(str(path)) & set("*?["):
        return Input(
            path,
            skipped=f"no file has a name as {path}; check the folder and the pattern",
        )
    try:
        return Input(path, open_warp(path, settings.reader))
    except InputError as error:
        return Input(path, skipped=str(error))


def _common_planes(files: Sequence[WarpFile], settings: Settings) -> MaskPlanes:
    """Return the planes of all files; those of the coadd must fit beside them."""
    try:
        planes = unite_planes(file.planes for file in files)
        result = coadd_planes(planes).add(settings.bright_object_plane)
    except ValueError as error:
        raise InputError(
            f"the planes of the {len(files)} warps and of their coadd do not fit into "
            f"one mask: {error}; leave planes out as -c reader.bits='{{BAD = 0}}'"
        ) from error
    _check_settings(settings, planes)
    capitals = collections.Counter(name.upper() for name in result.used)
    twice = [name for name in result.used if capitals[name.upper()] > 1]
    if twice:
        raise SettingsError(
            f"mask planes {', '.join(twice)} differ in capitals only, which FITS "
            "cannot tell apart; give them one name"
        )
    return planes


def _check_settings(settings: Settings, planes: MaskPlanes) -> None:
    try:
        check_planes(settings.coadd_config(), planes)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(
            f"{error} (in bad_planes, remove_planes or mask_thresholds)"
        ) from error


def _common_zero_point(files: Sequence[WarpFile], settings: Settings) -> float:
    """Return the zero point that all share, else nanojansky."""
    if settings.zero_point is not None:
        return settings.zero_point
    found = [file.zero_point for file in files if file.zero_point is not None]
    return found[0] if max(found) - min(found) <= SAME_ZERO_POINT else NANOJANSKY


def _common_unit(files: Sequence[WarpFile], zero_point: float) -> str | None:
    """Return the unit of the coadd, if it is known."""
    if zero_point == NANOJANSKY:
        return "nJy"
    same = len({file.unit for file in files}) == 1
    return files[0].unit if same and zero_point == files[0].zero_point else None


def _with_factor(item: Input, zero_point: float) -> Input:
    if item.file is None or item.file.zero_point is None:
        return item
    factor = float(zero_point_factors(item.file.zero_point, zero_point))
    return dataclasses.replace(item, factor=factor)
