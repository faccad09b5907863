"""Sorting networks along the warps: exchanges of whole rows of pixels.

XLA sorts with a scalar comparator on a CPU; an exchange is a minimum and a maximum of
two rows, for many pixels at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Shaped

from jaxcoadd.arrays import PixelValues, Values
from jaxcoadd.stages import in_one_loop

UNROLLED = 100
"""Up to this number of warps the network is written out."""

BLOCK = 80
"""Most rows of a block, which a written-out network sorts."""

BLOCKS = 8
"""Most blocks; more rows are sorted a stage of the network at a time."""

Rows = Sequence[Shaped[Array, "*shape"]]


def sort_along_warps(values: Values, filler: float) -> list[PixelValues] | Values:
    """Sort the values of every pixel.

    Parameters
    ----------
    values
        (warp, pixel), none of them NaN.
    filler
        Not less than any value.

    Returns
    -------
    list or array
        Row k has the k-th smallest value of every pixel.
    """
    n = len(values)
    if n <= UNROLLED:
        return sort_rows(list(values))
    sort = _sort_blocks if n <= BLOCK * BLOCKS else _sort_staged
    return sort(values, filler)


def sort_rows(rows: Rows) -> list[Shaped[Array, "*shape"]]:
    """Sort by Batcher's odd-even merge sort, written out."""
    return _exchange(rows, _batcher_pairs(len(rows)))


def _in_order(a, b):
    """Return the smaller and the larger of numbers that are not NaN.

    A minimum would look for NaN: twice the instructions of a CPU.
    """
    swap = lax.lt(b, a)
    return lax.select(swap, b, a), lax.select(swap, a, b)


def _exchange(rows: Rows, pairs: Iterable[tuple[int, int]]):
    rows = list(rows)
    for low, high in pairs:
        rows[low], rows[high] = _in_order(rows[low], rows[high])
    return rows


def _batcher_stages(n: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the sorted blocks, and the strides at which they merge."""
    block = 1
    while block < n:
        stride = block
        while stride >= 1:
            yield block, stride
            stride //= 2
        block *= 2


def _batcher_pairs(n: int) -> Iterator[tuple[int, int]]:
    """Yield the exchanges of Batcher's odd-even merge sort for any n."""
    for block, stride in _batcher_stages(n):
        for low in range(stride % block, n - stride):
            is_lower = (low - stride % block) // stride % 2 == 0
            if is_lower and low // (2 * block) == (low + stride) // (2 * block):
                yield low, low + stride


def _sort_blocks(values, filler):
    """Sort blocks of rows, then merge two at a time, by a network of merges."""
    n, n_pixels = values.shape
    blocks = _power_of_two(-(-n // BLOCK))
    size = -(-n // blocks)
    array = _pad(values, blocks * size, filler).reshape(blocks, size, n_pixels)
    array = lax.map(lambda block: jnp.stack(in_one_loop(list(block), sort_rows)), array)
    at = np.arange(blocks)
    takes = []
    for order in _block_layers(blocks):
        takes.append(np.argsort(at)[order])
        at = order
    array = lax.scan(_merge_blocks, array, jnp.asarray(takes, jnp.int32))[0]
    return array[np.argsort(at)].reshape(blocks * size, n_pixels)[:n]


def _block_layers(blocks: int) -> Iterator[np.ndarray]:
    """Yield the layers of a bitonic network: its lower places, then the higher ones."""
    places = np.arange(blocks)
    merged = 2
    while merged <= blocks:
        # The first layer of a merge compares mirrored places.
        low = places[places % merged < merged // 2]
        yield np.concatenate([low, low + merged - 1 - 2 * (low % merged)])
        stride = merged // 4
        while stride >= 1:
            low = places[places // stride % 2 == 0]
            yield np.concatenate([low, low + stride])
            stride //= 2
        merged *= 2


def _merge_blocks(array, take):
    """Merge the first half of the blocks taken with the second, each with its own."""
    blocks, size, _ = array.shape
    first, second = take[: blocks // 2], take[blocks // 2 :]
    a, b = (jnp.take(array, half, axis=0, mode="clip") for half in (first, second))
    # Of two sorted blocks: the smaller values rise and fall, the larger ones fall and
    # rise. A bitonic network sorts both; what it lacks in size is in front or behind.
    pairs = [_in_order(a[:, i], b[:, size - 1 - i]) for i in range(size)]
    missing = _power_of_two(size) - size
    low = in_one_loop([pair[0] for pair in pairs], partial(_sort_bitonic, missing))
    high = in_one_loop([pair[1] for pair in pairs], partial(_sort_bitonic, 0))
    return jnp.concatenate([jnp.stack(low, axis=1), jnp.stack(high, axis=1)]), None


def _sort_bitonic(first: int, rows: Rows):
    """Sort rows that stand from a place on in a bitonic network."""
    size = _power_of_two(first + len(rows))
    pairs = []
    stride = size // 2
    while stride >= 1:
        lower = (i for i in range(size) if i // stride % 2 == 0)
        pairs += [(i - first, i + stride - first) for i in lower]
        stride //= 2
    return _exchange(rows, ((a, b) for a, b in pairs if 0 <= a and b < len(rows)))


def _sort_staged(values, filler):
    """Sort with the bitonic network, a whole stage at a time."""
    n, n_pixels = values.shape
    size = _power_of_two(n)
    array = _pad(values, size, filler)
    block = 2
    while block <= size:
        # The first stage of a merge compares mirrored places, the others equal ones.
        half = array.reshape(-1, 2, block // 2, n_pixels)
        low, high = _in_order(half[:, 0], half[:, 1, ::-1])
        array = jnp.stack([low, high[:, ::-1]], axis=1)
        array = lax.optimization_barrier(array)
        stride = block // 4
        while stride >= 1:
            half = array.reshape(-1, 2, stride, n_pixels)
            array = jnp.stack(_in_order(half[:, 0], half[:, 1]), axis=1)
            array = lax.optimization_barrier(array)
            stride //= 2
        block *= 2
    return array.reshape(size, n_pixels)[:n]


def _power_of_two(n: int) -> int:
    """Return the least power of two that is not less."""
    return 1 << (n - 1).bit_length()


def _pad(values, size, filler):
    rows = [(0, size - len(values)), (0, 0)]
    return jnp.pad(values, rows, constant_values=filler)
