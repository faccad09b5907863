"""What travels with a coadd beside its pixels: tables, regions, fields and maps.

On the host and in double precision. Boxes are inclusive, positions are (x, y).
"""

from jaxcoadd.inputs.aperture_corrections import (
    cell_aperture_correction,
    coadd_aperture_corrections,
    correction_names,
)
from jaxcoadd.inputs.fields import NotCoveredError, combine_fields
from jaxcoadd.inputs.input_bits import (
    clear_input_bits,
    count_inputs,
    detector_pixels,
    make_input_bits,
)
from jaxcoadd.inputs.input_map import (
    clear_bad_visits,
    count_bad_pixels,
    make_input_map,
)
from jaxcoadd.inputs.polygons import (
    Polygon,
    PolygonError,
    box_polygon,
    common_polygon,
    grow_polygon,
    intersect_polygons,
    transform_polygon,
    unite_polygons,
)
from jaxcoadd.inputs.rasters import polygon_fractions, polygon_pixels
from jaxcoadd.inputs.records import CoaddInputs, DetectorInput, VisitInput
from jaxcoadd.inputs.regions import (
    InputRegion,
    affine_maps,
    average_position,
    source_positions,
)
from jaxcoadd.inputs.tables import (
    add_warp,
    copy_polygons,
    detector_table,
    inputs_from_tables,
    visit_table,
)
from jaxcoadd.inputs.transmission import ThroughputCurve, coadd_throughput

__all__ = [
    "CoaddInputs",
    "DetectorInput",
    "InputRegion",
    "NotCoveredError",
    "Polygon",
    "PolygonError",
    "ThroughputCurve",
    "VisitInput",
    "add_warp",
    "affine_maps",
    "average_position",
    "box_polygon",
    "cell_aperture_correction",
    "clear_bad_visits",
    "clear_input_bits",
    "coadd_aperture_corrections",
    "coadd_throughput",
    "combine_fields",
    "common_polygon",
    "copy_polygons",
    "correction_names",
    "count_bad_pixels",
    "count_inputs",
    "detector_pixels",
    "detector_table",
    "grow_polygon",
    "inputs_from_tables",
    "intersect_polygons",
    "make_input_bits",
    "make_input_map",
    "polygon_fractions",
    "polygon_pixels",
    "source_positions",
    "transform_polygon",
    "unite_polygons",
    "visit_table",
]
