"""What a plan, a result or a file is, in words and as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.run import Assembled
from jaxcoadd.io import InputError, open_warp, read_coadd
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.io.layouts import list_hdus
from jaxcoadd.masks import MaskPlanes

MEBIBYTE = 1 << 20


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values."""
    height, width = plan.grid.shape
    return {
        "inputs": [
            {
                "file": str(item.path),
                "identifier": item.file.identifier if item.file else None,
                "zero_point": item.file.zero_point if item.file else None,
                "scale": item.factor,
                "offset": list(item.offset),
                "skipped": item.skipped or None,
            }
            for item in plan.inputs
        ],
        "shape": [height, width],
        "planes": list(plan.planes.used),
        "zero_point": plan.zero_point,
        "unit": plan.unit,
        "subregion_rows": plan.rows,
        "subregions": -(-height // plan.rows),
        "reads_each_file": 1 if plan.keep else 2,
        "pixel_bytes": sum(i.file.nbytes for i in plan.used if i.file),
        "memory": plan.memory,
    }


def plan_as_json(plan: Plan) -> str:
    """Return a plan as JSON."""
    return json.dumps(plan_as_dict(plan), indent=2)


def plan_in_a_line(plan: Plan) -> str:
    """Say what a run will do."""
    found = plan_as_dict(plan)
    return (
        f"{len(plan.used)} of {len(plan.inputs)} warps, "
        f"{found['shape'][0]} x {found['shape'][1]} pixels, zero point "
        f"{plan.zero_point:g}, {found['subregions']} subregion(s) of {plan.rows} rows, "
        f"about {plan.memory // MEBIBYTE} MiB"
    )


def plan_as_text(plan: Plan) -> str:
    """Say what a run will do, input by input."""
    lines = [plan_in_a_line(plan), f"planes: {', '.join(plan.planes.used)}"]
    for item in plan.inputs:
        if item.skipped:
            lines.append(f"  skip {item.path.name}: {item.skipped}")
        elif item.file:
            lines.append(
                f"  use  {item.path.name}: exposure {item.file.identifier}, zero point "
                f"{item.file.zero_point:g}, scale {item.factor:.6g}"
            )
    return "\n".join(lines)


def result_as_dict(result: Assembled, output: str) -> dict[str, Any]:
    """Return what a run did as plain values."""
    rows = [
        {name: _plain(row[name]) for name in result.inputs.colnames}
        for row in result.inputs
    ]
    return {"output": output, "inputs": rows, "timings": result.timings} | _summary(
        result.coadd.image, result.coadd.mask, result.coadd.planes
    )


def result_as_text(result: Assembled, output: str, *, every: bool = False) -> str:
    """Say what a run did; every input if asked."""
    used = [row for row in result.inputs if not row["skipped"]]
    seconds = ", ".join(f"{step} {s:.1f} s" for step, s in result.timings.items())
    lines = [f"{output}: {len(used)} warps; {seconds}"]
    if every:
        lines += [
            f"  {row['file']}: weight {row['weight']:.6g}, {row['pixels_used']} used, "
            f"{row['pixels_rejected']} rejected, {row['pixels_clipped']} clipped"
            for row in used
        ]
    return "\n".join(lines)


def describe_file(path: str | Path) -> dict[str, Any]:
    """Find out what a warp or a coadd holds.

    Raises
    ------
    InputError
        It is neither.
    """
    names = {hdu.name for hdu in read_hdus(path)}
    if {"IMAGE", "MASK", "VARIANCE", "N_IMAGE", "INPUTS"} <= names:
        return _describe_coadd(path)
    try:
        file = open_warp(path)
    except InputError as error:
        listed = list_hdus(read_hdus(path))
        raise InputError(f"{error} (HDUs: {listed})") from error
    rows = file.read_rows(0, file.shape[0])
    return {
        "file": str(path),
        "kind": f"warp, layout {file.layout}",
        "shape": list(file.shape),
        "origin": list(file.origin),
        "identifier": file.identifier,
        "band": file.band,
        "unit": file.unit,
        "zero_point": file.zero_point,
        "seeing": file.seeing,
        "checksums": file.verify(),
        "not_finite": rows.not_finite,
        "bad_variance": rows.bad_variance,
    } | _summary(rows.image, rows.mask, file.planes)


def _describe_coadd(path):
    found = read_coadd(path)
    coadd = found.coadd
    skipped = [str(row["file"]) for row in found.inputs if row["skipped"]]
    return {
        "file": str(path),
        "kind": "coadd",
        "shape": list(coadd.image.shape),
        "unit": coadd.unit,
        "zero_point": coadd.zero_point,
        "inputs": len(found.inputs) - len(skipped),
        "left_out": skipped,
        "depth": [int(coadd.n_image.min()), int(coadd.n_image.max())],
        "config": found.config,
        "timings": found.timings,
    } | _summary(coadd.image, coadd.mask, coadd.planes)


def _summary(image: np.ndarray, mask: np.ndarray, planes: MaskPlanes) -> dict[str, Any]:
    """Count pixels: the median of the image, and the part that each plane covers."""
    finite = image[np.isfinite(image)]
    fractions = {
        name: float(np.mean((mask >> planes.bit(name)) & 1)) for name in planes.used
    }
    return {
        "median": float(np.median(finite)) if finite.size else None,
        "masked": {name: part for name, part in fractions.items() if part > 0},
    }


def as_lines(found: Mapping[str, Any]) -> str:
    """Return plain values as lines of text."""
    lines = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}:")
            lines += [f"  {name}: {_short(entry)}" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_short(value)}")
    return "\n".join(lines)


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value


def _plain(value):
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
