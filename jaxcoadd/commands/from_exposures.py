"""The part of ``assemble`` that begins with exposures, and what it adds to a coadd."""

import argparse
import contextlib
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcoadd.commands.artifacts import make_partners
from jaxcoadd.commands.grids import add_grid_options, target_grid
from jaxcoadd.commands.terminal import UsageError, check_not_read, say, warn
from jaxcoadd.commands.warping import (
    add_warp_options,
    find_and_warp,
    note_kept,
    read_warp_settings,
)

if TYPE_CHECKING:
    from jaxcoadd.assembly import Assembled, Plan, Settings
    from jaxcoadd.inputs import CoaddInputs
    from jaxcoadd.io import Grid
    from jaxcoadd.warping import WarpedVisit

_HEALSPARSE_SUFFIXES = (".hs", ".hsp")


def add_exposure_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser, as a group."""
    group = parser.add_argument_group("from exposures on the detectors' pixels")
    add = group.add_argument
    add(
        "--from-exposures",
        metavar="DIR",
        help="warp the FITS files of a folder first, in place of warps",
    )
    add(
        "--keep-warps",
        metavar="DIR",
        help="a folder for these warps; they are removed unless given",
    )
    add(
        "--input-map",
        metavar="FILE",
        help="also write which exposures are where: on the sky if the name ends in "
        ".hs or .hsp, else an image of bits",
    )
    add_grid_options(group)
    add_warp_options(group)


def check_exposure_options(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and outputs that cannot be written."""
    if bool(options.warps) == bool(options.from_exposures):
        raise UsageError("give either warps, or exposures by --from-exposures DIR")
    if options.from_exposures and options.dry_run:
        raise UsageError(
            "--dry-run does not go with --from-exposures, whose warps are not made yet"
        )
    if options.input_map:
        _check_input_map(options)


def _check_input_map(options: argparse.Namespace) -> None:
    from jaxcoadd.inputs.input_map import import_healsparse
    from jaxcoadd.io import check_output

    if not options.from_exposures:
        raise UsageError(
            "--input-map is a map of exposures; give them by --from-exposures DIR"
        )
    path = check_output(options.input_map, overwrite=options.overwrite)
    if path == Path(options.output).resolve():
        raise UsageError(
            f"--input-map and --output are one file, {options.output}; name two"
        )
    if options.input_map.endswith(_HEALSPARSE_SUFFIXES):
        try:
            import_healsparse()
        except ImportError as error:
            raise UsageError(
                f"{error}; or name a file .fits, for an image of bits"
            ) from error


def make_warps(
    options: argparse.Namespace,
    settings: "Settings",
    stack: contextlib.ExitStack,
) -> "Settings":
    """Make the warps of a run, in a folder that is removed at the end.

    Their files become `options.warps`, and what each is made of `options.visits`. What
    the method of the run needs beside them is made too.
    """
    from jaxcoadd.io import InputError, check_output
    from jaxcoadd.io.layouts import fits_files
    from jaxcoadd.warping import NothingWarpedError

    check_output(options.output, overwrite=options.overwrite)
    folder = Path(options.from_exposures)
    names = fits_files(folder)
    if not names:
        raise InputError(f"{folder} holds no FITS files; name the folder of exposures")
    grid = target_grid(options)
    target = options.keep_warps
    if target is None:
        near = Path(options.output).absolute().parent
        target = stack.enter_context(
            tempfile.TemporaryDirectory(prefix=".jaxcoadd-", dir=near)
        )
    check_not_read(options.output, names)
    if options.input_map:
        check_not_read(options.input_map, names, "--input-map")

    def begin(targets):
        if options.keep_warps is not None:
            note_kept(options, targets)

    try:
        written, options.left_out = find_and_warp(
            names,
            grid,
            read_warp_settings(options),
            target,
            mapping=settings.reader,
            begin=begin,
            say=say if options.verbose else (lambda line: None),
            strict=options.strict,
            compress=options.keep_warps is not None,
            overwrite=options.overwrite,
        )
    except NothingWarpedError as error:
        if not options.allow_empty:
            raise
        warn(f"note: {error}; the coadd is without data")
        written, options.left_out = [], error.skipped
    options.warps = [str(one.path) for one in written]
    options.visits = {str(one.path): one.made_of for one in written}
    return make_partners(options, settings, stack, names, list(options.visits.values()))


