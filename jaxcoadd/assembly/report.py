"""What a plan, a result or a file is, in words and as JSON."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxcoadd.assembly.findings import Findings
from jaxcoadd.assembly.memory import MEBIBYTE
from jaxcoadd.assembly.plan import Plan, notices, without_partner
from jaxcoadd.assembly.run import Assembled
from jaxcoadd.io import CoaddPlanes, open_warp, read_coadd, verify_file
from jaxcoadd.masks import MaskPlanes


def as_json(values: Mapping[str, Any]) -> str:
    """Return plain values as JSON; what is no number is null."""
    return json.dumps(values, indent=2, allow_nan=False)


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain values."""
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
        "shape": list(plan.grid.shape),
        "planes": list(plan.planes.used),
        "zero_point": plan.zero_point,
        "unit": plan.unit,
        "subregion_rows": plan.rows,
        "subregions": plan.subregions,
        "passes": plan.passes,
        "pixel_bytes": plan.nbytes,
        "memory": plan.memory,
        "notices": notices(plan),
        "compared": None if plan.compared is None else len(plan.compared.used),
        "without_partner": without_partner(plan),
    }


def plan_in_a_line(plan: Plan) -> str:
    """Say what a run will do."""
    height, width = plan.grid.shape
    parts = "in one part" if plan.subregions == 1 else f"{plan.rows} rows at a time"
    return (
        f"{len(plan.used)} of {len(plan.inputs)} warps, {height} x {width} pixels, "
        f"zero point {plan.zero_point:.6g}, {parts}"
    )


def plan_as_text(plan: Plan) -> str:
    """Say what a run will do, input by input."""
    times = "once" if plan.passes == 1 else "twice, as memory is short"
    unit = plan.unit or "not known"
    lines = [
        plan_in_a_line(plan),
        f"subregions: {plan.subregions}; {plan.nbytes / 1e6:.1f} MB of pixels to read, "
        f"each file {times}; at most about {plan.memory // MEBIBYTE} MiB of memory",
        f"unit: {unit}",
        f"planes: {', '.join(plan.planes.used)}",
    ]
    if plan.compared is not None:
        kind = "warps themselves" if plan.compares_itself else "PSF-matched warps"
        lines.append(f"compared: {len(plan.compared.used)} {kind}")
    for item in plan.inputs:
        if item.skipped:
            lines.append(f"  skip {item.skipped}")
        elif item.file:
            offset = f", offset {item.offset}" if any(item.offset) else ""
            lines.append(
                f"  use  {item.path}: exposure {item.file.identifier}, zero point "
                f"{item.file.zero_point:.6g}, scale {item.factor:.6g}{offset}"
            )
    return "\n".join(lines)


def result_as_dict(result: Assembled, output: str) -> dict[str, Any]:
    """Return what a run did as plain values."""
    rows = [
        {name: _plain(row[name]) for name in result.inputs.colnames}
        for row in result.inputs
    ]
    found = {"output": output, "inputs": rows, "timings": result.timings}
    if result.findings is not None:
        found["artifacts"] = _findings_as_dict(result.findings)
    return found | _summary(result.coadd.image, result.coadd.mask, result.coadd.planes)


def _findings_as_dict(findings: Findings) -> dict[str, Any]:
    return {
        "regions": sum(findings.n_artifacts),
        "pixels": sum(findings.n_pixels),
        "outliers": sum(findings.n_outliers),
        "warps": sum(n > 0 for n in findings.n_pixels),
        "remarks": list(findings.remarks),
    }


def result_as_text(result: Assembled, output: str, *, every: bool = False) -> str:
    """Say what a run did; every input if asked."""
    rows = result_as_dict(result, output)["inputs"]
    used = [row for row in rows if not row["skipped"]]
    spent = ", ".join(f"{step} {s:.1f} s" for step, s in result.timings.items())
    depth = result.coadd.n_image
    clipped = sum(row["pixels_clipped"] for row in used)
    lines = [
        f"{output}: {len(used)} warps, {int(depth.min())} to {int(depth.max())} in a "
        f"pixel, zero point {result.coadd.zero_point:.6g}, {clipped} values clipped; "
        f"{spent}"
    ]
    if result.findings is not None:
        lines.append(_findings_in_a_line(result.findings, result.coadd))
    if every:
        lines += [
            f"  {row['file']}: weight {row['weight']:.6g}, {row['pixels_used']} pixels "
            f"used, {row['pixels_rejected']} rejected, {row['pixels_clipped']} clipped"
            f"{_artifact_pixels(row)}"
            for row in used
        ]
    lines += [
        f"  {row['file']}: {row['bad_variance']} pixels without a positive, finite "
        "variance are masked BAD_VARIANCE"
        for row in used
        if row["bad_variance"]
    ]
    return "\n".join(lines)


def _artifact_pixels(row: Mapping[str, Any]) -> str:
    return f", {row['pixels_artifact']} artifact" if "pixels_artifact" in row else ""


def _findings_in_a_line(findings: Findings, coadd: CoaddPlanes) -> str:
    """Say how much was left out, and where nothing is left."""
    found = _findings_as_dict(findings)
    empty = int(np.count_nonzero(coadd.n_image == 0))
    left = f"; {empty} pixels have no warp left" if empty else ""
    alone = f", {found['outliers']} of them alone" if findings.n_outliers else ""
    return (
        f"  artifacts: {found['regions']} in {found['warps']} of "
        f"{len(findings.names)} warps, {found['pixels']} pixels{alone}{left}"
    )


def describe_file(path: str | Path) -> dict[str, Any]:
    """Find out what a warp or a coadd holds.

    Raises
    ------
    InputError
        It is neither.
    """
    file = open_warp(path)
    if file.layout == "coadd":
        return _describe_coadd(path)
    checksums = file.verify()
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
        "hdus_with_checksums": checksums,
        "not_finite": rows.not_finite,
        "bad_variance": rows.bad_variance,
    } | _summary(rows.image, rows.mask, file.planes)


def _describe_coadd(path: str | Path) -> dict[str, Any]:
    checksums = verify_file(path)
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
        "hdus_with_checksums": checksums,
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


_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "shape": lambda value: "{} x {}".format(*value),
    "origin": lambda value: "x {}, y {}".format(*value),
    "depth": lambda value: "{} to {} warps".format(*value),
    "left_out": lambda value: ", ".join(value) or "none",
    "masked": lambda value: ", ".join(f"{k} {v:.2%}" for k, v in value.items()),
}


def as_lines(found: Mapping[str, Any]) -> str:
    """Return plain values as lines of text."""
    lines = []
    for key, value in found.items():
        title = key.replace("_", " ")
        if key in _FORMATS:
            lines.append(f"{title}: {_FORMATS[key](value)}")
        elif isinstance(value, Mapping):
            lines.append(f"{title}:")
            lines += [f"  {name}: {_short(entry)}" for name, entry in value.items()]
        else:
            lines.append(f"{title}: {_short(value)}")
    return "\n".join(lines)


def _short(value: Any) -> str:
    if value is None:
        return "not stated"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON can hold it."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
