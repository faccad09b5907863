"""The ``jaxcoadd`` command. What a subcommand needs is imported when it runs."""

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from jaxcoadd.commands.assembling import add_assemble
from jaxcoadd.commands.sky_maps import add_skymap
from jaxcoadd.commands.terminal import (
    DONE,
    EXIT_CODES,
    INPUT,
    MEMORY,
    OUTPUT,
    USAGE,
    UsageError,
    say,
    stamp,
    warn,
)
from jaxcoadd.commands.warping import add_warp

_SIGNALLED = 128


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
    from jaxcoadd.warping import MissingExtraError

    kinds = {
        SettingsError: USAGE,
        MissingExtraError: USAGE,
        InputError: INPUT,
        OutputError: OUTPUT,
    }
    return next((c for kind, c in kinds.items() if isinstance(error, kind)), None)


def _fate(options: argparse.Namespace) -> str:
    """Say what has become of the output of a run that ended early."""
    if not hasattr(options, "written"):
        return ""
    if options.written:
        return f"; {options.output} is written"
    warps = getattr(options, "kept", {})
    new = [path for path, before in warps.items() if stamp(path) not in (None, before)]
    if new:
        return f"; all that is written are {len(new)} warps in {new[0].parent}"
    return "; nothing was written"


def _fail(code: int, message: str) -> int:
    warn(message)
    return code


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
    add_assemble(commands)
    add_warp(commands)
    demo = commands.add_parser("demo", help="coadd the sample data and draw pictures")
    demo.add_argument(
        "folder",
        nargs="?",
        default="jaxcoadd-demo",
        metavar="DIR",
        help="where to write; %(default)s unless given",
    )
    demo.set_defaults(run=_demo)
    add_skymap(commands)
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

        say(f"jaxcoadd {version('jaxcoadd')}")
        parser.exit()


def _demo(options: argparse.Namespace) -> int:
    from jaxcoadd.demo import run_demo

    run_demo(options.folder, say)
    return DONE


def _inspect(options: argparse.Namespace) -> int:
    from jaxcoadd.assembly import report

    found = report.describe_file(options.file)
    say(report.as_json(found) if options.json else report.as_lines(found))
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    from jaxcoadd.doctor import check_installation

    return DONE if check_installation(say) else USAGE


if __name__ == "__main__":
    sys.exit(main())
