"""A whole run: weigh the warps, stream them through the stack, finish the coadd."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table

from jaxcoadd.assembly.plan import Input, Plan
from jaxcoadd.assembly.reading import pixel_type, read_strip, to_device
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.weighing import Weighed, weigh_input
from jaxcoadd.bright_objects import flag_bright_objects
from jaxcoadd.coadds import (
    Coadd,
    CoaddConfig,
    coadd_planes,
    fill_holes,
    flag_inexact_psf,
    flag_no_data,
    stack_and_count,
)
from jaxcoadd.interpolation import fallback_value
from jaxcoadd.io import CoaddPlanes, InputError
from jaxcoadd.spans import SpanSet
from jaxcoadd.warps import WarpStack

FINISH_ROWS = 256
"""Rows that are interpolated at a time; the rows of an image do not touch."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, and the bytes that are done, of how many."""


@dataclasses.dataclass(frozen=True, eq=False)
class Assembled:
    """The result of a run.

    Parameters
    ----------
    coadd
        The pixels.
    inputs
        One row an input.
    timings
        Seconds that each step took.
    cards
        For the primary header: the filter that the inputs share.
    """

    coadd: CoaddPlanes
    inputs: Table
    timings: dict[str, float]
    cards: dict[str, str]


def assemble(
    plan: Plan,
    settings: Settings,
    *,
    bright_objects: Sequence[SpanSet] = (),
    min_inputs: int = 1,
    strict: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Assembled:
    """Make a coadd from files.

    Parameters
    ----------
    plan
        What to do, see `make_plan`.
    settings
        How to coadd.
    bright_objects
        Regions to flag, in the pixels of the coadd's array.
    min_inputs
        Refuse a coadd of fewer warps; 0 allows an empty one.
    strict
        Refuse the run if any warp has to be left out.
    progress
        Called after each warp and each subregion.

    Raises
    ------
    InputError
        Too few warps can be used, or one cannot and `strict` is set.

    Notes
    -----
    The size of a subregion changes no bit of the result.
    """
    timings: dict[str, float] = {}
    config = settings.coadd_config()
    counter = _Counter(plan, progress)
    with _timed(timings, "weigh"):
        weighed = [_weigh(item, plan, config, counter) for item in plan.inputs]
    used = [one for one in weighed if not one.item.skipped]
    _check_enough(weighed, used, min_inputs, strict)
    with _timed(timings, "stack"):
        stacked, counts = _stack_subregions(plan, used, config, counter)
    with _timed(timings, "finish"):
        planes = coadd_planes(plan.planes)
        finished = _finish(stacked, config, planes)
        mask = finished["mask"]
        if bright_objects:
            mask, planes = flag_bright_objects(
                mask, planes, bright_objects, settings.bright_object_plane
            )
    coadd = CoaddPlanes(
        image=finished["image"],
        variance=finished["variance"],
        mask=np.asarray(mask),
        n_image=finished["n_image"],
        planes=planes,
        zero_point=plan.zero_point,
        grid=plan.grid,
        unit=plan.unit,
    )
    table = _input_table(weighed, counts, coadd.image.size)
    return Assembled(coadd, table, timings, _shared_cards(used))


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = time.perf_counter() - start


class _Counter:
    """Counts the bytes of pixels that are done, of all that will be read."""

    def __init__(self, plan: Plan, progress: Progress):
        self.passes = 1 if plan.keep else 2
        self.total = sum(i.file.nbytes for i in plan.used if i.file) * self.passes
        self.done = 0
        self.progress = progress

    def add(self, what: str, nbytes: int) -> None:
        self.done += nbytes
        self.progress(what, min(self.done, self.total), self.total)


def _weigh(item: Input, plan: Plan, config: CoaddConfig, counter: _Counter) -> Weighed:
    if item.skipped or item.file is None:
        return Weighed(item)
    weighed = weigh_input(item, plan, config)
    counter.add("weigh", item.file.nbytes)
    return weighed


def _check_enough(weighed, used, min_inputs, strict):
    skipped = [one.item.skipped for one in weighed if one.item.skipped]
    if strict and skipped:
        raise InputError(skipped[0])
    if len(used) < min_inputs:
        listed = "; ".join(skipped)
        raise InputError(
            f"{len(used)} of {len(weighed)} warps can be used and at least "
            f"{min_inputs} are wanted: {listed}"
        )


@partial(jax.jit, static_argnames="planes")
def _stack(image, variance, mask, weights, config, planes):
    dtype = image.dtype
    n = len(image)
    stack = WarpStack(
        image=image,
        variance=variance,
        mask=mask,
        planes=planes,
        zero_point=jnp.zeros(n, dtype),
        weight=weights,
        present=jnp.ones(n, bool),
    )
    return stack_and_count(stack, config)


def _stack_subregions(
    plan: Plan, used: Sequence[Weighed], config: CoaddConfig, counter: _Counter
):
    """Stack subregion after subregion into planes of the whole coadd."""
    height, width = plan.grid.shape
    dtype = pixel_type()
    result = {
        "image": np.full((height, width), np.nan, dtype),
        "variance": np.full((height, width), np.nan, dtype),
        "mask": np.full((height, width), plan.planes.bits(["NO_DATA"]), np.uint32),
        "n_image": np.zeros((height, width), np.int32),
    }
    counts = np.zeros((2, len(used)), int)
    if not used:
        return result, counts
    weights = jnp.asarray([one.weight for one in used], dtype)
    rows = plan.rows
    buffers = _Buffers(len(used), rows, width, plan.planes.bits(["NO_DATA"]))
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        buffers.fill(used, plan, start, stop)
        part, counted = _stack(*buffers.on_device(), weights, config, plan.planes)
        for name, plane in result.items():
            plane[start:stop] = np.asarray(getattr(part, name))[: stop - start]
        counts += np.asarray(counted)
        if not plan.keep:
            counter.add("stack", len(used) * (stop - start) * width * 12)
    return result, counts


class _Buffers:
    """Room for one subregion of every warp, filled anew for each."""

    def __init__(self, n: int, rows: int, width: int, no_data: int):
        self.image = np.empty((n, rows, width), np.float32)
        self.variance = np.empty((n, rows, width), np.float32)
        self.mask = np.empty((n, rows, width), np.uint32)
        self.no_data = no_data

    def fill(self, used: Sequence[Weighed], plan: Plan, start: int, stop: int) -> None:
        """Read the rows of every warp; rows below the image have no data."""
        n = stop - start
        for index, one in enumerate(used):
            whole = one.strip
            strip = read_strip(one.item, plan, start, stop) if whole is None else whole
            source = slice(0, n) if whole is None else slice(start, stop)
            self.image[index, :n] = strip.image[source]
            self.variance[index, :n] = strip.variance[source]
            self.mask[index, :n] = strip.mask[source]
        self.image[:, n:] = np.nan
        self.variance[:, n:] = np.nan
        self.mask[:, n:] = self.no_data

    def on_device(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return copies on the device."""
        return to_device(self.image), to_device(self.variance), to_device(self.mask)


@partial(jax.jit, static_argnames=("planes", "interpolate"))
def _finish_rows(image, variance, mask, fallback, planes, interpolate):
    part = Coadd(
        image=image,
        variance=variance,
        mask=mask,
        n_image=jnp.zeros(mask.shape, jnp.int32),
        weight=jnp.zeros_like(image),
        planes=planes,
        zero_point=0.0,
    )
    flagged = flag_no_data(flag_inexact_psf(part))
    done = fill_holes(flagged, fallback) if interpolate else flagged
    return done.image, done.variance, done.mask


def _finish(stacked: dict[str, np.ndarray], config: CoaddConfig, planes) -> dict:
    """Flag and interpolate, some rows at a time, in place."""
    image, variance, mask = stacked["image"], stacked["variance"], stacked["mask"]
    fallback = jax.jit(fallback_value)(jnp.asarray(image))
    height = len(image)
    rows = min(FINISH_ROWS, height)
    for begin in range(0, height, rows):
        # So every call has one shape: the last rows are done together with some that
        # are done already, of which nothing is taken.
        start = min(begin, height - rows)
        part = slice(start, start + rows)
        fresh = slice(begin - start, rows)
        done = _finish_rows(
            jnp.asarray(image[part]),
            jnp.asarray(variance[part]),
            jnp.asarray(mask[part]),
            fallback,
            planes,
            config.interpolate,
        )
        for plane, new in zip((image, variance, mask), done, strict=True):
            plane[begin : start + rows] = np.asarray(new)[fresh]
    return stacked


def _input_table(
    weighed: Sequence[Weighed], counts: np.ndarray, n_pixels: int
) -> Table:
    """Make the table of inputs: a row each, also of those that were left out."""
    numbers = iter(counts.T)
    rows = []
    for one in weighed:
        item, file = one.item, one.item.file
        used, clipped = (0, 0) if item.skipped else next(numbers)
        rows.append(
            {
                "file": item.path.name,
                "identifier": file.identifier if file else "",
                "weight": one.weight,
                "zero_point": _or_nan(file.zero_point if file else None),
                "scale": item.factor,
                "seeing": _or_nan(file.seeing if file else None),
                "pixels_used": int(used),
                "pixels_rejected": 0 if item.skipped else n_pixels - int(used),
                "pixels_clipped": int(clipped),
                "bad_variance": one.bad_variance,
                "skipped": item.skipped,
            }
        )
    return Table(rows)


def _shared_cards(used: Sequence[Weighed]) -> dict[str, str]:
    bands = {one.item.file.band for one in used if one.item.file}
    band = bands.pop() if len(bands) == 1 else None
    return {"FILTER": band} if band else {}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
