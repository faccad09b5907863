"""The ``jaxcoadd`` command. What a subcommand needs is imported when it runs."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

DONE, USAGE, INPUT, OUTPUT, MEMORY, INTERRUPTED = 0, 2, 3, 4, 5, 130
EXIT_CODES = (
    "exit codes: 0 done, 2 usage or configuration, 3 input refused, "
    "4 output not written, 5 out of memory, 129, 130 or 143 interrupted"
)
_SIGNALLED = 128
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class UsageError(ValueError):
    """Arguments that do not go together; one sentence says which."""


class Terminated(KeyboardInterrupt):
    """The system asks the process to end.

    Parameters
    ----------
    number
        The number of the signal.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        options = _make_parser().parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    with _ending_tidily():
        try:
            return options.run(options)
        except KeyboardInterrupt as stop:
            number = getattr(stop, "number", signal.SIGINT)
            return _fail(_SIGNALLED + number, f"interrupted{_fate(options)}")
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            memory = f"out of memory{_fate(options)}; give less with --memory"
            return _fail(code, memory if code == MEMORY else str(error))


@contextlib.contextmanager
def _ending_tidily() -> Iterator[None]:
    """Let the signals that end a process unwind it, so that no remains are left."""

    def stop(number, frame):
        raise Terminated(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # What is ignored, as by nohup, stays so.
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(error: Exception) -> int | None:
    """Return the code of an error that a user can mend; None for one of ours."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return MEMORY
    if isinstance(error, UsageError):
        return USAGE
    from jaxcoadd.assembly import SettingsError
    from jaxcoadd.io import InputError, OutputError

    kinds = ((SettingsError, USAGE), (InputError, INPUT), (OutputError, OUTPUT))
    for kind, code in kinds:
        if isinstance(error, kind):
            return code
    return None


def _fate(options: argparse.Namespace) -> str:
    """Say what has become of the output of a run that ended early."""
    written = getattr(options, "written", None)
    if written is None:
        return ""
    return f"; {options.output} is written" if written else "; nothing was written"


def _fail(code: int, message: str) -> int:
    _warn(message)
    return code


def _warn(message: str) -> None:
    _print(f"jaxcoadd: {message}", sys.stderr)


def _say(text: str) -> None:
    _print(text, sys.stdout)


def _print(text: str, stream: TextIO | None) -> None:
    """Print; where nobody reads any more, let all that follows go nowhere."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # Names of files may hold what is no text.
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text, file=stream, flush=True)
    except OSError:
        if stream is not None:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxcoadd",
        description="Turn aligned astronomical images into one deep image.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version and stop"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_assemble(commands)
    demo = commands.add_parser("demo", help="coadd the sample data and draw pictures")
    demo.add_argument(
        "folder",
        nargs="?",
        default="jaxcoadd-demo",
        metavar="DIR",
        help="where to write; %(default)s unless given",
    )
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
        from importlib.metadata import version

        _say(f"jaxcoadd {version('jaxcoadd')}")
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
    add(
        "--memory",
        type=_bytes,
        metavar="2GB",
        help="memory to use at most; half of the machine's unless given",
    )
    add(
        "-j",
        "--jobs",
        type=_count,
        metavar="N",
        help="processor cores to stack on; all unless given",
    )
    add("--strict", action="store_true", help="refuse the run if a warp is refused")
    add(
        "--min-inputs",
        type=_count,
        default=1,
        metavar="N",
        help="refuse the run if fewer warps can be used; 1 unless given",
    )
    add(
        "--allow-empty",
        action="store_true",
        help="write a coadd without data where no warp can be used",
    )
    add("--overwrite", action="store_true", help="replace the output")
    _add_reports(parser)
    parser.set_defaults(run=_assemble)


def _add_reports(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print the plan and stop")
    add("--json", action="store_true", help="print the plan or the result as JSON")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="say only what is left out or wrong"
    )
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="say every input"
    )


def _bytes(text: str) -> int:
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


def _count(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _assemble(options: argparse.Namespace) -> int:
    options.written = False
    _check_arguments(options)
    from jaxcoadd.assembly import report
    from jaxcoadd.assembly.settings import read_settings

    settings = read_settings(options.config, options.settings)
    plan, regions = _plan(options, settings)
    loud = not (options.quiet or options.json)
    if options.dry_run:
        as_text = report.plan_as_text(plan)
        _say(report.as_json(report.plan_as_dict(plan)) if options.json else as_text)
        return DONE
    if loud:
        _say(report.plan_in_a_line(plan))
    result = _run(options, settings, plan, regions)
    if options.json:
        _say(report.as_json(report.result_as_dict(result, options.output)))
    elif loud:
        _say(report.result_as_text(result, options.output, every=options.verbose))
    return DONE


def _check_arguments(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong without opening a file."""
    if options.min_inputs > len(options.warps):
        raise UsageError(
            f"--min-inputs is {options.min_inputs} and {len(options.warps)} warps are "
            "given; give more warps or ask for fewer"
        )
    if options.output.lower().endswith((".gz", ".bz2", ".xz", ".zip", ".fz")):
        raise UsageError(
            f"--output {options.output}: a coadd is compressed inside; name it .fits"
        )
    others = [*options.warps, options.config, options.bright_objects]
    _check_not_read(options.output, [path for path in others if path])


def _check_not_read(output: str, paths: Sequence[str | os.PathLike[str]]) -> None:
    """Refuse an output that is one of the inputs."""
    for path in paths:
        same = os.path.realpath(output) == os.path.realpath(path)
        with contextlib.suppress(OSError):
            same = same or os.path.samefile(output, path)
        if same:
            raise UsageError(
                f"--output {output} is an input of this run ({path}); name another file"
            )


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
        _warn(f"the run itself would be refused: {error}")
    try:
        plan = make_plan(options.warps, settings, memory=options.memory)
    except NoInputsError as error:
        _warn_of_skipped(error.inputs)
        raise
    _warn_of_skipped(plan.inputs)
    _check_not_read(options.output, [p for file in plan.files for p in file.paths])
    for notice in notices(plan):
        _warn(f"note: {notice}")
    least = 0 if options.allow_empty else options.min_inputs
    check_enough(plan.inputs, min_inputs=least, strict=options.strict)
    if not options.bright_objects:
        return plan, ()
    return plan, read_bright_regions(options.bright_objects, plan.grid)


def _warn_of_skipped(inputs) -> None:
    for item in inputs:
        if item.skipped:
            _warn(f"left out: {item.skipped}")


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
    _use_cores(options.jobs)
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
            warn=lambda reason: _warn(f"left out: {reason}"),
        )
        progress("write", plan.nbytes, plan.nbytes)
        write_coadd(
            options.output,
            result.coadd,
            inputs=result.inputs,
            config=settings.as_text(),
            timings=result.timings,
            cards=result.cards,
            overwrite=options.overwrite,
        )
        options.written = True
    return result


def _demo(options: argparse.Namespace) -> int:
    from jaxcoadd.demo import run_demo

    run_demo(options.folder, _say)
    return DONE


def _inspect(options: argparse.Namespace) -> int:
    from jaxcoadd.assembly import report

    found = report.describe_file(options.file)
    _say(report.as_json(found) if options.json else report.as_lines(found))
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    from jaxcoadd.doctor import check_installation

    return DONE if check_installation(_say) else USAGE


if __name__ == "__main__":
    sys.exit(main())
