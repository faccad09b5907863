"""Options that say on which pixels a coadd lies."""

import argparse
from typing import TYPE_CHECKING

from jaxcoadd.commands.sky_maps import patch_index
from jaxcoadd.commands.terminal import UsageError

if TYPE_CHECKING:
    from jaxcoadd.io import Grid


def add_grid_options(parser: argparse._ActionsContainer) -> None:
    """Add the options: a file, or a patch of a sky map."""
    add = parser.add_argument
    add("--grid", metavar="FILE", help="an image whose pixels the result shall have")
    add("--skymap", metavar="NAME", help="a sky map, in place of a grid")
    add("--tract", type=int, metavar="N", help="tract of the sky map")
    add("--patch", metavar="P", help="patch of the tract, by number or as X,Y")


def target_grid(options: argparse.Namespace) -> "Grid":
    """Return the grid that the options name; `UsageError` if none, or two."""
    from jaxcoadd.io import InputError, read_grid

    whole = (options.skymap, options.tract, options.patch)
    if options.grid and whole == (None, None, None):
        grid = read_grid(options.grid)
        if grid.wcs is None:
            raise InputError(f"{options.grid} has no WCS of the sky; name another file")
        return grid
    if options.grid or None in whole:
        raise UsageError("give --grid FILE, or --skymap NAME, --tract N and --patch P")
    from jaxcoadd.io import Grid
    from jaxcoadd.sky import SkyMapError, named_sky_map

    try:
        tract = named_sky_map(options.skymap).tract(options.tract)
        found = tract.patch(patch_index(options.patch)).grid()
    except SkyMapError as error:
        raise UsageError(str(error)) from error
    return Grid(found.shape, found.wcs, found.origin)
