"""Plans are made from headers alone, and say how much memory a run takes."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from astropy.io import fits

from jaxcoadd import io
from jaxcoadd.assembly import (
    NoInputsError,
    Settings,
    SettingsError,
    assemble,
    make_plan,
    memory,
    notices,
)
from jaxcoadd.assembly.checks import join_reasons
from jaxcoadd.assembly.memory import divide_memory
from tests import fits_files as files
from tests.warp_files import SHAPE, make_scene, write_warp, write_warps

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_warps(tmp_path_factory.mktemp("warps"))


def skipped(paths, **settings):
    """Return why each file is left out."""
    plan = make_plan(paths, dataclasses.replace(Settings(), **settings))
    return [item.skipped for item in plan.inputs]


@pytest.mark.parametrize(
    ("zero_point", "unit", "expected"),
    [(31.4, None, "nJy"), (27.0, "adu", "adu"), (27.0, None, None)],
)
def test_the_unit_is_that_of_the_inputs(tmp_path, zero_point, unit, expected):
    paths = write_warps(
        tmp_path,
        2,
        cards={"MAGZERO": zero_point},
        image_cards={} if unit is None else {"BUNIT": unit},
    )
    assert make_plan(paths, Settings()).unit == expected
    assert make_plan(paths, Settings(zero_point=25.0)).unit is None


def test_unknown_planes_are_refused_from_headers_alone(paths, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(io.WarpFile, "read_rows", refuse)
    with pytest.raises(SettingsError, match=r"no mask plane 'CROSTALK'.*'CROSSTALK'"):
        make_plan(paths, Settings(bad_planes=("BAD", "CROSTALK")))
    with pytest.raises(SettingsError, match="'CRX'"):
        make_plan(paths, Settings(mask_thresholds={"CRX": 0.1}))
    # Planes that LSST has but these files have not are nothing to complain about.
    make_plan(paths, Settings(bad_planes=("UNMASKEDNAN", "CROSSTALK")))


def test_planes_that_differ_in_capitals_only_are_refused(paths):
    with pytest.raises(SettingsError, match=r"Bad.*differ in capitals only"):
        make_plan(paths, Settings(bright_object_plane="Bad"))


def test_more_planes_than_bits_are_refused(tmp_path):
    paths = []
    for index in range(2):
        planes = {f"P{index}_{bit}": bit for bit in range(14)}
        scene = make_scene(index)
        paths.append(
            files.write_afw(
                tmp_path / f"{index}.fits",
                scene._replace(mask=scene.mask & 1),
                planes=planes,
                cards={"VISIT": index, "MAGZERO": 27.0},
            )
        )
    with pytest.raises(io.InputError, match=r"planes of the 2 warps .* do not fit"):
        make_plan(paths, Settings())
    make_plan(paths[:1], Settings())


def test_what_may_not_be_meant_is_noticed(tmp_path, paths):
    first = write_warp(tmp_path, 0, cards={"FILTER": "g"})
    second = write_warp(tmp_path, 1, cards={"FILTER": "r"})
    assert notices(make_plan(paths, Settings())) == []
    assert notices(make_plan(paths[:1], Settings())) == []
    (bands,) = notices(make_plan([first, second], Settings()))
    assert bands == "the warps are of 2 bands (g 1, r 1)"
    old = tmp_path / "old.fits"
    io.write_coadd(old, assemble(make_plan(paths, Settings()), Settings()).coadd)
    (among,) = notices(make_plan([*paths, old], Settings()))
    assert among == f"among the warps there are coadds: {old}"


def test_a_zero_point_may_be_given_for_every_kind_of_file(tmp_path):
    scene = files.make_scene()
    swarp = files.write_swarp(tmp_path / "s", scene, 1 / scene.variance)
    sample = files.write_sample(tmp_path / "a.fits", scene)
    with fits.open(sample, mode="update") as file:
        del file[0].header["MAGZERO"]
    for path, layout in ((swarp, "swarp"), (sample, "sample")):
        found = io.open_warp(path, io.mapping_from_table({"zero_point": 26.0}))
        assert (found.layout, found.zero_point) == (layout, 26.0)


def test_bits_that_are_given_replace_the_codes_of_a_kind_of_file(tmp_path):
    scene = files.make_scene()
    quality = np.full(files.SHAPE, 1, np.int16)
    path = files.write_decam(tmp_path, scene, quality, version="V4.1")
    found = io.open_warp(
        path, io.mapping_from_table({"bits": {"BAD": 0}, "zero_point": 25.0})
    )
    assert found.planes.used == ("BAD", "NO_DATA", "BAD_VARIANCE")
    assert (found.read_rows(0, 1).mask == 1).all()


def test_the_grid_that_most_share_counts(tmp_path):
    moved = files.wcs_cards(SHAPE, (0.4, 0.0))
    odd = write_warp(tmp_path, 9, image_cards=moved, name="odd.fits")
    reasons = skipped([odd, *write_warps(tmp_path, 2)])
    assert reasons[1:] == ["", ""]
    assert "odd.fits is on another grid than" in reasons[0]
    assert "up to 0.4 pixels off; warp it to that grid" in reasons[0]


def test_other_shapes_are_left_out(tmp_path):
    small = write_warp(tmp_path, 9, scene=make_scene(9, (30, 50)), name="small.fits")
    reasons = skipped([*write_warps(tmp_path, 2), small])
    assert "small.fits has 30 x 50 pixels and" in reasons[2]
    assert "as most others, 40 x 50; warp it to their grid" in reasons[2]


def test_warps_that_do_not_overlap_are_left_out(tmp_path):
    moved = files.wcs_cards(SHAPE, (50, 0))
    far = write_warp(tmp_path, 9, image_cards=moved, name="far.fits")
    reasons = skipped([*write_warps(tmp_path, 2), far])
    assert "far.fits does not overlap" in reasons[2]
    assert "50 columns and 0 rows off" in reasons[2]


def test_a_warp_without_a_wcs_among_others_is_left_out(tmp_path):
    bare = write_warp(tmp_path, 9, name="bare.fits")
    with fits.open(bare, mode="update") as file:
        for card in files.wcs_cards():
            del file[1].header[card]
    reasons = skipped([*write_warps(tmp_path, 2), bare])
    assert "bare.fits has no WCS; add its cards" in reasons[2]
    assert skipped([bare]) == [""]


def test_warps_without_a_zero_point_are_left_out(tmp_path):
    bare = write_warp(tmp_path, 9, cards={"MAGZERO": None}, name="bare.fits")
    others = write_warps(tmp_path, 2)
    (reason,) = filter(None, skipped([*others, bare]))
    assert "bare.fits does not say its zero point" in reason
    assert "-c reader.zero_point=27.0" in reason
    given = io.mapping_from_table({"zero_point": 27.0})
    assert skipped([*others, bare], reader=given) == ["", "", ""]


def test_mixed_and_missing_units_are_left_out_unless_they_are_fluxes(tmp_path):
    adu = {"image_cards": {"BUNIT": "adu"}}
    many = [write_warp(tmp_path, k, name=f"adu{k}.fits", **adu) for k in range(3)]
    electrons = write_warp(
        tmp_path, 3, name="e.fits", image_cards={"BUNIT": "electron"}
    )
    bare = write_warp(tmp_path, 4, name="bare.fits")
    reasons = skipped([*many, electrons, bare])
    assert reasons[:3] == ["", "", ""]
    assert (
        "e.fits has the unit 'electron' and most warps have the unit 'adu'"
        in (reasons[3])
    )
    assert "bare.fits has no unit and most warps have the unit 'adu'" in reasons[4]
    given = io.mapping_from_table({"unit": "adu"})
    assert skipped([*many, electrons, bare], reader=given) == [""] * 5
    fluxes = [
        write_warp(
            tmp_path,
            k,
            name=f"{unit}.fits",
            cards={"MAGZERO": None},
            image_cards={"BUNIT": unit},
        )
        for k, unit in enumerate(("nJy", "uJy"))
    ]
    plan = make_plan(fluxes, Settings())
    assert [item.skipped for item in plan.inputs] == ["", ""]
    assert [item.factor for item in plan.inputs] == [1.0, pytest.approx(1000)]


def test_a_file_that_is_given_twice_is_used_once(tmp_path, monkeypatch):
    path = write_warp(tmp_path, 0)
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link.fits"
    link.symlink_to(path)
    reasons = skipped([path, path, "w0.fits", link])
    assert reasons[0] == ""
    for reason in reasons[1:]:
        assert reason.endswith("is given twice; it is used once")


def test_an_exposure_that_comes_twice_is_used_once(tmp_path):
    first = write_warp(tmp_path, 0)
    second = write_warp(tmp_path, 0, name="again.fits")
    reasons = skipped([first, second])
    assert "again.fits is of exposure 100, as is" in reasons[1]
    by_name = io.mapping_from_table({"identifier": ""})
    assert skipped([first, second], reader=by_name) == ["", ""]


def test_the_copy_that_can_be_used_is_used(tmp_path):
    bad = write_warp(tmp_path, 0, cards={"MAGZERO": None}, name="bad.fits")
    good = write_warp(tmp_path, 0)
    reasons = skipped([bad, good])
    assert "zero point" in reasons[0] and reasons[1] == ""


def test_files_of_one_name_in_two_folders_are_two_warps(tmp_path):
    paths = []
    for index, name in enumerate(("night1", "night2")):
        (tmp_path / name).mkdir()
        cards = {"VISIT": None}
        paths.append(write_warp(tmp_path / name, index, name="warp.fits", cards=cards))
    assert skipped(paths) == ["", ""]


def test_a_pattern_that_matches_nothing_is_named(tmp_path):
    with pytest.raises(NoInputsError, match=r"no file has a name as .*\*\.fits; check"):
        make_plan([tmp_path / "*.fits"], Settings())


def test_names_in_small_letters_are_read(tmp_path):
    scene = make_scene(0)
    path = files.write(
        tmp_path / "W.FITS",
        fits.PrimaryHDU(header=fits.Header({"MAGZERO": 27.0})),
        files.hdu(scene.image, {"EXTNAME": "sci"} | files.wcs_cards(SHAPE)),
        files.hdu(scene.variance, {"EXTNAME": "var"}),
        files.hdu(scene.mask.view(np.int32), {"EXTNAME": "mask"}),
    )
    assert skipped([path]) == [""]


def test_a_plan_without_inputs_gives_a_few_reasons_and_all_inputs(tmp_path):
    paths = [tmp_path / f"{index}.fits" for index in range(5)]
    with pytest.raises(NoInputsError) as caught:
        make_plan(paths, Settings())
    text = str(caught.value)
    assert text.startswith("none of the 5 warps can be used: ")
    assert text.count("does not exist; check its name") == 3
    assert text.endswith("; and 2 more")
    assert len(caught.value.inputs) == 5


def test_reasons_are_all_given_where_they_are_few():
    assert join_reasons(["a", "b", "c"]) == "a; b; c"


def test_many_warps_with_offsets_are_compared_quickly(tmp_path, monkeypatch):
    calls = []
    original = io.grids.same_grid

    def count(*grids):
        calls.append(grids)
        return original(*grids)

    monkeypatch.setattr("jaxcoadd.assembly.checks.same_grid", count)
    paths = []
    for index in range(12):
        cards = files.wcs_cards(SHAPE, (index % 3, index % 2))
        paths.append(write_warp(tmp_path, index, image_cards=cards))
    assert skipped(paths) == [""] * 12
    assert len(calls) <= 3 * 12


@pytest.mark.parametrize("shape", [(1, 1), (40, 50), (1200, 1200), (4000, 4000)])
@pytest.mark.parametrize("n_warps", [1, 12, 60, 500])
@pytest.mark.parametrize("spare", [0, 300, 20000])
def test_a_division_keeps_to_the_memory(shape, n_warps, spare):
    with pytest.raises(SettingsError) as caught:
        divide_memory(shape, n_warps, memory=1)
    least = int(str(caught.value).split("--memory ")[1].removesuffix("MB"))
    given = (least + spare) * MEBIBYTE
    found = divide_memory(shape, n_warps, memory=given)
    assert 1 <= found.rows <= shape[0]
    assert found.memory <= given + memory.BESIDE_BYTES
    assert not found.keep or n_warps * shape[0] * shape[1] * 12 < given
    with pytest.raises(SettingsError, match=f"memory of {least - 2} MiB is too little"):
        divide_memory(shape, n_warps, memory=(least - 2) * MEBIBYTE)


def test_rows_that_are_wished_for_do_not_exceed_the_memory():
    few = divide_memory((1200, 1200), 12, memory=400 * MEBIBYTE, rows=3)
    many = divide_memory((1200, 1200), 12, memory=400 * MEBIBYTE, rows=1200)
    assert few.rows == 3 and 3 < many.rows < 1200
    assert many.memory <= 400 * MEBIBYTE + memory.BESIDE_BYTES
    assert divide_memory((100, 100), 2, rows=1200).rows == 100


def test_more_memory_is_read_into_once():
    little = divide_memory((2000, 2000), 20, memory=700 * MEBIBYTE)
    much = divide_memory((2000, 2000), 20, memory=8000 * MEBIBYTE)
    assert (little.keep, much.keep) == (False, True)


def test_pixels_in_64_bits_take_more():
    narrow = divide_memory((400, 400), 12, rows=400).memory
    with jax.enable_x64(True):
        assert divide_memory((400, 400), 12, rows=400).memory > narrow


def test_the_memory_is_that_of_the_machine_or_less():
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory.machine_memory() <= physical


@pytest.mark.parametrize(
    ("membership", "file", "text", "expected"),
    [
        ("0::/job/step\n", "job/memory.max", "1000\n", [1000]),
        ("0::/job/step\n", "job/step/memory.max", "max\n", []),
        ("0::/\n", "memory.max", "5000", [5000]),
        ("4:memory:/job\n", "memory/job/memory.limit_in_bytes", "77", [77]),
        ("4:cpu,cpuacct:/job\n", "memory/job/memory.limit_in_bytes", "77", []),
    ],
)
def test_the_share_of_a_batch_job_counts(tmp_path, membership, file, text, expected):
    (tmp_path / "cgroup").write_text(membership)
    place = tmp_path / "groups" / file
    place.parent.mkdir(parents=True)
    place.write_text(text)
    found = list(memory._shares(tmp_path / "cgroup", tmp_path / "groups"))
    assert found[1:] == expected


def test_no_control_groups_are_no_limit(tmp_path):
    assert len(list(memory._shares(tmp_path / "none", tmp_path))) == 1
