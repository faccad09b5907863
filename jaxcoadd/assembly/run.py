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

from jaxcoadd.artifacts import flag_edges
from jaxcoadd.assembly.checks import check_enough
from jaxcoadd.assembly.clipping import find_by_clipping
from jaxcoadd.assembly.comparing import find_by_comparison
from jaxcoadd.assembly.findings import Findings
from jaxcoadd.assembly.finishing import finish_planes
from jaxcoadd.assembly.methods import CompareWarp, SafeClip
from jaxcoadd.assembly.outlying import add_outliers
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.strips import StackStrip, accumulate_strip, stack_strip
from jaxcoadd.assembly.subregions import stack_subregions
from jaxcoadd.assembly.weighing import Weighed, weigh_inputs
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
    findings
        What the method left out, if it leaves anything out.
    """

    coadd: CoaddPlanes
    inputs: Table
    timings: dict[str, float]
    cards: dict[str, str]
    findings: Findings | None = None


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
    counter = _Counter(plan, progress, warn)
    with _timed(timings, "weigh"):
        weighed, kept = weigh_inputs(plan, config, done=counter.weighed)
    check_enough([w.item for w in weighed], min_inputs=min_inputs, strict=strict)
    used = [one for one in weighed if not one.item.skipped]
    findings = None
    if used and isinstance(settings.method, CompareWarp | SafeClip):
        with _timed(timings, "compare"):
            findings = _find(plan, used, kept, settings, counter)
        config = dataclasses.replace(config, bad_planes=(*config.bad_planes, "CLIPPED"))
    with _timed(timings, "stack"):
        stack, devices = _choose_stack(settings, config)
        stacked, counts = stack_subregions(
            plan,
            used,
            kept,
            stack,
            devices=devices,
            done=counter.add_rows,
            mask_rows=findings and partial(findings.mask_rows, planes=plan.planes),
        )
    # What comes now needs the memory that the pixels of the warps take.
    del kept
    counter.add("finish", 0)
    with _timed(timings, "finish"):
        coadd = _finish(
            stacked,
            plan,
            settings,
            config=config,
            findings=findings,
            bright_objects=bright_objects,
        )
    rows = [*weighed, *map(Weighed, plan.unwarped)]
    table = _input_table(rows, counts, coadd.image.size)
    if findings:
        _add_artifacts(table, rows, findings)
    return Assembled(coadd, table, timings, _shared_cards(weighed), findings)


def _add_artifacts(table: Table, rows: Sequence[Weighed], findings: Findings) -> None:
    """Add the pixels of artifacts to the table of inputs, behind those clipped."""
    table.add_column(
        _per_row(rows, findings.n_pixels),
        name="pixels_artifact",
        index=table.colnames.index("pixels_clipped") + 1,
    )


def _find(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    settings: Settings,
    counter: "_Counter",
) -> Findings:
    """Find out what the method leaves out."""
    devices, method = jax.devices(), settings.method
    # Methods that read the inputs again look at each of them twice.
    steps = len(used) * (2 if plan.search_passes else 1)
    done = partial(counter.add, "compare", plan.search_nbytes // steps)
    if isinstance(method, SafeClip):
        return find_by_clipping(plan, used, kept, settings, devices=devices, done=done)
    assert isinstance(method, CompareWarp)
    found = find_by_comparison(plan, used, settings, devices=devices, done=done)
    if method.outliers is None:
        return found
    return add_outliers(found, plan, used, kept, settings, devices=devices, done=done)


def _per_row(rows: Sequence[Weighed], numbers: Sequence[int]) -> np.ndarray:
    """Return the number of each warp that is used, and 0 for the others."""
    left = iter(numbers)
    return np.array([0 if one.item.skipped else next(left) for one in rows], np.int64)


def _finish(
    stacked: dict[str, np.ndarray],
    plan: Plan,
    settings: Settings,
    *,
    config: CoaddConfig,
    findings: Findings | None,
    bright_objects: Sequence[SpanSet],
) -> CoaddPlanes:
    """Do to a stacked coadd what comes after stacking."""
    planes = coadd_planes(plan.planes)
    finish_planes(stacked, config, planes)
    mask = stacked["mask"]
    if findings:
        mask, planes = flag_edges(mask, planes, findings.edges)
    if bright_objects:
        mask, planes = flag_bright_objects(
            mask, planes, bright_objects, settings.bright_object_plane
        )
    return CoaddPlanes(
        image=stacked["image"],
        variance=stacked["variance"],
        mask=np.asarray(mask),
        n_image=stacked["n_image"],
        planes=planes,
        zero_point=plan.zero_point,
        grid=plan.grid,
        unit=plan.unit,
    )


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

    def __init__(self, plan: Plan, progress: Progress, warn: Callable[[str], None]):
        self.warn = warn
        self.total = plan.nbytes
        self.left = plan.own_nbytes
        self.height = plan.grid.shape[0]
        self.again = not plan.keep
        self.done = 0
        self.progress = progress

    def weighed(self, one: Weighed) -> None:
        """Count a warp that was read, and one that will not be read again out."""
        assert one.item.file is not None
        nbytes = one.item.file.nbytes
        if one.item.skipped:
            self.warn(one.item.skipped)
            self.left -= nbytes
            self.total -= nbytes * self.again
        self.add("weigh", nbytes)

    def add_rows(self, rows: int) -> None:
        """Count rows of all warps that were read for the second time."""
        self.add("stack", self.again * self.left * rows // self.height)

    def add(self, what: str, nbytes: int) -> None:
        """Count bytes."""
        self.done += nbytes
        self.progress(what, self.done, self.total)


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
