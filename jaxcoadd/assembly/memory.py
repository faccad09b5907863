"""How much memory a run takes, and how to divide it so that it takes no more.

The numbers were measured as the peak of the resident memory, step by step, and
rounded up.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from jaxcoadd.assembly.values import SettingsError

MEBIBYTE = 1 << 20

BESIDE_BYTES = 400 * MEBIBYTE
"""What a run may take beside the memory that it is given: Python, JAX, functions."""

READ_RUNTIME_BYTES = 350 * MEBIBYTE
"""What Python and JAX take, beside pixels, until the first subregion is stacked."""

RUNTIME_BYTES = 580 * MEBIBYTE
"""What they and the compiled functions take from then on."""

COMPILE_BYTES = 5 * MEBIBYTE
"""What compilation takes for each warp, up to `COMPILE_WARPS` of them."""

COMPILE_WARPS = 100

KEPT_BYTES = 12
"""Bytes a pixel of a warp that is kept: image, variance and mask."""

SUBREGION_BYTES = 44
"""Bytes a pixel of a warp in a subregion: its planes, a copy, and those read ahead."""

READ_BYTES = 44
"""Bytes a pixel while one warp is weighed and the next one is read."""

RESULT_BYTES = 16
"""Bytes a pixel of the coadd while subregions are stacked."""

COMPARE_BYTES = 170
"""Bytes a pixel of the coadd while one warp is compared with the others."""

CLIP_BYTES = 96
"""Bytes a pixel of the coadd while the difference of two means is searched."""

WRITE_BYTES = 36
"""Bytes a pixel of the coadd while it is written and read back."""

SLACK = 1.25
"""Freed memory that has not gone back to the system, as a factor for the pixels.

Not for those that are kept: they are one piece.
"""

LARGEST_SUBREGION = 256 * MEBIBYTE
"""Larger subregions save nothing where the warps are in memory."""

FEWEST_ROWS = 64
"""The warps are kept only if subregions of so many rows fit beside them."""

UNKNOWN_MEMORY = 4 << 30
"""Bytes where the system does not say."""

_GROUPS = Path("/sys/fs/cgroup")


class Division(NamedTuple):
    """How the memory of a run is divided.

    Parameters
    ----------
    rows
        Rows that are stacked at a time.
    keep
        Whether the warps stay in memory, so that each file is read once.
    memory
        Bytes that the run will take, by estimate.
    """

    rows: int
    keep: bool
    memory: int


def divide_memory(
    shape: tuple[int, int],
    n_warps: int,
    *,
    memory: int | None = None,
    rows: int | None = None,
    search: int = 0,
) -> Division:
    """Choose the rows of a subregion, and whether to keep the warps in memory.

    Parameters
    ----------
    shape
        Rows and columns of the coadd.
    n_warps
        How many warps there are.
    memory
        Bytes for pixels: the run takes `BESIDE_BYTES` more at most. None: half of what
        the machine has is enough for all.
    rows
        Rows of a subregion that are wished for.
    search
        Bytes a pixel of the coadd while artifacts are searched for.

    Raises
    ------
    SettingsError
        The memory is not enough for one row of every warp.
    """
    height, width = shape
    pixels = height * width
    wide = 2 if jax.config.read("jax_enable_x64") else 1
    runtime = RUNTIME_BYTES + COMPILE_BYTES * min(n_warps, COMPILE_WARPS)
    row = width * wide * (n_warps * SUBREGION_BYTES + READ_BYTES)
    kept = n_warps * pixels * KEPT_BYTES
    weighing = pixels * READ_BYTES * wide
    stacking = pixels * RESULT_BYTES * wide
    writing = pixels * WRITE_BYTES * wide
    searching = pixels * search * wide
    given = memory + BESIDE_BYTES if memory else machine_memory() // 2

    def peak(kept: int, rows: int) -> int:
        most = max(stacking + rows * row, writing - kept, searching)
        return kept + max(
            READ_RUNTIME_BYTES + int(weighing * SLACK), runtime + int(most * SLACK)
        )

    least = peak(0, 1)
    if given < least:
        pixels_only = max(given - BESIDE_BYTES, 0) // MEBIBYTE
        raise SettingsError(
            f"memory of {pixels_only} MiB is too little for {n_warps} warps of "
            f"{height} x {width} pixels; give at least --memory "
            f"{(least - BESIDE_BYTES) // MEBIBYTE + 1}MB"
        )
    few = min(height, FEWEST_ROWS)
    keep = peak(kept, few) <= given
    kept *= keep
    most = (int((given - runtime - kept) / SLACK) - stacking) // row
    usual = min(most, max(few, LARGEST_SUBREGION // row)) if keep else most
    usual = min(usual, height)
    # Subregions of one size, for the last one takes as long as the others.
    even = -(-height // -(-height // usual))
    rows = min(rows or even, most, height)
    return Division(rows, keep, peak(kept, rows))


def machine_memory() -> int:
    """Return the bytes that this process may have: the machine's, or its share."""
    return min(_physical_memory(), *_shares(Path("/proc/self/cgroup"), _GROUPS))


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MEMORY


def _shares(membership: Path, groups: Path) -> Iterator[int]:
    """Give the limits of the control groups that this process is in, if any."""
    yield sys.maxsize
    for line in _text(membership).splitlines():
        _, controllers, own = line.split(":", 2)
        newer = controllers == ""
        if not newer and "memory" not in controllers.split(","):
            continue
        root = groups if newer else groups / "memory"
        name = "memory.max" if newer else "memory.limit_in_bytes"
        place = root / own.strip("/")
        for folder in (place, *place.parents):
            limit = _text(folder / name).strip()
            if limit.isdecimal() and int(limit) > 0:
                yield int(limit)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
