"""What all subcommands share: exit codes, refusals, and printing."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TextIO

DONE, USAGE, INPUT, OUTPUT, MEMORY, INTERRUPTED = 0, 2, 3, 4, 5, 130
EXIT_CODES = (
    "exit codes: 0 done, 2 usage or configuration, 3 input refused, "
    "4 output not written, 5 out of memory, 129, 130 or 143 interrupted"
)


class UsageError(ValueError):
    """Arguments that do not go together; one sentence says which."""


def warn(message: str) -> None:
    """Print a line of what went wrong, or is odd."""
    _print(f"jaxcoadd: {message}", sys.stderr)


def say(text: str) -> None:
    """Print what was asked for."""
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


def stamp(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return what changes when a file is written; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def check_not_read(
    output: str, paths: Sequence[str | os.PathLike[str]], option: str = "--output"
) -> None:
    """Refuse an output that is one of the inputs."""
    for path in paths:
        same = os.path.realpath(output) == os.path.realpath(path)
        with contextlib.suppress(OSError):
            same = same or os.path.samefile(output, path)
        if same:
            raise UsageError(
                f"{option} {output} is an input of this run ({path}); name another file"
            )
