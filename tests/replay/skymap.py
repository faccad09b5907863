"""Replay ``skymap_*``: tracts, patches, cells, and where positions are."""

import gzip
import json

import numpy as np
import pytest

from jaxcoadd import sky
from jaxcoadd.sky.sphere import unit_vectors

# Angles near 360 degrees are rounded by 6e-14, and a corner comes of some ten steps:
# 1e-12 degrees is 4e-9 arcsec, far below the 1e-9 pixels that anyone could see.
ANGLE = 1e-12
# A pixel is 5e-5 degrees at least, of which that is 2e-8; a few such steps add up.
PIXEL = 1e-7


def make_patches(config):
    """Return the builder of patches that a recorded configuration has."""
    if config["tractBuilder"] == "cells":
        width, height = config["cellInnerDimensions"]
        assert width == height
        return sky.CellPatches(
            width,
            config["cellBorder"],
            config["numCellsPerPatchInner"],
            config["numCellsInPatchBorder"],
        )
    return sky.LegacyPatches(*config["patchInnerDimensions"], config["patchBorder"])


def make_map(case):
    """Return the sky map of a recorded configuration."""
    config = case["config"]
    layout = sky.TractLayout(
        config["projection"],
        config["pixelScale"],
        config["tractOverlap"],
        config["rotation"],
        make_patches(config),
    )
    if case["kind"] == "rings":
        return sky.RingsSkyMap(
            config["numRings"], config["raStart"], layout, config.get("version", 1)
        )
    if case["kind"] == "discrete":
        lists = (tuple(config[f"{name}List"]) for name in ("ra", "dec", "radius"))
        return sky.DiscreteSkyMap(*lists, layout)
    if case["kind"] == "dodeca":
        return sky.DodecahedronSkyMap(config["withTractsOnPoles"], layout)
    if case["kind"] == "equat":
        return sky.EquatorialSkyMap(
            config["numTracts"], tuple(config["decRange"]), layout
        )
    assert case["kind"] == "healpix"
    return sky.HealpixSkyMap(config["log2NSide"], config["nest"], layout)


def assert_same_places(found, expected):
    """Compare positions as points of the sphere; RA means nothing at a pole."""
    found, expected = np.asarray(found), np.asarray(expected)
    apart = unit_vectors(*found.T) - unit_vectors(*expected.T)
    assert np.abs(apart).max() < np.radians(ANGLE)


def assert_same_polygon(found, expected):
    """Compare vertices, which a convex polygon has in whichever order."""
    found, expected = unit_vectors(*found.T), unit_vectors(*np.transpose(expected))
    assert len(found) == len(expected)
    apart = np.abs(found[:, None] - expected).max(axis=-1).min(axis=0)
    assert apart.max() < np.radians(ANGLE)


def check_tract(sky_map, case):
    """Compare a tract, and its recorded patches and cells."""
    tract = sky_map.tract(case["id"])
    assert_same_places([tract.center], [case["center"]])
    assert list(tract.box.as_tuple()) == case["bbox"]
    assert list(tract.size) == case["num_patches"]
    patches = tract.layout.patches
    assert patches.margin == case["patch_border"]
    assert list(patches.inner_size) == case["patch_inner_dimensions"]
    assert_same_places(tract.corners, case["outer_corners"])
    assert_same_polygon(tract.vertices, case["vertices"])
    check_wcs(tract.wcs.wcs, case["wcs"])
    if "ring" in case:
        assert list(sky_map.ring_of(case["id"])) == case["ring"]
        region = sky_map.inner_region(case["id"])
        np.testing.assert_allclose(region, case["ra_dec_range"], rtol=0, atol=ANGLE)
    for patch in case["patches"]:
        check_patch(tract, patch)


def check_wcs(wcs, case):
    """Compare the cards of a WCS."""
    check_cards(wcs, case)
    np.testing.assert_allclose(wcs.cd, case["cd"], rtol=1e-14, atol=1e-20)
    ends = {name[-3:] for name in wcs.ctype}
    assert ends == {case["projection"]}


