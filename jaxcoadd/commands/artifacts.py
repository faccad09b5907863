"""The part of ``assemble`` that keeps artifacts out of a coadd."""

import argparse
import contextlib
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcoadd.commands.grids import target_grid
from jaxcoadd.commands.terminal import UsageError, warn

if TYPE_CHECKING:
    from jaxcoadd.assembly import Assembled, Plan, Settings
    from jaxcoadd.io import Grid
    from jaxcoadd.warping import WarpedVisit

METHODS = ("plain", "compare-warp", "compare-and-clip", "safe-clip")
COMPARING = ("compare-warp", "compare-and-clip")
VERSIONS = ("v24",)

_MATCHED_FOLDER = "psf-matched"
# Beyond the widest PSF, which varies over the grid.
_MARGIN = 1.05


def add_artifact_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser, as a group."""
    group = parser.add_argument_group("artifacts")
    add = group.add_argument
    add(
        "--method",
        choices=METHODS,
        help="how artifacts are kept out; compare-and-clip with --psf-matched or "
        "--match-psf, and else plain",
    )
    add(
        "--version",
        dest="method_version",
        choices=VERSIONS,
        help="the method as LSST had it in a version; as it is now unless given",
    )
    add(
        "--psf-matched",
        nargs="+",
        default=[],
        metavar="FILE",
        help="PSF-matched partners of the warps, or the folder that holds them",
    )
    add(
        "--match-psf",
        dest="model_fwhm",
        type=float,
        metavar="FWHM",
        help="width in pixels of the model that exposures are matched to; somewhat "
        "above the widest unless given",
    )
    add(
        "--write-artifact-masks",
        metavar="DIR",
        help="also write what was masked, a file a warp",
    )


def choose_method(options: argparse.Namespace) -> None:
    """Choose the method where none is named: what is best for what is given."""
    if options.method is not None:
        return
    options.method = "plain"
    if options.psf_matched or options.model_fwhm is not None:
        # A version is that of a method of LSST's.
        options.method = COMPARING[options.method_version is None]
        warn(f"note: the method is {options.method}; another is named as --method NAME")


def check_artifact_options(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and a folder that cannot be written."""
    compares = options.method in COMPARING
    if options.psf_matched and not compares:
        raise UsageError(
            f"--psf-matched is for --method {' or '.join(COMPARING)}, and the method "
            f"is {options.method}; leave one of them out"
        )
    if options.psf_matched and options.from_exposures:
        raise UsageError(
            "--psf-matched does not go with --from-exposures, which makes PSF-matched "
            "warps itself; leave one of them out"
        )
    if options.model_fwhm is not None and not (compares and options.from_exposures):
        raise UsageError(
            "--match-psf is the width that exposures are matched to; it needs "
            f"--from-exposures and --method {' or '.join(COMPARING)} (that of warps is "
            "given as -c psf_fwhm=WIDTH)"
        )
    if not options.write_artifact_masks:
        return
    if options.method == "plain":
        raise UsageError(
            "--write-artifact-masks needs a method that finds artifacts; name it as "
            "--method compare-and-clip, compare-warp or safe-clip"
        )
    from jaxcoadd.io.artifact_masks import check_folder

    check_folder(options.write_artifact_masks, overwrite=options.overwrite)


def partner_files(options: argparse.Namespace) -> Sequence[str]:
    """Return the files of PSF-matched warps: those named, or those of the folder."""
    from jaxcoadd.io import InputError
    from jaxcoadd.io.layouts import fits_files

    named = options.psf_matched
    folders = [name for name in named if Path(name).is_dir()]
    if not folders:
        return named
    if len(named) > 1:
        raise UsageError(
            f"{folders[0]} is a folder; --psf-matched takes one folder or some files, "
            f"so name its files with the others, as {folders[0]}/*.fits"
        )
    folder = Path(named[0])
    found = [str(path) for path in fits_files(folder)]
    if not found:
        raise InputError(f"{folder} has no FITS files; name that of PSF-matched warps")
    return found


