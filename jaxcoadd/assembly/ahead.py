"""Read what comes next while the present is computed."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Yield what a function reads for each item, in order, one item ahead.

    Parameters
    ----------
    read
        Called in a thread of its own, for one item after the other. What it raises
        comes up where its result would have come. Warnings must be set up alike in
        both threads: their filters are those of the process.
    items
        What to read.

    Notes
    -----
    Two results are in memory at most: the one that was yielded, and the next. Who
    stops before the end waits for the read that has begun, and no other begins.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="read")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
