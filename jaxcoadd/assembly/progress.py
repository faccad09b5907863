"""A progress bar on a terminal, silence elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MEGABYTE = 1e6


@contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far a run is, with its rate and the time left.

    Yields
    ------
    Callable
        To be told what is being done, and the bytes that are done, of how many.

    Notes
    -----
    Without the extra ``[cli]`` there is a plain line in place of the bar.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    try:
        import rich.progress as bars
    except ImportError:
        yield _PlainLine().update
        print(file=sys.stderr)
        return
    import rich.console

    columns = (
        bars.TextColumn("{task.description:8}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    console = rich.console.Console(stderr=True)
    with bars.Progress(*columns, console=console) as bar:
        task = bar.add_task("weigh", total=None)

        def update(what: str, done: int, total: int) -> None:
            finished = done >= total
            bar.update(
                task,
                description="finish" if finished else what,
                completed=done,
                total=total,
            )

        yield update


class _PlainLine:
    """One line that is written anew, for a terminal without rich."""

    def __init__(self):
        self.start = time.monotonic()

    def update(self, what: str, done: int, total: int) -> None:
        rate = done / max(time.monotonic() - self.start, 1e-3)
        left = (total - done) / max(rate, 1)
        line = (
            f"\r{what}: {done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB, "
            f"{rate / MEGABYTE:.0f} MB/s, {left:.0f} s left  "
        )
        print(line, end="", file=sys.stderr, flush=True)
