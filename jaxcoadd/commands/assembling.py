"""The subcommand ``assemble``: from warps to a coadd."""

import argparse
import contextlib
import dataclasses
import os
from typing import Any

from jaxcoadd.commands.artifacts import (
    add_artifact_options,
    check_artifact_options,
    choose_method,
    partner_files,
    tell_findings,
    tell_partners,
    write_masks,
)
from jaxcoadd.commands.from_exposures import (
    add_exposure_options,
    check_exposure_options,
    exposure_hdus,
    exposure_images,
    make_warps,
    name_exposures,
    plan_warps,
    used_visits,
    write_exposure_map,
)
from jaxcoadd.commands.terminal import (
    DONE,
    EXIT_CODES,
    UsageError,
    check_not_read,
    say,
    warn,
)
from jaxcoadd.commands.warping import add_setting_option

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add_assemble(commands: Any) -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "assemble",
        help="coadd warps from FITS files",
        description="Coadd warps that share one grid.",
        epilog=EXIT_CODES,
    )
    add = parser.add_argument
    add("warps", nargs="*", metavar="WARP", help="FITS files on one grid")
    add("--output", required=True, metavar="FILE", help="the coadd to write")
    add("--config", metavar="FILE", help="settings in TOML")
    add_setting_option(
        parser, "one setting, by our name or LSST's: -c statistic=MEANCLIP"
    )
    add("--bright-objects", metavar="FILE", help="circles and boxes to flag")
    add(
        "--memory",
        type=read_bytes,
        metavar="2GB",
        help="for pixels at most, 0.4 GB come to that; half of the machine's in all",
    )
    add(
        "-j",
        "--jobs",
        type=read_count,
        metavar="N",
        help="processor cores to stack on; all unless given",
    )
    add("--strict", action="store_true", help="refuse the run if a warp is refused")
    add(
        "--min-inputs",
        type=read_count,
        default=1,
        metavar="N",
        help="refuse the run if fewer warps can be used; 1 unless given",
    )
    add(
        "--allow-empty",
        action="store_true",
        help="write a coadd without data where no warp can be used",
    )
    _add_outputs(parser)
    add_artifact_options(parser)
    add_exposure_options(parser)
    parser.set_defaults(run=_assemble)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--overwrite", action="store_true", help="replace the output")
    add(
        "--no-compression",
        dest="compress",
        action="store_false",
        help="write the images as they are: faster, and a larger file",
    )
    add("--dry-run", action="store_true", help="print the plan and stop")
    add("--json", action="store_true", help="print the plan or the result as JSON")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="say only what is left out or wrong"
    )
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="say every input"
    )


