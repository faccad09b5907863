"""Replay ``helpers_*``: subregions, order of inputs, and patches by their names."""

import json

import pytest

from jaxcoadd import sky
from jaxcoadd.assembly.inputs import choose_visits, match_by_key, subregions
from tests.replay.skymap import check_cards


def check_subregions(entry):
    """Compare the boxes, or see that a size without pixels is refused."""
    box, size = tuple(entry["bbox"]), tuple(entry["subregion"])
    if "error" in entry:
        with pytest.raises(ValueError, match=r"box|subregion"):
            list(subregions(box, size))
    else:
        assert [list(box) for box in subregions(box, size)] == entry["boxes"]


def check_reordered(entry):
    """Compare a list that is brought to the order of other keys."""
    found = match_by_key(
        entry["input_list"],
        entry["input_keys"],
        entry["output_keys"],
        missing=entry["pad_with"],
    )
    assert found == entry["out"]


def check_references(entry):
    """Compare two lists that are brought to one order."""
    for name in "ab":
        refs = entry[f"refs_{name}"]
        assert match_by_key(refs, refs, entry["order"]) == entry[f"out_{name}"]


def check_visits(entry):
    """Compare the inputs of the visits that are wanted."""
    visits = entry["input_visits"]
    positions = list(range(len(visits)))
    assert (
        choose_visits(positions, visits, entry["good_visits"])
        == (entry["out_positions"])
    )


def check_sky_info(entry):
    """Compare the grid of a patch, or see that its name is refused."""
    sky_map, patch = sky.named_sky_map(entry["map"]), entry["patch"]
    if entry["patch_type"] == "tuple":
        patch = tuple(patch)
    if "error" in entry:
        with pytest.raises(sky.SkyMapError, match=r"no tract|no patch|names no patch"):
            sky_map.tract(entry["tract"]).patch(patch)
        return
    found = sky_map.tract(entry["tract"]).patch(patch)
    assert [found.x, found.y] == entry["index"]
    assert found.number == entry["sequential"]
    assert list(found.outer.as_tuple()) == entry["bbox"]
    if "crpix" in entry:
        check_cards(found.tract.wcs.wcs, entry)


CHECKS = {
    "sub_bbox_iter": check_subregions,
    "reorder_and_pad_list": check_reordered,
    "reorder_refs": check_references,
    "filter_warps": check_visits,
    "make_sky_info": check_sky_info,
}


def replay(path, precision):
    """Assert that every entry comes out; none of them depends on the precision."""
    case = json.loads(path.read_text())
    assert case.keys() <= {"doc", *CHECKS}, "unknown entries"
    for name in case.keys() - {"doc"}:
        for entry in case[name]:
            CHECKS[name](entry)
