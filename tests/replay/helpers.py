"""Replay ``helpers_*``: subregions, and lists of inputs put into another order."""

import json

import pytest

from jaxcoadd.assembly.inputs import choose_visits, match_by_key, subregions

NOT_COVERED = ("make_sky_info",)
"""Needs sky maps, which are not there yet."""


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


CHECKS = {
    "sub_bbox_iter": check_subregions,
    "reorder_and_pad_list": check_reordered,
    "reorder_refs": check_references,
    "filter_warps": check_visits,
}


def replay(path, precision):
    """Assert that every entry comes out; none of them depends on the precision."""
    case = json.loads(path.read_text())
    for name, entries in case.items():
        if name in CHECKS:
            for entry in entries:
                CHECKS[name](entry)
        else:
            assert name == "doc" or name in NOT_COVERED, f"unknown entries {name}"
