"""A progress bar on a terminal, silence elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

MEGABYTE = 1e6

Update = Callable[[str, int, int], None]


@contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Update]:
    """Show how far a run is, with its rate and the time left.

    Yields
    ------
    Callable
        To be told what is being done, and the bytes that are done, of how many.

    Notes
    -----
    Without the extra ``[cli]`` there is a plain line in place of the bar. A terminal
    that is closed meanwhile ends the bar and not the run.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    update, stop = _make_bar()
    try:
        yield update
    finally:
        with suppress(OSError):
            stop()


def _make_bar() -> tuple[Update, Callable[[], None]]:
    """Return what updates a bar, and what ends it."""
    try:
        import rich.console
        import rich.progress as bars
    except ImportError:
        line = _PlainLine()
        return line.update, line.end
    columns = (
        bars.TextColumn("{task.description:6}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    bar = bars.Progress(*columns, console=rich.console.Console(stderr=True))
    task = bar.add_task("weigh", total=None)

    def update(what: str, done: int, total: int) -> None:
        with suppress(OSError):
            bar.update(task, description=what, completed=done, total=total)

    with suppress(OSError):
        bar.start()
    return update, bar.stop


class _PlainLine:
    """One line that is written anew, for a terminal without rich."""

    def __init__(self):
        self.start = time.monotonic()

    def update(self, what: str, done: int, total: int) -> None:
        """Write the line."""
        rate = done / max(time.monotonic() - self.start, 1e-3)
        left = (total - done) / max(rate, 1)
        self._write(
            f"\r{what:6} {done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB, "
            f"{rate / MEGABYTE:.0f} MB/s, {left:.0f} s left  "
        )

    def end(self) -> None:
        """End the line."""
        self._write("\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)
