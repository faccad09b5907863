"""Aperture corrections of coadds recorded from another pipeline."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS

from jaxcoadd.inputs.aperture_corrections import (
    coadd_aperture_corrections,
    correction_names,
)
from jaxcoadd.inputs.fields import NotCoveredError, combine_fields, place_on_inputs
from jaxcoadd.inputs.polygons import Polygon
from jaxcoadd.inputs.records import DetectorInput
from jaxcoadd.photometry import ChebyshevField

# Two WCS libraries agree to about 1e-9 pixel, by the recorded positions; the fields
# change by less than 1 a pixel within their boxes, and less than 10 outside of them.
POSITION = 1e-8
VALUE = 1e-8


def replay(path: Path, precision: int) -> None:
    """Compare one recorded case; all of it is in 64 bits always."""
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    params = json.loads(str(case["params"]))
    rows = [_detector(case, k, row) for k, row in enumerate(params["rows"])]
    coadd_wcs, (x, y) = _wcs(params["coadd_wcs"]), case["positions"].T

    places = place_on_inputs(rows, coadd_wcs, x, y)
    for k, place in enumerate(places):
        np.testing.assert_allclose(
            np.stack(place, -1), case["src_pos"][:, k], rtol=0, atol=POSITION
        )
    _replay_fields(case, params, rows)

    assert set(case["names"].tolist()) == set(correction_names(rows))
    default = params["default"]
    filled = np.nan if default is None else default
    values = coadd_aperture_corrections(rows, coadd_wcs, x, y, default=filled)
    for name, recorded, failed in zip(
        case["names"].tolist(), case["out_values"], case["out_error"], strict=True
    ):
        np.testing.assert_allclose(values[name], recorded, VALUE, VALUE, err_msg=name)
        if default is None:
            np.testing.assert_array_equal(np.isnan(values[name]), failed)
        _replay_errors(rows, name, coadd_wcs, case["positions"][failed])


def _replay_errors(rows, name, coadd_wcs, positions):
    having = [row for row in rows if name in (row.aperture_corrections or {})]
    fields = [row.aperture_corrections[name] for row in having]
    for x, y in positions:
        with pytest.raises(NotCoveredError, match="no input covers"):
            combine_fields(having, fields, coadd_wcs, x, y)


def _replay_fields(case, params, rows):
    for k, row in enumerate(params["rows"]):
        for name, entry in (row["fields"] or {}).items():
            field = rows[k].aperture_corrections[name]
            single = field(*case["src_pos"][:, k].T)
            # Far outside of the box polynomials are large, and so is their rounding.
            np.testing.assert_allclose(
                single, case[f"single_{k}_{entry['index']}"], 1e-11, 1e-12
            )


def _detector(case, k, row):
    fields = row["fields"] and {
        name: ChebyshevField(
            case[f"coeff_{k}_{entry['index']}"], _inclusive(*entry["box"])
        )
        for name, entry in row["fields"].items()
    }
    return DetectorInput(
        id=k,
        visit=k,
        detector=0,
        # Never looked at: the boxes of the fields count.
        box=(0, 0, 0, 0),
        wcs=_wcs(row["wcs"]),
        weight=row["weight"],
        polygon=None if row["polygon"] is None else Polygon(row["polygon"]),
        aperture_corrections=fields,
    )


def _inclusive(x0, y0, width, height):
    return x0, y0, x0 + width - 1, y0 + height - 1


def _wcs(header):
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(header["crpix"]) + 1
    wcs.wcs.crval, wcs.wcs.cd = header["crval"], header["cd"]
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    return wcs
