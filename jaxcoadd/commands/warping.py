"""The subcommand ``warp``: from exposures to warps, a file a visit."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcoadd.commands.grids import add_grid_options, target_grid
from jaxcoadd.commands.terminal import (
    DONE,
    EXIT_CODES,
    UsageError,
    check_not_read,
    say,
    stamp,
    warn,
)

if TYPE_CHECKING:
    from jaxcoadd.io import Grid, ReaderMapping
    from jaxcoadd.warping import Skipped, WarpedFile, WarpSettings


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
    add(
        "--noise-realizations",
        type=int,
        default=0,
        metavar="N",
        help="images of noise alone that go with each warp; none unless given",
    )
    add("--seed", type=int, metavar="S", help="of their noise; 0 unless given")
    add_setting_option(parser, "how exposures are read: -c reader.zero_point=27.0")
    add("--overwrite", action="store_true", help="replace files of the same name")
    add("-q", "--quiet", action="store_true", help="say only what is left out or wrong")
    parser.set_defaults(run=_warp)


def add_setting_option(parser: argparse._ActionsContainer, help: str) -> None:
    """Add the option that gives one setting, and can be repeated."""
    parser.add_argument(
        "-c",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=help,
    )


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
            noise_realizations=getattr(options, "noise_realizations", 0),
            seed=getattr(options, "seed", None) or 0,
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
    begin: Callable[[Sequence[Path]], None] = lambda targets: None,
    mapping: "ReaderMapping | None" = None,
    strict: bool = False,
    compress: bool = True,
    overwrite: bool = False,
) -> "tuple[list[WarpedFile], list[Skipped]]":
    """Warp exposures into a folder, and say what becomes of each.

    `begin` is told which files may be written. If none is it is a `NothingWarpedError`;
    with `strict`, any exposure with a fault is an `InputError`.
    """
    from jaxcoadd.warping import (
        NothingWarpedError,
        find_visits,
        warp_files,
        warp_paths,
    )

    visits, skipped = find_visits(paths, mapping, need_psf=settings.need_psf)
    _tell_skipped(skipped, len(paths), strict=strict)
    if not visits:
        message = f"none of the {len(skipped)} exposures can be used"
        raise NothingWarpedError(message, skipped)
    targets = warp_paths(visits, folder, overwrite=overwrite)
    read = [p for v in visits for file in v.exposures for p in file.pixels.paths]
    for target in targets:
        check_not_read(str(target), [*paths, *read])

    def done(warped):
        skipped.extend(warped.skipped)
        _tell_skipped(warped.skipped, len(paths), strict=strict)
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

    begin(targets)
    writing = {"compress": compress, "overwrite": overwrite}
    written = warp_files(visits, grid, settings, targets, done=done, **writing)
    if not written:
        message = f"none of the {len(visits)} visits has a pixel on the grid"
        raise NothingWarpedError(message, skipped)
    return written, skipped


def note_kept(options: argparse.Namespace, targets: Sequence[Path]) -> None:
    """Note the files of warps as they are now, so that new ones can be told."""
    options.kept = {target: stamp(target) for target in targets}


def _tell_skipped(skipped: "Sequence[Skipped]", total: int, *, strict: bool) -> None:
    """Say which exposures are left out; with `strict`, refuse those with a fault."""
    from jaxcoadd.assembly.checks import join_reasons
    from jaxcoadd.io import InputError

    faults = [one.reason for one in skipped if one.fault]
    if strict and faults:
        raise InputError(
            f"{len(faults)} of {total} exposures cannot be used and --strict allows "
            f"none: {join_reasons(faults)}"
        )
    for one in skipped:
        warn(f"left out: {one.reason}")


def _read_mapping(settings: Sequence[str]) -> "ReaderMapping | None":
    """Return how exposures are read; there is nothing else to be set for a warp."""
    from jaxcoadd.assembly import read_settings

    for text in settings:
        if text.partition("=")[0].partition(".")[0].strip() != "reader":
            raise UsageError(
                f"-c {text}: only how exposures are read can be set here, as "
                "-c reader.zero_point=27.0; the rest is set in assemble"
            )
    return read_settings(overrides=settings).reader


def _warp(options: argparse.Namespace) -> int:
    if options.seed is not None and not options.noise_realizations:
        raise UsageError("--seed is that of the noise; give --noise-realizations N too")
    settings = read_warp_settings(options)
    mapping = _read_mapping(options.settings)
    grid = target_grid(options)
    options.written = False
    written, _ = find_and_warp(
        options.exposures,
        grid,
        settings,
        options.output,
        say=(lambda line: None) if options.quiet else say,
        begin=lambda targets: note_kept(options, targets),
        mapping=mapping,
        overwrite=options.overwrite,
    )
    if not options.quiet:
        say(
            f"{len(written)} warps of {grid.shape[0]} x {grid.shape[1]} pixels "
            f"in {options.output}"
        )
    return DONE