def plan_warps(options: argparse.Namespace, settings: "Settings") -> "Plan":
    """Plan the coadd of the warps that were made, if any was."""
    from jaxcoadd.assembly import Input, empty_plan, make_plan

    if options.warps:
        plan = make_plan(
            options.warps,
            settings,
            matched=options.psf_matched,
            memory=options.memory,
        )
    else:
        plan = empty_plan(target_grid(options), settings)
    skipped = tuple(Input(one.path, skipped=one.reason) for one in options.left_out)
    return dataclasses.replace(plan, unwarped=skipped)


@dataclasses.dataclass(frozen=True, eq=False)
class UsedVisits:
    """The visits that are in a coadd.

    Parameters
    ----------
    paths, weights, made_of
        Of each: the file of its warp, its weight, and what it is made of.
    inputs
        Their rows in the tables of the coadd.
    grid
        Of the coadd and of the warps.
    """

    paths: Sequence[str]
    weights: Sequence[float]
    made_of: "Sequence[WarpedVisit]"
    inputs: "CoaddInputs"
    grid: "Grid"


def used_visits(options: argparse.Namespace, result: "Assembled") -> UsedVisits:
    """Return the visits that are in the coadd of a run."""
    import numpy as np

    from jaxcoadd.assembly.exposure_inputs import gather_inputs

    rows = result.inputs[result.inputs["skipped"] == ""]
    paths = np.asarray(rows["file"]).tolist()
    weights = np.asarray(rows["weight"]).tolist()
    made_of = [options.visits[path] for path in paths]
    grid = result.coadd.grid
    inputs = gather_inputs(made_of, weights, grid)
    return UsedVisits(paths, weights, made_of, inputs, grid)


def exposure_hdus(options: argparse.Namespace, used: UsedVisits) -> tuple:
    """Return the tables of the exposures, and the point-spread function."""
    from jaxcoadd.assembly.exposure_inputs import input_hdus
    from jaxcoadd.warping.settings import kernel_of

    return input_hdus(used.inputs, used.grid, kernel_of(options.kernel))


def exposure_images(used: UsedVisits) -> dict[str, Any]:
    """Return the image of masked fractions, by its name."""
    from jaxcoadd.assembly.exposure_maps import coadd_masked_fraction
    from jaxcoadd.warping.companions import MASKED_FRACTION

    fraction = coadd_masked_fraction(used.paths, used.weights, used.grid.shape)
    return {MASKED_FRACTION: fraction}


def write_exposure_map(
    options: argparse.Namespace, settings: "Settings", used: UsedVisits
) -> None:
    """Write the map of the exposures, if it is asked for."""
    from jaxcoadd.assembly.exposure_inputs import visit_numbers
    from jaxcoadd.assembly.exposure_maps import bad_pixels, map_input_bits, map_inputs
    from jaxcoadd.io import write_input_bits, write_input_map

    path, overwrite = options.input_map, options.overwrite
    if not path:
        return
    if not used.inputs.detectors:
        warn(f"note: {path} is not written, for the coadd has no exposures")
        return
    bad = bad_pixels(visit_numbers(used.made_of), used.paths, settings)
    if path.endswith(_HEALSPARSE_SUFFIXES):
        found = map_inputs(used.inputs, used.grid, bad)
        write_input_map(path, found, overwrite=overwrite)
        return
    bits = map_input_bits(used.inputs, used.grid, bad)
    write_input_bits(path, bits, used.inputs.detectors, used.grid, overwrite=overwrite)


def name_exposures(options: argparse.Namespace, files: Any) -> list[str]:
    """Name the exposures of warps that are removed, in place of these."""
    return [
        ", ".join(str(one.path) for one in options.visits[file].visit.exposures)
        if file in options.visits
        else file
        for file in map(str, files)
    ]
