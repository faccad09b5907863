"""Measure what ways to coadd do to real frames: see README.md, "Real frames"."""

import numpy as np
from run import OURS, clipped_by, robust_scatter
from scipy import ndimage

import jaxcoadd as jc
from jaxcoadd.artifacts.alternatives import weigh_once
from jaxcoadd.artifacts.outliers import with_outliers
from jaxcoadd.coadds import coadd
from jaxcoadd.spans import SpanSet

ZERO_POINT = 25.0
"""That of the frames' star list."""
BAD = ("NO_DATA", "BAD", "SAT", "EDGE")
EVENT = (272.1, 226.9)
"""The microlensing event, x and y."""
HIGH = ("0091", "0098", "0100", "0103")
"""Frames in which it is high."""
APERTURE = 8
BINS = ((10, 12), (12, 13), (13, 14), (14, 15), (15, 17))
"""Of magnitudes."""
RING = (9, 14)
"""Where the background of the event is measured, pixels."""


class Frames:
    """The direct warps at one zero point, with weights, as plain arrays."""

    def __init__(self, direct):
        self.names = [name[8:12] for name in direct]
        self.config = jc.CoaddConfig(
            jc.Mean(), zero_point=ZERO_POINT, bad_planes=BAD, interpolate=False
        )
        stack = jc.stack_warps(list(direct.values()))
        self.stack, _ = weigh_once(jc.scale_zero_points(stack, ZERO_POINT), self.config)
        self.image = np.asarray(self.stack.image, float)
        self.variance = np.asarray(self.stack.variance, float)
        self.weight = np.asarray(self.stack.weight, float)
        bits = np.uint32(self.stack.planes.bits(BAD))
        good = (np.asarray(self.stack.mask) & bits) == 0
        self.usable = np.isfinite(self.image) & good
        saturated = np.uint32(self.stack.planes.bits(["SAT"]))
        self.saturated = ((np.asarray(self.stack.mask) & saturated) != 0).any(0)

    def clipped(self, among):
        """Return which values of some frames the clipped mean leaves out."""
        out = np.zeros(self.image.shape, bool)
        index = np.flatnonzero(among)
        part = jc.stack_warps(
            [
                jc.Warp(
                    self.stack.image[i],
                    self.stack.variance[i],
                    self.stack.mask[i],
                    planes=self.stack.planes,
                    zero_point=ZERO_POINT,
                )
                for i in index
            ]
        )
        weighed, _ = weigh_once(part, self.config)
        out[index] = clipped_by(jc.ClippedMean(), weighed, BAD)[: len(index)]
        return out

    def mean(self, kept):
        """Return the weighted mean of what is kept, and its variance."""
        weights = self.weight[:, None, None] * kept
        total = weights.sum(0)
        total = np.where(total > 0, total, np.nan)
        image = (weights * np.where(kept, self.image, 0)).sum(0) / total
        variance = (weights**2 * np.where(kept, self.variance, 0)).sum(0) / total**2
        return image, variance


class Way:
    """A way to coadd: its frames' pixels, what it leaves out, and its coadd."""

    def __init__(self, frames, usable, flags):
        self.flags = flags & usable
        self.usable = usable
        self.kept = usable & ~flags
        self.image, self.variance = frames.mean(self.kept)
        self.unclipped, _ = frames.mean(usable)


def ways(frames, artifacts):
    """Return every way by name.

    The numbers of frames differ: frames without a partner do not count for CompareWarp.
    """
    usable, regions = frames.usable, artifacts.alternatives()
    median = jc.CoaddConfig(
        jc.Median(), zero_point=ZERO_POINT, bad_planes=BAD, interpolate=False
    )
    reference = coadd(frames.stack, median)
    ours = with_outliers(frames.stack, regions, reference)
    partner = np.array([c is not None for c in artifacts.candidates])
    shape = frames.image.shape[1:]
    missing = np.stack([one.to_image(shape) for one in artifacts.no_data])
    there = usable & ~missing
    nothing = np.zeros_like(usable)
    found = {
        "mean": Way(frames, usable, nothing),
        "clipped mean": Way(frames, usable, frames.clipped(np.ones_like(partner))),
        "clipped mean of 19": Way(
            frames, usable & partner[:, None, None], frames.clipped(partner)
        ),
        "CompareWarp": Way(frames, there, as_flags(regions, shape)),
        OURS: Way(frames, there, as_flags(ours, shape)),
    }
    return found


def as_flags(alternatives, shape):
    """Return what is CLIPPED, (frame, y, x)."""
    return np.stack(
        [SpanSet().union(*some["CLIPPED"]).to_image(shape) for some in alternatives]
    )


def measure_event(frames, found):
    """Tell what each way does to the event: pixels left out, and its flux."""
    x, y = (round(value) for value in EVENT)
    box = np.s_[y - 4 : y + 5, x - 4 : x + 5]
    single = np.array([flux_at(image, x, y) for image in frames.image])
    fluxes = zip(frames.names, single, strict=True)
    result = {"frames": {name: round(flux) for name, flux in fluxes}}
    for name, way in found.items():
        lost = way.flags[(slice(None), *box)].sum((1, 2))
        weights = frames.weight * way.usable[(slice(None), *box)].any((1, 2))
        expected = float((weights * single).sum() / weights.sum())
        flux = flux_at(way.image, x, y)
        high = {n: int(lost[frames.names.index(n)]) for n in HIGH}
        result[name] = {
            "left_out": high,
            "left_out_of_others": int(lost.sum()) - sum(high.values()),
            "flux": round(flux),
            "expected": round(expected),
            "ratio": round(flux / expected, 4),
        }
    return result


