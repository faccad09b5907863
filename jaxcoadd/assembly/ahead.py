"""Read what comes next while the present is computed."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield what a function reads for each item, in order, one item ahead.

    Parameters
    ----------
    read
        Called in a thread of its own, for one item after the other. What it raises
        comes up where its result would have come.
    items
        What to read.

    Notes
    -----
    Two results are in memory: the one that was yielded, and the next.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        waiting = None
        for item in items:
            ready, waiting = waiting, pool.submit(read, item)
            if ready is not None:
                yield ready.result()
                del ready
        if waiting is not None:
            yield waiting.result()
