"""The ``jaxcoadd`` command. What a subcommand needs is imported when it runs."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

DONE, USAGE, INPUT, OUTPUT, MEMORY, INTERRUPTED = 0, 2, 3, 4, 5, 130
EXIT_CODES = (
    "exit codes: 0 done, 2 usage or configuration, 3 input refused, "
    "4 output not written, 5 out of memory, 130 interrupted"
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _make_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted; nothing was written")
    except MemoryError:
        return _fail(MEMORY, "out of memory; give less with --memory")
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        return _fail(code, str(error))


def _exit_code(error: Exception) -> int | None:
    """Return the code of an error that a user can mend; None for one of ours."""
    from jaxcoadd.assembly import SettingsError
    from jaxcoadd.io import InputError, OutputError

    kinds = ((SettingsError, USAGE), (InputError, INPUT), (OutputError, OUTPUT))
    for kind, code in kinds:
        if isinstance(error, kind):
            return code
    return MEMORY if "RESOURCE_EXHAUSTED" in str(error) else None


def _fail(code: int, message: str) -> int:
    print(f"jaxcoadd: {message}", file=sys.stderr)
    return code


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxcoadd",
        description="Turn aligned astronomical images into one deep image.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_assemble(commands)
    demo = commands.add_parser("demo", help="coadd the sample data and draw pictures")
    demo.add_argument("folder", nargs="?", default="jaxcoadd-demo", metavar="DIR")
    demo.set_defaults(run=_demo)
    inspect = commands.add_parser("inspect", help="say what a warp or coadd holds")
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)
    doctor = commands.add_parser("doctor", help="check the installation")
    doctor.set_defaults(run=_doctor)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        print(f"jaxcoadd {version('jaxcoadd')}")
        parser.exit()


def _add_assemble(commands) -> None:
    parser = commands.add_parser(
        "assemble",
        help="coadd warps from FITS files",
        description="Coadd warps that share one grid.",
        epilog=EXIT_CODES,
    )
    add = parser.add_argument
    add("warps", nargs="+", metavar="WARP", help="FITS files on one grid")
    add("--output", required=True, metavar="FILE", help="the coadd to write")
    add("--config", metavar="FILE", help="settings in TOML")
    add(
        "-c",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, by our name or LSST's: -c statistic=MEANCLIP",
    )
    add("--bright-objects", metavar="FILE", help="circles and boxes to flag")
    add("--memory", type=_bytes, metavar="2GB", help="memory to use at most")
    add("--strict", action="store_true", help="refuse the run if a warp is refused")
    add("--min-inputs", type=int, default=1, metavar="N", help="warps needed")
    add(
        "--allow-empty",
        action="store_true",
        help="write a coadd without data where no warp can be used",
    )
    add("--overwrite", action="store_true", help="replace the output")
    add("--dry-run", action="store_true", help="print the plan and stop")
    add("--json", action="store_true", help="print the plan or the result as JSON")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="errors only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="every input")
    parser.set_defaults(run=_assemble)


def _bytes(text: str) -> int:
    """Read an amount of memory: 800MB, 2G, 1.5GiB."""
    number = text.upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in "KMGT" else ""
    try:
        amount = float(number.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        amount = 0
    if not 0 < amount < 1 << 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount as 800MB or 2GB")
    return int(amount)


def _assemble(options: argparse.Namespace) -> int:
    from jaxcoadd.assembly import report
    from jaxcoadd.assembly.settings import read_settings

    settings = read_settings(options.config, options.settings)
    plan = _plan(options, settings)
    say = _talker(options)
    for item in plan.inputs:
        if item.skipped:
            _warn(f"left out: {item.skipped}")
    if options.dry_run:
        print(report.plan_as_json(plan) if options.json else report.plan_as_text(plan))
        return DONE
    say(report.plan_in_a_line(plan))
    result = _run(options, settings, plan)
    if options.json:
        print(json.dumps(report.result_as_dict(result, options.output), indent=2))
    else:
        say(report.result_as_text(result, options.output, every=options.verbose))
    return DONE


def _plan(options, settings):
    from jaxcoadd.assembly import make_plan
    from jaxcoadd.io import InputError, check_output

    if not options.dry_run:
        check_output(options.output, overwrite=options.overwrite)
    plan = make_plan(options.warps, settings, memory=options.memory)
    skipped = [item.skipped for item in plan.inputs if item.skipped]
    if options.strict and skipped:
        raise InputError(skipped[0])
    return plan


def _run(options, settings, plan):
    """Assemble and write, with a progress bar."""
    from jaxcoadd.assembly import assemble
    from jaxcoadd.assembly.progress import show_progress
    from jaxcoadd.io import write_coadd
    from jaxcoadd.io import read_bright_regions

    regions = ()
    if options.bright_objects:
        regions = read_bright_regions(options.bright_objects, plan.grid)
    with show_progress(quiet=options.quiet or options.json) as progress:
        result = assemble(
            plan,
            settings,
            bright_objects=regions,
            min_inputs=0 if options.allow_empty else options.min_inputs,
            strict=options.strict,
            progress=progress,
        )
        early = {item.skipped for item in plan.inputs}
        for reason in result.inputs["skipped"]:
            if reason and reason not in early:
                _warn(f"left out: {reason}")
        write_coadd(
            options.output,
            result.coadd,
            inputs=result.inputs,
            config=settings.as_text(),
            timings=result.timings,
            cards=result.cards,
            overwrite=options.overwrite,
        )
    return result


def _talker(options) -> Callable[[str], None]:
    silent = options.quiet or options.json
    return (lambda text: None) if silent else print


def _warn(message: str) -> None:
    print(f"jaxcoadd: {message}", file=sys.stderr)


def _demo(options: argparse.Namespace) -> int:
    from jaxcoadd.demo import run_demo

    run_demo(options.folder)
    return DONE


def _inspect(options: argparse.Namespace) -> int:
    from jaxcoadd.assembly import report

    found = report.describe_file(options.file)
    print(json.dumps(found, indent=2) if options.json else report.as_lines(found))
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    from jaxcoadd.assembly.doctor import check_installation

    return DONE if check_installation() else USAGE


if __name__ == "__main__":
    sys.exit(main())
