"""Sky maps: tracts, patches and cells; and which exposures a patch is made of.

On the host and in double precision. Angles are in degrees, pixels count from 0 and
integers are their centres, indices are (x, y), boxes are inclusive.
"""

from jaxcoadd.sky.boxes import Box
from jaxcoadd.sky.builders import AbstractPatches, CellPatches, LegacyPatches
from jaxcoadd.sky.detectors import (
    PsfCuts,
    failed_psf_cut,
    image_corners,
    select_overlapping,
)
from jaxcoadd.sky.discrete import DiscreteSkyMap
from jaxcoadd.sky.dodecahedron import DodecahedronSkyMap
from jaxcoadd.sky.equatorial import EquatorialSkyMap
from jaxcoadd.sky.errors import SkyMapError
from jaxcoadd.sky.healpix import HealpixSkyMap
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap
from jaxcoadd.sky.named import named_sky_map, sky_map_names
from jaxcoadd.sky.positions import (
    mapped_coordinates,
    node_coordinates,
    pixel_coordinates,
    pixel_mapping,
)
from jaxcoadd.sky.rings import RingsSkyMap
from jaxcoadd.sky.sphere import hulls_overlap
from jaxcoadd.sky.tracts import Cell, Patch, PatchGrid, Tract
from jaxcoadd.sky.visits import (
    BestSeeing,
    SeeingQuantile,
    VisitSummary,
    select_best_seeing,
    select_seeing_quantile,
    visit_fwhm,
    visit_overlaps,
)

__all__ = [
    "AbstractPatches",
    "AbstractSkyMap",
    "BestSeeing",
    "Box",
    "Cell",
    "CellPatches",
    "DiscreteSkyMap",
    "DodecahedronSkyMap",
    "EquatorialSkyMap",
    "HealpixSkyMap",
    "LegacyPatches",
    "Patch",
    "PatchGrid",
    "PsfCuts",
    "RingsSkyMap",
    "SeeingQuantile",
    "SkyMapError",
    "Tract",
    "TractLayout",
    "VisitSummary",
    "failed_psf_cut",
    "hulls_overlap",
    "image_corners",
    "mapped_coordinates",
    "named_sky_map",
    "node_coordinates",
    "pixel_coordinates",
    "pixel_mapping",
    "select_best_seeing",
    "select_overlapping",
    "select_seeing_quantile",
    "sky_map_names",
    "visit_fwhm",
    "visit_overlaps",
]
