"""The default coadd's stacking for numba: tiles of pixels, a network, two passes."""

import numba
import numpy as np

LANES = 128
BIG = np.float32(np.finfo(np.float32).max)
BAD, SAT, NO_DATA = np.uint32(1 | 2 | 16 | 256), np.uint32(2), np.uint32(256)
REJECTED, CLIPPED, SENSOR_EDGE = np.uint32(1 << 11), np.uint32(1 << 12), 1 << 13
IQR_WIDTH = np.float32(3 * 0.741301109252802)


def _batcher_pairs(n):
    """List the exchanges of Batcher's odd-even merge sort."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


def stack_tiles(image, variance, mask, weight):
    """Stack (warp, pixel) planes; return image, variance, mask, n_image and weight."""
    pixels = image.shape[1]
    out = (
        np.empty(pixels, np.float32),
        np.empty(pixels, np.float32),
        np.empty(pixels, np.uint32),
        np.empty(pixels, np.int32),
        np.empty(pixels, np.float32),
    )
    _run(image, variance, mask, weight, _batcher_pairs(len(image)), *out)
    return out


@numba.njit(error_model="numpy")
def _run(image, variance, mask, weight, pairs, value, error, flags, number, total):
    depth, pixels = image.shape
    clean = np.empty((depth, LANES), np.float32)
    ordered = np.empty((depth, LANES), np.float32)
    sums = np.empty((8, LANES), np.float32)
    for start in range(0, pixels, LANES):
        lanes = min(LANES, pixels - start)
        tile = slice(start, start + lanes)
        _clean(image, mask, weight, clean, sums, flags[tile], number[tile], start)
        ordered[:] = clean
        _sort(ordered, pairs)
        _first_fence(ordered, sums, lanes)
        _second_fence(clean, weight, sums, lanes)
        _combine(
            clean, variance, weight, sums, value[tile], error[tile], total[tile], start
        )
        for lane in range(lanes):
            if sums[7, lane] < sums[0, lane]:
                flags[start + lane] |= CLIPPED


@numba.njit(error_model="numpy")
def _clean(image, mask, weight, clean, sums, flags, number, start):
    """Copy a tile, BIG where rejected; unite the masks and count."""
    depth, lanes = len(image), len(flags)
    sums[:] = 0
    every = np.zeros(lanes, np.uint32)
    flags[:] = 0
    number[:] = 0
    for k in range(depth):
        for lane in range(lanes):
            bits, x = mask[k, start + lane], image[k, start + lane]
            good = (bits & BAD) == 0
            used = good and np.abs(x) <= BIG
            clean[k, lane] = x if used else BIG
            every[lane] |= bits
            flags[lane] |= bits if used else np.uint32(0)
            number[lane] += np.int32(good)
            sums[0, lane] += np.float32(used)
            sums[1, lane] += weight[k] if used else np.float32(0)
            saturated = not used and (bits & SAT) != 0
            sums[2, lane] += weight[k] if saturated else np.float32(0)
    for lane in range(lanes):
        rejected = sums[2, lane]
        if rejected / (sums[1, lane] + rejected) > np.float32(0.1):
            flags[lane] |= SAT
        if sums[0, lane] == 0:
            flags[lane] = NO_DATA
        if sums[0, lane] < depth:
            bits = every[lane]
            flags[lane] |= REJECTED if bits & np.uint32(3) else np.uint32(0)
            flags[lane] |= np.uint32(SENSOR_EDGE if bits & np.uint32(16) else 0)


@numba.njit
def _sort(rows, pairs):
    for index in range(len(pairs)):
        low, high = rows[pairs[index, 0]], rows[pairs[index, 1]]
        for lane in range(LANES):
            a, b = low[lane], high[lane]
            low[lane] = b if b < a else a
            high[lane] = a if b < a else b


@numba.njit(error_model="numpy")
def _quantile(ordered, lane, count, fraction):
    rank = np.float32(fraction) * (count - np.float32(1))
    low = int(rank)
    share = rank - np.float32(low)
    below = ordered[low, lane]
    return below + share * (ordered[low + 1, lane] - below) if share > 0 else below


@numba.njit(error_model="numpy")
def _first_fence(ordered, sums, lanes):
    for lane in range(lanes):
        count = sums[0, lane]
        if count == 0:
            sums[3, lane] = sums[4, lane] = np.nan
            continue
        sums[3, lane] = _quantile(ordered, lane, count, 0.5)
        upper = _quantile(ordered, lane, count, 0.75)
        sums[4, lane] = IQR_WIDTH * (upper - _quantile(ordered, lane, count, 0.25))


@numba.njit(error_model="numpy")
def _second_fence(clean, weight, sums, lanes):
    moments = np.zeros((4, LANES), np.float32)
    for k in range(len(clean)):
        w = weight[k]
        for lane in range(lanes):
            d = clean[k, lane] - sums[3, lane]
            kept = np.abs(d) <= sums[4, lane]
            moments[0, lane] += w if kept else np.float32(0)
            moments[1, lane] += w * w if kept else np.float32(0)
            moments[2, lane] += w * d if kept else np.float32(0)
            moments[3, lane] += w * d * d if kept else np.float32(0)
    for lane in range(lanes):
        total = moments[0, lane]
        shift = moments[2, lane] / total
        spread = moments[3, lane] / total - shift * shift
        spread *= total * total / (total * total - moments[1, lane])
        sums[3, lane] += shift
        if sums[0, lane] > 1:
            sums[4, lane] = np.float32(3) * np.sqrt(max(spread, np.float32(0)))


@numba.njit(error_model="numpy")
def _combine(clean, variance, weight, sums, value, error, total, start):
    lanes = len(value)
    sums[5:] = 0
    total[:] = 0
    for k in range(len(clean)):
        w = weight[k]
        for lane in range(lanes):
            d = clean[k, lane] - sums[3, lane]
            kept = np.abs(d) <= sums[4, lane]
            total[lane] += w if kept else np.float32(0)
            sums[5, lane] += w * d if kept else np.float32(0)
            v = variance[k, start + lane]
            sums[6, lane] += w * w * v if kept else np.float32(0)
            sums[7, lane] += np.float32(kept)
    for lane in range(lanes):
        value[lane] = sums[3, lane] + sums[5, lane] / total[lane]
        error[lane] = sums[6, lane] / (total[lane] * total[lane])