def tell_partners(
    options: argparse.Namespace, settings: "Settings", plan: "Plan"
) -> None:
    """Say which warps cannot be compared; with `strict`, refuse them."""
    from jaxcoadd.assembly.plan import method_notices, without_partner
    from jaxcoadd.io import InputError

    compared = plan.compared
    if compared is not None and not plan.compares_itself:
        for item in compared.inputs:
            if item.skipped:
                warn(f"left out: {item.skipped}")
    missing = without_partner(plan)
    if missing and options.strict:
        raise InputError(
            f"{len(missing)} of {len(plan.used)} warps have no PSF-matched partner and "
            f"--strict allows none: exposures {', '.join(missing)}"
        )
    for notice in method_notices(plan, settings):
        warn(f"note: {notice}")


def make_partners(
    options: argparse.Namespace,
    settings: "Settings",
    stack: contextlib.ExitStack,
    paths: Sequence[Path],
    visits: "Sequence[WarpedVisit]",
) -> "Settings":
    """Make the PSF-matched warps that the method of a run needs, and settle widths.

    Their files become `options.psf_matched`. They are removed at the end unless warps
    are kept.
    """
    from jaxcoadd.warping.widths import psf_widths

    if options.method == "plain" or not visits:
        return settings
    grid = target_grid(options)
    widths = psf_widths(visits, grid) if options.model_fwhm is None else []
    if options.method in COMPARING:
        _match_exposures(
            options, settings, stack, paths=paths, grid=grid, widths=widths
        )
    elif settings.psf_fwhm is None and widths:
        settings = dataclasses.replace(settings, psf_fwhm=sum(widths) / len(widths))
    return settings


def _match_exposures(
    options: argparse.Namespace,
    settings: "Settings",
    stack: contextlib.ExitStack,
    *,
    paths: Sequence[Path],
    grid: "Grid",
    widths: Sequence[float],
) -> None:
    from jaxcoadd.assembly import SettingsError
    from jaxcoadd.commands.warping import find_and_warp, read_warp_settings
    from jaxcoadd.warping import NothingWarpedError

    fwhm = options.model_fwhm
    if fwhm is None:
        if not widths:
            warn("note: no exposure has a point-spread function that could be matched")
            return
        fwhm = round(max(widths) * _MARGIN, 2)
        warn(
            f"note: exposures are matched to a point-spread function of {fwhm:g} "
            f"pixels, as the widest has {max(widths):.2f}; give another as --match-psf"
        )
    try:
        matching = dataclasses.replace(
            read_warp_settings(options), match_fwhm=fwhm, need_psf=True
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error
    with contextlib.suppress(NothingWarpedError):
        written, _ = find_and_warp(
            paths,
            grid,
            matching,
            _folder_of_partners(options, stack),
            mapping=settings.reader,
            say=lambda line: None,
            compress=options.keep_warps is not None,
            overwrite=options.overwrite,
        )
        options.psf_matched = [str(one.path) for one in written]


def _folder_of_partners(
    options: argparse.Namespace, stack: contextlib.ExitStack
) -> Path:
    """Return the folder of PSF-matched warps: beside kept warps, or a hidden one."""
    if options.keep_warps is None:
        near = Path(options.output).absolute().parent
        hidden = tempfile.TemporaryDirectory(prefix=".jaxcoadd-", dir=near)
        return Path(stack.enter_context(hidden))
    folder = Path(options.keep_warps) / _MATCHED_FOLDER
    folder.mkdir(exist_ok=True)
    return folder


def write_masks(options: argparse.Namespace, result: "Assembled") -> None:
    """Write the masks of artifacts, if they are asked for."""
    from jaxcoadd.io import write_artifact_masks

    if not options.write_artifact_masks:
        return
    if result.findings is None:
        warn(f"note: {options.write_artifact_masks} is not written: there are no warps")
        return
    write_artifact_masks(
        options.write_artifact_masks,
        result.findings.names,
        result.findings.regions,
        result.coadd.grid,
        overwrite=options.overwrite,
    )


def tell_findings(result: "Assembled") -> None:
    """Say what kept artifacts from being found."""
    for remark in result.findings.remarks if result.findings else ():
        warn(f"note: {remark}")