def flux_at(image, x, y):
    """Return the flux in 9 x 9 pixels, less the median of a ring."""
    size = RING[1]
    near = image[y - size : y + size + 1, x - size : x + size + 1]
    distance = np.hypot(*np.mgrid[-size : size + 1, -size : size + 1])
    sky = np.median(near[(distance >= RING[0]) & (distance <= size)])
    return float((image[y - 4 : y + 5, x - 4 : x + 5] - sky).sum())


def jumped_trails(frames, stars, *, side=1, least=3.0):
    """Tell which pixels of frame 0098 trail a bright star, to its right or left."""
    n = frames.names.index("0098")
    others = np.arange(len(frames.names)) != n
    median = np.nanmedian(
        np.where(frames.usable[others], frames.image[others], np.nan), 0
    )
    excess = (frames.image[n] - median) / np.sqrt(frames.variance[n])
    near = np.zeros(median.shape, bool)
    height, width = near.shape
    for star in stars:
        x, y = round(star["x_warp"]), round(star["y_warp"])
        first, last = sorted((x + 3 * side, x + 25 * side))
        rows = np.s_[max(y - 2, 0) : min(y + 3, height)]
        near[rows, max(first, 0) : min(last + 1, width)] = True
    return near & frames.usable[n] & (excess > least)


def measure_trail(frames, found, name, where):
    """Tell how much of some pixels of a frame is left out, and what they add.

    What is left is the coadd less what it would be without that frame, and all else
    the same, in standard deviations of the coadd.
    """
    n = frames.names.index(name)
    where = where & frames.usable[n]
    result = {"pixels": int(where.sum())}
    for title, way in found.items():
        alone = way.kept.copy()
        alone[n] = False
        without, _ = frames.mean(alone)
        left = np.where(way.kept[n], way.image - without, 0) / np.sqrt(way.variance)
        left = left[where & np.isfinite(left)]
        result[title] = {
            "left_out": int((where & way.flags[n]).sum()),
            "without_partner": int((where & ~way.usable[n]).sum()),
            "left_mean": round(float(left.mean()), 3),
            "left_90": round(float(np.percentile(left, 90)), 3),
        }
    return result


def find_stars(frames, image, sigma):
    """Return x, y and flux of isolated stars that are saturated in no frame.

    Such a star is the largest value within its aperture, 20 standard deviations or
    more; on the aperture's rim nothing has more than a quarter of that.
    """
    sky = ndimage.median_filter(np.nan_to_num(image), 41)
    above = np.nan_to_num(image - sky)
    height, width = image.shape
    peaks = (above == ndimage.maximum_filter(above, 2 * APERTURE + 1)) & (
        above > 20 * sigma
    )
    stars = []
    for y, x in np.argwhere(peaks):
        inside = min(x, y) >= APERTURE and max(x, y) < min(height, width) - APERTURE
        if not inside or np.hypot(x - EVENT[0], y - EVENT[1]) < 20:
            continue
        part, disc, rim = aperture(x, y)
        shut = frames.saturated[part][disc].any()
        if shut or above[part][rim].max() > 0.25 * above[y, x]:
            continue
        stars.append((x, y, float(above[part][disc].sum())))
    return [star for star in stars if star[2] > 0]


def aperture(x, y):
    """Return the pixels of an aperture, its disc, and the rim of that."""
    part = np.s_[y - APERTURE : y + APERTURE + 1, x - APERTURE : x + APERTURE + 1]
    distance = np.hypot(*np.mgrid[-APERTURE : APERTURE + 1, -APERTURE : APERTURE + 1])
    disc = distance <= APERTURE
    return part, disc, disc & (distance > 0.6 * APERTURE)


def measure_stars(frames, found):
    """Return errors of star fluxes against the mean of the same pixels, mmag."""
    mean = found["mean"]
    stars = find_stars(frames, mean.image, np.sqrt(mean.variance))
    magnitudes = np.array([ZERO_POINT - 2.5 * np.log10(star[2]) for star in stars])
    result = {}
    for low, high in BINS:
        here = np.flatnonzero((magnitudes >= low) & (magnitudes < high))
        result[f"{low} to {high}"] = {"stars": len(here)} | {
            name: spread([star_error(way, stars[n]) for n in here])
            for name, way in found.items()
        }
    return result


def star_error(way, star):
    """Return by how much rejection changes the flux of a star, mmag (up: brighter)."""
    part, disc, _ = aperture(*star[:2])
    return 1085.7 * (way.image - way.unclipped)[part][disc].sum() / star[2]


def spread(errors):
    """Return the median and the scatter of errors, and the largest."""
    errors = np.array(errors)
    errors = errors[np.isfinite(errors)]
    largest = errors[np.argmax(np.abs(errors))]
    typical = np.median(errors), robust_scatter(errors)
    return [round(float(value), 2) for value in (*typical, largest)]


def measure(direct, artifacts, on_trail, stars):
    """Return what each way does to the event, to two faulty frames, and to stars.

    Parameters
    ----------
    direct
        The warps by name.
    artifacts
        What CompareWarp found in them.
    on_trail
        The pixels of the trail of frame 0070.
    stars
        The list of stars.
    """
    frames = Frames(direct)
    listed = np.genfromtxt(stars, delimiter=",", names=True)
    found = ways(frames, artifacts)
    return {
        "event": measure_event(frames, found),
        "right_of_stars_of_0098": measure_trail(
            frames, found, "0098", jumped_trails(frames, listed)
        ),
        "left_of_them": measure_trail(
            frames, found, "0098", jumped_trails(frames, listed, side=-1)
        ),
        "trail_of_0070": measure_trail(
            frames,
            found,
            "0070",
            on_trail & frames.usable[frames.names.index("0070")],
        ),
        "star_errors_mmag": measure_stars(frames, found),
    }
