"""The subcommand ``skymap``: where tracts and patches are, and which holds a place."""

import argparse
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxcoadd.commands.terminal import DONE, EXIT_CODES, UsageError, say

if TYPE_CHECKING:
    from jaxcoadd.sky import AbstractSkyMap, Box, Patch, Tract


def add_skymap(commands: Any) -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "skymap",
        help="describe a sky map, or find a position in it",
        description="Tracts and patches of the sky maps of surveys.",
        epilog=EXIT_CODES,
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    describe = actions.add_parser(
        "describe", help="describe a sky map, a tract or a patch"
    )
    _add_map(describe)
    describe.add_argument(
        "--tract", type=int, metavar="T", help="a tract by its number"
    )
    describe.add_argument(
        "--patch", metavar="P", help="a patch of it: its number, or its index x,y"
    )
    describe.set_defaults(run=_describe)
    find = actions.add_parser("find", help="find the tract and patch at a position")
    _add_map(find)
    find.add_argument("ra", type=read_angle, metavar="RA", help="in degrees")
    find.add_argument("dec", type=read_angle, metavar="DEC", help="in degrees")
    find.set_defaults(run=_find)


def _add_map(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of a sky map, as lsst_cells_v1")
    parser.add_argument("--json", action="store_true", help="print JSON")


def read_angle(text: str) -> float:
    """Read a number of degrees."""
    try:
        angle = float(text)
    except ValueError:
        angle = math.nan
    if not math.isfinite(angle):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of degrees")
    return angle


def _describe(options: argparse.Namespace) -> int:
    if options.patch is not None and options.tract is None:
        raise UsageError("--patch needs the tract that it is of; give --tract too")
    from jaxcoadd.sky import SkyMapError, named_sky_map

    try:
        sky_map = named_sky_map(options.name)
        found = _map_as_dict(options.name, sky_map)
        if options.tract is not None:
            tract = sky_map.tract(options.tract)
            found = _tract_as_dict(tract)
            if options.patch is not None:
                found = _patch_as_dict(tract.patch(patch_index(options.patch)))
    except SkyMapError as error:
        raise UsageError(str(error)) from None
    return _print(found, as_json=options.json)


def _find(options: argparse.Namespace) -> int:
    from jaxcoadd.sky import SkyMapError, named_sky_map

    place = (options.ra, options.dec)
    try:
        sky_map = named_sky_map(options.name)
        tract = sky_map.tract(int(sky_map.find_tract(*place)))
        patch = tract.find_patch(*place)
        others = [other.number for other in sky_map.find_all_tracts(*place)]
    except SkyMapError as error:
        raise UsageError(str(error)) from None
    found = {
        "tract": tract.number,
        "patch": patch.number,
        "patch_index": [patch.x, patch.y],
        "pixel": tract.find_pixels(*place).tolist(),
        "inner_box": _box(patch.inner),
        "outer_box": _box(patch.outer),
        "tracts_with_pixels": sorted(others),
    }
    return _print(found, as_json=options.json)


def patch_index(text: str) -> str | int:
    """Return the number of a patch; a text with a comma is an index already."""
    try:
        return text if "," in text else int(text)
    except ValueError:
        return text


def _map_as_dict(name: str, sky_map: "AbstractSkyMap") -> dict[str, Any]:
    layout = sky_map.layout
    return {
        "name": name,
        "kind": type(sky_map).__name__,
        "sha1": sky_map.sha1,
        "tracts": sky_map.tract_count,
        "projection": layout.projection,
        "pixel_scale_arcsec": layout.pixel_scale,
        "tract_overlap_degrees": layout.tract_overlap,
        "rotation_degrees": layout.rotation,
        "patch_inner_size": list(layout.patches.inner_size),
        "patch_border": layout.patches.margin,
    }


def _tract_as_dict(tract: "Tract") -> dict[str, Any]:
    return {
        "tract": tract.number,
        "center": list(tract.center),
        "box": _box(tract.box),
        "patches": list(tract.size),
        "reference_pixel": list(tract.reference),
        "corners": tract.corners.tolist(),
    }


def _patch_as_dict(patch: "Patch") -> dict[str, Any]:
    grid = patch.grid()
    return {
        "tract": patch.tract.number,
        "patch": patch.number,
        "patch_index": [patch.x, patch.y],
        "inner_box": _box(patch.inner),
        "outer_box": _box(patch.outer),
        "shape": list(grid.shape),
        "crpix": grid.wcs.wcs.crpix.tolist(),
        "crval": grid.wcs.wcs.crval.tolist(),
        "corners": patch.corners.tolist(),
    }


def _box(box: "Box") -> list[int]:
    return list(box.as_tuple())


def _print(found: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        say(json.dumps(found, indent=2, allow_nan=False))
    else:
        say(
            "\n".join(f"{key.replace('_', ' ')}: {_short(found[key])}" for key in found)
        )
    return DONE


def _short(value: Any) -> str:
    """Return a value as text: numbers to ten digits, and lists without brackets."""
    if isinstance(value, list):
        inner = [_short(item) for item in value]
        return ("; " if value and isinstance(value[0], list) else ", ").join(inner)
    return f"{value:.10g}" if isinstance(value, float) else str(value)
