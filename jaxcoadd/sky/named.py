"""Sky maps that surveys use, by their names."""

import difflib

from jaxcoadd.sky.builders import AbstractPatches, CellPatches, LegacyPatches
from jaxcoadd.sky.errors import SkyMapError
from jaxcoadd.sky.layouts import TractLayout
from jaxcoadd.sky.maps import AbstractSkyMap
from jaxcoadd.sky.rings import RingsSkyMap


def _survey_rings(pixel_scale: float, patches: AbstractPatches) -> RingsSkyMap:
    layout = TractLayout("TAN", pixel_scale, 1.0 / 60, patches=patches)
    return RingsSkyMap(120, layout=layout)


_NAMED = {
    "lsst_cells_v1": _survey_rings(0.2, CellPatches(cell_border=50)),
    "lsst_cells_v2": _survey_rings(0.2, CellPatches(cell_border=0)),
    "hsc_rings_v1": _survey_rings(0.168, LegacyPatches()),
    "DC2": _survey_rings(0.2, LegacyPatches()),
}


def sky_map_names() -> tuple[str, ...]:
    """Return the names that `named_sky_map` knows."""
    return tuple(_NAMED)


def named_sky_map(name: str) -> AbstractSkyMap:
    """Return the sky map of a survey.

    Parameters
    ----------
    name
        lsst_cells_v1 (LSSTComCam, DP1), lsst_cells_v2 (LSSTCam, DP2), hsc_rings_v1
        (HSC), or DC2 (simulations, DP0.2).

    Raises
    ------
    SkyMapError
        There is no such name.

    Examples
    --------
    >>> named_sky_map("lsst_cells_v1").tract(9813).find_patch(150.0, 2.0).number
    36
    """
    if name not in _NAMED:
        near = difflib.get_close_matches(name, _NAMED, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SkyMapError(
            f"no sky map {name!r}; there are {', '.join(sky_map_names())}{hint}"
        )
    return _NAMED[name]