def read_bytes(text: str) -> int:
    """Read an amount of memory: 800MB, 2G, 1.5GiB."""
    number = text.upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in "KMGT" else ""
    try:
        amount = float(number.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        amount = 0
    if not 1 <= amount < 1 << 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount as 800MB or 2GB")
    return int(amount)


def read_count(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _assemble(options: argparse.Namespace) -> int:
    options.written = False
    from jaxcoadd.assembly.settings import read_settings

    _check_names(options)
    check_exposure_options(options)
    choose_method(options)
    check_artifact_options(options)
    settings = read_settings(
        options.config,
        options.settings,
        method=options.method,
        version=options.method_version,
    )
    _use_cores(options.jobs)
    if not options.from_exposures:
        _check_arguments(options)
        return _assemble_warps(options, settings)
    with contextlib.ExitStack() as stack:
        settings = make_warps(options, settings, stack)
        _check_arguments(options)
        # The warps are our own files: how to read the exposures is no matter of theirs.
        own = dataclasses.replace(settings, reader=None)
        return _assemble_warps(options, own)


def _assemble_warps(options: argparse.Namespace, settings) -> int:
    from jaxcoadd.assembly import report

    plan, regions = _plan(options, settings)
    loud = not (options.quiet or options.json)
    if options.dry_run:
        as_text = report.plan_as_text(plan)
        say(report.as_json(report.plan_as_dict(plan)) if options.json else as_text)
        return DONE
    if loud:
        say(report.plan_in_a_line(plan))
    result = _run(options, settings, plan, regions)
    if options.json:
        say(report.as_json(report.result_as_dict(result, options.output)))
    elif loud:
        say(report.result_as_text(result, options.output, every=options.verbose))
    return DONE


def _check_names(options: argparse.Namespace) -> None:
    """Refuse outputs that are named as if they were compressed as a whole."""
    for option, name in {
        "--output": options.output,
        "--input-map": options.input_map or "",
    }.items():
        if name.lower().endswith((".gz", ".bz2", ".xz", ".zip", ".fz")):
            raise UsageError(
                f"{option} {name}: what is written is compressed inside; name it .fits"
            )


def _check_arguments(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong without opening a file."""
    given = 0 if options.from_exposures else len(options.warps)
    if given and options.min_inputs > given:
        raise UsageError(
            f"--min-inputs is {options.min_inputs} and {given} warps are given; give "
            "more warps or ask for fewer"
        )
    others = [*options.warps, *options.psf_matched]
    others += [options.config, options.bright_objects]
    check_not_read(options.output, [path for path in others if path])


def _plan(options: argparse.Namespace, settings):
    """Find out what the run will do, say what is odd about it, and check the output."""
    from jaxcoadd.assembly import NoInputsError, make_plan, notices
    from jaxcoadd.assembly.checks import check_enough
    from jaxcoadd.io import OutputError, check_output, read_bright_regions

    try:
        check_output(options.output, overwrite=options.overwrite)
    except OutputError as error:
        if not options.dry_run:
            raise
        warn(f"the run itself would be refused: {error}")
    try:
        if options.from_exposures:
            plan = plan_warps(options, settings)
        else:
            plan = make_plan(
                options.warps,
                settings,
                matched=partner_files(options),
                memory=options.memory,
            )
    except NoInputsError as error:
        _warn_of_skipped(error.inputs)
        raise
    _warn_of_skipped(plan.inputs)
    files = [*plan.files, *(plan.compared.files if plan.compared else ())]
    check_not_read(options.output, [p for file in files for p in file.paths])
    for notice in notices(plan):
        warn(f"note: {notice}")
    tell_partners(options, settings, plan)
    least = 0 if options.allow_empty else options.min_inputs
    check_enough(plan.inputs, min_inputs=least, strict=options.strict)
    if not options.bright_objects:
        return plan, ()
    return plan, read_bright_regions(options.bright_objects, plan.grid)


def _warn_of_skipped(inputs) -> None:
    for item in inputs:
        if item.skipped:
            warn(f"left out: {item.skipped}")


def _use_cores(number: int | None) -> None:
    """Make each core a device of JAX, which works on one tile of a device at a time."""
    import jax

    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    # Only before JAX has started, which in a process of its own it has not.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", number or cores or os.cpu_count() or 1)


def _run(options: argparse.Namespace, settings, plan, regions):
    """Assemble and write, with a progress bar."""
    from jaxcoadd.assembly import assemble
    from jaxcoadd.assembly.progress import show_progress
    from jaxcoadd.io import write_coadd

    with show_progress(quiet=options.quiet or options.json) as progress:
        result = assemble(
            plan,
            settings,
            bright_objects=regions,
            min_inputs=0 if options.allow_empty else options.min_inputs,
            strict=options.strict,
            progress=progress,
            warn=lambda reason: warn(f"left out: {reason}"),
        )
        tell_findings(result)
        others, images, used = (), {}, None
        if options.from_exposures:
            used = used_visits(options, result)
            others, images = exposure_hdus(options, used), exposure_images(used)
            if not options.keep_warps:
                result.inputs["file"] = name_exposures(options, result.inputs["file"])
        progress("write", plan.nbytes, plan.nbytes)
        write_coadd(
            options.output,
            result.coadd,
            inputs=result.inputs,
            config=settings.as_text(),
            timings=result.timings,
            cards=result.cards,
            images=images,
            others=others,
            compress=options.compress,
            overwrite=options.overwrite,
        )
        options.written = True
        write_masks(options, result)
        if used is not None:
            write_exposure_map(options, settings, used)
    return result
