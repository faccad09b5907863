"""The tables of a coadd's inputs: one row a visit, and one a detector of a visit."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Column, Table

from jaxcoadd.inputs.records import (
    FILTER_LENGTH,
    CoaddInputs,
    DetectorInput,
    VisitInput,
)

_BOX = ("bbox_min_x", "bbox_min_y", "bbox_max_x", "bbox_max_y")

_SHARED = {
    "bbox_min_x": ("i4", "pixel", "first column of the {image}"),
    "bbox_min_y": ("i4", "pixel", "first row of the {image}"),
    "bbox_max_x": ("i4", "pixel", "last column of the {image}, inclusive"),
    "bbox_max_y": ("i4", "pixel", "last row of the {image}, inclusive"),
    "goodpix": ("i4", "pixel", "number of pixels copied into the warp"),
    "weight": ("f8", None, "weight of the visit in the coadd; {unset} in a warp"),
    "filter": (f"U{FILTER_LENGTH}", None, "name of the physical filter"),
}

VISIT_COLUMNS = {
    "id": ("i8", None, "number of the visit"),
    **_SHARED,
}
"""Type, unit and description of each column of the table of visits."""

DETECTOR_COLUMNS = {
    "id": ("i8", None, "number of the visit and detector, packed"),
    **_SHARED,
    "ccd": ("i4", None, "number of the detector; -1 if it is not known"),
    "visit": ("i8", None, "number of the visit, a row of the table of visits"),
}
"""Type, unit and description of each column of the table of detectors."""


def visit_table(inputs: CoaddInputs) -> Table:
    """Return the table of the visits, in order of their ids."""
    words = {"image": "warp", "unset": "NaN"}
    return _table(VISIT_COLUMNS, words, [_shared_row(row) for row in inputs.visits])


def detector_table(inputs: CoaddInputs) -> Table:
    """Return the table of the detectors, in order of their ids."""
    words = {"image": "detector's image", "unset": "1"}
    rows = [
        _shared_row(row) | {"ccd": row.detector, "visit": row.visit}
        for row in inputs.detectors
    ]
    return _table(DETECTOR_COLUMNS, words, rows)


def _shared_row(row: VisitInput | DetectorInput) -> dict:
    box = dict(zip(_BOX, row.box, strict=True))
    names = ("id", "goodpix", "weight", "filter")
    return box | {name: getattr(row, name) for name in names}


def _table(
    columns: Mapping[str, tuple], words: Mapping[str, str], rows: Sequence[dict]
) -> Table:
    return Table(
        [
            Column(
                [row[name] for row in rows],
                name=name,
                dtype=dtype,
                unit=unit,
                description=description.format(**words),
            )
            for name, (dtype, unit, description) in columns.items()
        ]
    )


def inputs_from_tables(
    visits: Table,
    detectors: Table,
    *,
    visit_objects: Mapping[int, Mapping] | None = None,
    detector_objects: Mapping[int, Mapping] | None = None,
) -> CoaddInputs:
    """Return the inputs that two tables describe.

    Parameters
    ----------
    visits, detectors
        Tables with the columns of `visit_table` and `detector_table`; others are
        left out.
    visit_objects, detector_objects
        For an id, what is beside its row: keyword arguments of `VisitInput` or
        `DetectorInput` such as ``wcs`` and ``polygon``.

    Returns
    -------
    CoaddInputs
        The rows in order of their ids.

    Raises
    ------
    ValueError
        A column is missing, or an id occurs twice.
    """
    visit_objects, detector_objects = visit_objects or {}, detector_objects or {}
    return sort_inputs(
        [
            VisitInput(**_shared_arguments(row), **visit_objects.get(row["id"], {}))
            for row in _rows(visits, tuple(VISIT_COLUMNS), "visits")
        ],
        [
            DetectorInput(
                visit=row["visit"],
                detector=row["ccd"],
                **_shared_arguments(row),
                **detector_objects.get(row["id"], {}),
            )
            for row in _rows(detectors, tuple(DETECTOR_COLUMNS), "detectors")
        ],
    )


def _rows(table: Table, columns: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Return the rows of a table as numbers and strings of Python."""
    missing = [column for column in columns if column not in table.colnames]
    if missing:
        raise ValueError(
            f"the table of {name} has no column {missing[0]!r}; its columns are "
            f"{tuple(table.colnames)}"
        )
    values = [np.asarray(table[column]).tolist() for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _shared_arguments(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "goodpix", "weight", "filter")
    x0, y0, x1, y1 = (row[name] for name in _BOX)
    return {name: row[name] for name in names} | {"box": (x0, y0, x1, y1)}


def sort_inputs(
    visits: Sequence[VisitInput], detectors: Sequence[DetectorInput]
) -> CoaddInputs:
    """Return inputs in order of their ids.

    Raises
    ------
    ValueError
        An id occurs twice.
    """
    ordered = []
    for name, rows in (("visit", visits), ("detector", detectors)):
        rows = sorted(rows, key=lambda row: row.id)
        ids = [row.id for row in rows]
        twice = [first for first, second in itertools.pairwise(ids) if first == second]
        if twice:
            raise ValueError(
                f"the {name} with id {twice[0]} is among the inputs twice; add each "
                "warp once"
            )
        ordered.append(tuple(rows))
    return CoaddInputs(*ordered)


def add_warp(
    inputs: CoaddInputs,
    warp: CoaddInputs,
    weight: float,
    *,
    filter: str | None = None,
) -> tuple[CoaddInputs, str | None]:
    """Add the rows of a warp to those of a coadd.

    Parameters
    ----------
    inputs
        Those of the coadd so far; ``CoaddInputs()`` at first.
    warp
        Those of the warp: one visit and its detectors.
    weight
        Weight of the warp in the coadd, for all of its rows.
    filter
        Name of the physical filter, for all of its rows; by default theirs.

    Returns
    -------
    tuple
        The inputs with the warp, in order of ids, and ``None``; or, of a warp that
        has not exactly one visit, the inputs as they were and a warning.

    Raises
    ------
    ValueError
        An id of the warp is among the inputs already.

    Notes
    -----
    What LSST's CoaddInputRecorder does. Detectors without one good pixel in this
    coadd stay, with the full weight.
    """
    if len(warp.visits) != 1:
        return inputs, (
            f"a warp with {len(warp.visits)} visits in its table of inputs was left "
            "out of the coadd's; expected 1"
        )
    changes: dict = {"weight": float(weight)}
    if filter is not None:
        changes["filter"] = filter
    visits = [dataclasses.replace(row, **changes) for row in warp.visits]
    detectors = [dataclasses.replace(row, **changes) for row in warp.detectors]
    added = sort_inputs([*inputs.visits, *visits], [*inputs.detectors, *detectors])
    return added, None


def copy_polygons(
    direct: CoaddInputs, psf_matched: CoaddInputs | None
) -> tuple[CoaddInputs, tuple[str, ...]]:
    """Give the detectors of a warp the polygons of its PSF-matched partner.

    Parameters
    ----------
    direct
        Those of the direct warp.
    psf_matched
        Those of the PSF-matched warp of the same visit; ``None`` if there is none.

    Returns
    -------
    tuple
        The direct inputs, and warnings. Detectors that the partner lacks, or for which
        it has no polygon (a warning each), keep what they had.

    Raises
    ------
    ValueError
        The partner has a detector that the direct warp lacks.

    Notes
    -----
    As LSST's CompareWarpAssembleCoaddTask, so that the PSF of the coadd leaves out
    the rims that were removed with the mask of the PSF-matched warp.
    """
    if psf_matched is None:
        return direct, ()
    partners = {row.id: row for row in psf_matched.detectors}
    unknown = sorted(set(partners) - {row.id for row in direct.detectors})
    if unknown:
        raise ValueError(
            f"the PSF-matched warp has the detector with id {unknown[0]}, which the "
            "direct warp lacks; take both from the same visit"
        )
    warnings = tuple(
        f"the PSF-matched warp has no polygon for the detector with id {row.id}"
        for row in partners.values()
        if row.polygon is None
    )
    polygons = {
        row.id: row.polygon for row in partners.values() if row.polygon is not None
    }
    detectors = tuple(
        dataclasses.replace(row, polygon=polygons.get(row.id, row.polygon))
        for row in direct.detectors
    )
    return dataclasses.replace(direct, detectors=detectors), warnings