def check_cards(wcs, case):
    """Compare the reference pixel and its position."""
    # An integer, of which the original's library knows as much.
    np.testing.assert_allclose(wcs.crpix - 1, case["crpix"], rtol=0, atol=1e-9)
    assert_same_places([wcs.crval], [case["crval"]])


def check_patch(tract, case):
    """Compare a patch and its recorded cells."""
    patch = tract.patch(tuple(case["index"]))
    assert patch.number == case["sequential"]
    assert tract.patch(case["sequential"]) == patch
    assert list(patch.inner.as_tuple()) == case["inner"]
    assert list(patch.outer.as_tuple()) == case["outer"]
    assert_same_places(patch.corners, case["outer_corners"])
    assert_same_places(patch.inner_corners, case["inner_corners"])
    for recorded in case.get("cells", ()):
        cell = patch.cell(tuple(recorded["index"]))
        assert [cell.builder.cells_across] * 2 == case["num_cells"]
        assert cell.number == recorded["sequential"]
        assert patch.cell(recorded["sequential"]) == cell
        assert list(cell.inner.as_tuple()) == recorded["inner"]
        assert list(cell.outer.as_tuple()) == recorded["outer"]
        assert_same_places(cell.corners, recorded["outer_corners"])


def check_positions(sky_map, case):
    """Compare the tract, pixel and patch of every position."""
    ra, dec = np.transpose(case["radec"])
    found = sky_map.find_tract(ra, dec)
    firm = np.setdiff1d(np.arange(len(ra)), case["aux_fragile"])
    np.testing.assert_array_equal(found[firm], np.array(case["tract"])[firm])
    for number in firm.tolist():
        tract = sky_map.tract(case["tract"][number])
        check_pixel(tract, ra[number], dec[number], case["pixel"][number])
        patch = case["patch"][number]
        if patch is None:
            with pytest.raises(sky.SkyMapError, match="not in tract"):
                tract.find_patch(ra[number], dec[number])
        else:
            at = tract.find_patch(ra[number], dec[number])
            assert [at.x, at.y, at.number] == patch


def check_pixel(tract, ra, dec, expected):
    """Compare a pixel; far from the tract it means nothing."""
    pixel = tract.find_pixels(ra, dec)
    if expected is None:
        assert np.isnan(pixel).all()
    elif tract.box.grow(tract.layout.patches.margin).contains(*expected):
        np.testing.assert_allclose(pixel, expected, rtol=0, atol=PIXEL)


def check_border(sky_map, case):
    """Compare the tracts of positions near the borders of tracts."""
    ra, dec = np.transpose(case["radec"])
    found = sky_map.find_tract(ra, dec).tolist()
    for number, at in enumerate(case["radec"]):
        if number not in case["aux_fragile"]:
            assert found[number] == case["find_tract"][number]
            tracts = [tract.number for tract in sky_map.find_all_tracts(*at)]
            assert tracts == case["containing"][number]


def as_numbers(found):
    """Return tracts with their patches as the record has them."""
    return [[tract.number, [p.number for p in patches]] for tract, patches in found]


def replay(path, precision):
    """Assert that a sky map comes out; nothing of it depends on the precision."""
    case = json.loads(gzip.decompress(path.read_bytes()))
    sky_map = make_map(case)
    assert sky_map.sha1 == case["sha1"]
    assert sky_map.tract_count == case["num_tracts"]
    for tract in case["tracts"]:
        check_tract(sky_map, tract)
    check_positions(sky_map, case["positions"])
    check_border(sky_map, case["border"])
    for entry in case["coord_lists"]:
        ra, dec = np.transpose(entry["radec"])
        found = sky_map.find_tract_patches(ra, dec)
        assert as_numbers(found) == entry["tract_patch"]
        closest = sky_map.find_closest_tract_patches(ra, dec)
        assert as_numbers(closest) == entry["closest"]
