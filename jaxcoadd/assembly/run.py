"""A whole run: weigh the warps, stream them through the stack, finish the coadd."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from astropy.table import Table

from jaxcoadd.assembly.ahead import read_ahead
from jaxcoadd.assembly.checks import check_enough
from jaxcoadd.assembly.finishing import finish_planes
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.strips import StackStrip, accumulate_strip, stack_strip
from jaxcoadd.assembly.subregions import stack_subregions
from jaxcoadd.assembly.weighing import Weighed, read_input, weigh_input
from jaxcoadd.bright_objects import flag_bright_objects
from jaxcoadd.coadds import CoaddConfig, coadd_planes
from jaxcoadd.io import CoaddPlanes
from jaxcoadd.spans import SpanSet
from jaxcoadd.statistics import Mean

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
    warn: Callable[[str], None] = lambda reason: None,
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
    warn
        Told why a warp is left out, as soon as its pixels have shown it.

    Raises
    ------
    InputError
        Too few warps can be used, or one cannot and `strict` is set.

    Notes
    -----
    Rows are spread over all devices of JAX's default platform. Neither their number nor
    the size of a subregion changes a bit of the result.
    """
    check_enough(plan.inputs, min_inputs=min_inputs, strict=strict)
    timings: dict[str, float] = {}
    config = settings.coadd_config()
    counter = _Counter(plan, progress)
    with _timed(timings, "weigh"):
        weighed, kept = _weigh_inputs(plan, config, counter, warn)
    check_enough([w.item for w in weighed], min_inputs=min_inputs, strict=strict)
    used = [one for one in weighed if not one.item.skipped]
    with _timed(timings, "stack"):
        stack, devices = _choose_stack(settings, config)
        stacked, counts = stack_subregions(
            plan, used, kept, stack, devices=devices, done=counter.add_rows
        )
    # What comes now needs the memory that the pixels of the warps take.
    del kept
    counter.add("finish", 0)
    with _timed(timings, "finish"):
        planes = coadd_planes(plan.planes)
        finish_planes(stacked, config, planes)
        mask = stacked["mask"]
        if bright_objects:
            mask, planes = flag_bright_objects(
                mask, planes, bright_objects, settings.bright_object_plane
            )
    coadd = CoaddPlanes(
        image=stacked["image"],
        variance=stacked["variance"],
        mask=np.asarray(mask),
        n_image=stacked["n_image"],
        planes=planes,
        zero_point=plan.zero_point,
        grid=plan.grid,
        unit=plan.unit,
    )
    rows = [*weighed, *map(Weighed, plan.unwarped)]
    table = _input_table(rows, counts, coadd.image.size)
    return Assembled(coadd, table, timings, _shared_cards(weighed))


def _choose_stack(
    settings: Settings, config: CoaddConfig
) -> tuple[StackStrip, Sequence[Any]]:
    """Return how rows are stacked, and on which devices."""
    devices = jax.devices()
    if settings.online_mean and isinstance(config.statistic, Mean):
        return partial(accumulate_strip, config=config), devices[:1]
    return partial(stack_strip, config=config), devices


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[step] = time.perf_counter() - start


class _Counter:
    """Counts the bytes of pixels that are done, of all that will be read."""

    def __init__(self, plan: Plan, progress: Progress):
        self.total = plan.nbytes
        self.left = sum(file.nbytes for file in plan.files)
        self.height = plan.grid.shape[0]
        self.again = not plan.keep
        self.done = 0
        self.progress = progress

    def drop(self, nbytes: int) -> None:
        """Count out a warp that will not be read again."""
        self.left -= nbytes
        self.total -= nbytes * self.again

    def add_rows(self, rows: int) -> None:
        """Count rows of all warps that were read for the second time."""
        self.add("stack", self.again * self.left * rows // self.height)

    def add(self, what: str, nbytes: int) -> None:
        """Count bytes."""
        self.done += nbytes
        self.progress(what, self.done, self.total)


def _weigh_inputs(
    plan: Plan, config: CoaddConfig, counter: _Counter, warn: Callable[[str], None]
) -> tuple[list[Weighed], Cube | None]:
    """Weigh every input; also return the pixels of those used, if they are kept."""
    kept = Cube.empty((len(plan.used), *plan.grid.shape)) if plan.keep else None
    weighed = []
    n_used = 0
    warps = read_ahead(partial(read_input, plan=plan, config=config), plan.used)
    for item in plan.inputs:
        if item.skipped:
            weighed.append(Weighed(item))
            continue
        assert item.file is not None
        one = weigh_input(item, next(warps), plan, config)
        weighed.append(dataclasses.replace(one, strip=None))
        if one.item.skipped:
            warn(one.item.skipped)
            counter.drop(item.file.nbytes)
        elif kept is not None and one.strip is not None:
            kept.put(n_used, one.strip)
        n_used += not one.item.skipped
        counter.add("weigh", item.file.nbytes)
        del one
    return weighed, kept if kept is None else kept.first(n_used)


def _input_table(
    weighed: Sequence[Weighed], counts: np.ndarray, n_pixels: int
) -> Table:
    """Make the table of inputs: a row each, also of those that were left out.

    The pixels used, rejected and clipped of a warp are all its pixels.
    """
    numbers = iter(counts.T)
    rows = []
    for one in weighed:
        item, file = one.item, one.item.file
        good, clipped = (0, 0) if item.skipped else next(numbers)
        rows.append(
            {
                "file": str(item.path),
                "identifier": file.identifier if file else "",
                "weight": one.weight,
                "zero_point": _or_nan(file.zero_point if file else None),
                "scale": item.factor,
                "seeing": _or_nan(file.seeing if file else None),
                "pixels_used": int(good - clipped),
                "pixels_rejected": 0 if item.skipped else n_pixels - int(good),
                "pixels_clipped": int(clipped),
                "bad_variance": one.bad_variance,
                "skipped": item.skipped,
            }
        )
    return Table(rows)


def _shared_cards(weighed: Sequence[Weighed]) -> dict[str, str]:
    items = [one.item for one in weighed if not one.item.skipped]
    bands = {item.file.band for item in items if item.file}
    band = bands.pop() if len(bands) == 1 else None
    return {"FILTER": band} if band else {}


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
