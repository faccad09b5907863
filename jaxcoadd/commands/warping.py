"""The subcommand ``warp``: from exposures to warps, a file a visit."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcoadd.commands.grids import add_grid_options, target_grid
from jaxcoadd.commands.terminal import DONE, EXIT_CODES, check_not_read, say, warn

if TYPE_CHECKING:
    from jaxcoadd.io import Grid, ReaderMapping
    from jaxcoadd.warping import WarpedFile, WarpSettings


def add_warp(commands: Any) -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "warp",
        help="resample exposures onto one grid, a file a visit",
        description="Resample exposures onto the pixels of a coadd.",
        epilog=EXIT_CODES,
    )
    add = parser.add_argument
    add("exposures", nargs="+", metavar="EXPOSURE", help="FITS files")
    add_grid_options(parser)
    add("--output", required=True, metavar="DIR", help="folder for the warps")
    add_warp_options(parser)
    add(
        "--match-psf",
        type=float,
        metavar="FWHM",
        help="match point-spread functions to a model of this width, in pixels",
    )
    add("--overwrite", action="store_true", help="replace files of the same name")
    add("-q", "--quiet", action="store_true", help="say only what is left out or wrong")
    parser.set_defaults(run=_warp)


def add_warp_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say how exposures are warped."""
    add = parser.add_argument
    add(
        "--kernel",
        default="lanczos3",
        metavar="NAME",
        help="lanczos2 to lanczos9, bilinear or nearest; %(default)s unless given",
    )
    add(
        "--background",
        default="auto",
        metavar="KIND",
        help="which to subtract: file, mesh, none; auto, unless given: that of the "
        "file, or a measured one where SKYSUB says that the sky is still in",
    )
    add(
        "--without-psf",
        action="store_true",
        help="use also exposures without a point-spread function",
    )


def read_warp_settings(options: argparse.Namespace) -> "WarpSettings":
    """Return the settings that the options name."""
    from jaxcoadd.assembly import SettingsError
    from jaxcoadd.warping import WarpSettings

    try:
        return WarpSettings(
            kernel=options.kernel,
            background=options.background,
            need_psf=not options.without_psf,
            match_fwhm=getattr(options, "match_psf", None),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error


def find_and_warp(
    paths: Sequence[str | Path],
    grid: "Grid",
    settings: "WarpSettings",
    folder: str | Path,
    *,
    say: Callable[[str], None],
    mapping: "ReaderMapping | None" = None,
    compress: bool = True,
    overwrite: bool = False,
) -> "list[WarpedFile]":
    """Warp exposures into a folder, and say what becomes of each."""
    from jaxcoadd.io import InputError
    from jaxcoadd.warping import find_visits, warp_files, warp_paths

    visits, skipped = find_visits(paths, mapping, need_psf=settings.need_psf)
    for one in skipped:
        warn(f"left out: {one.reason}")
    if not visits:
        raise InputError(f"none of the {len(skipped)} exposures can be used")
    targets = warp_paths(visits, folder, overwrite=overwrite)
    read = [p for v in visits for file in v.exposures for p in file.pixels.paths]
    for target in targets:
        check_not_read(str(target), [*paths, *read])

    def done(warped):
        for one in warped.skipped:
            warn(f"left out: {one.reason}")
        if warped.used:
            pixels = int(warped.detectors["good_pixels"].sum())
            detectors = len(warped.used)
            say(f"{warped.visit.identifier}: {detectors} detectors, {pixels} pixels")
        for match in warped.matches:
            say(
                f"  matched: sigma within {match.size:.3f} pixels, ellipticity "
                f"{match.ellipticity:.3f}, residual {match.peak:.1%} of the peak, "
                f"variance times {match.noise_gain:.2f}, neighbours correlated by "
                f"{match.correlation:.2f}"
            )

    writing = {"compress": compress, "overwrite": overwrite}
    written = warp_files(visits, grid, settings, targets, done=done, **writing)
    if not written:
        raise InputError(f"none of the {len(visits)} visits has a pixel on the grid")
    return written


def _warp(options: argparse.Namespace) -> int:
    settings = read_warp_settings(options)
    grid = target_grid(options)
    written = find_and_warp(
        options.exposures,
        grid,
        settings,
        options.output,
        say=(lambda line: None) if options.quiet else say,
        overwrite=options.overwrite,
    )
    if not options.quiet:
        say(
            f"{len(written)} warps of {grid.shape[0]} x {grid.shape[1]} pixels "
            f"in {options.output}"
        )
    return DONE
