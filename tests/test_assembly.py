"""Whole runs: coadds that do not depend on how they are cut, and whose inputs count."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcoadd import coadd, io, stack_warps
from jaxcoadd.assembly import Settings, assemble, make_plan
from jaxcoadd.assembly.ahead import read_ahead
from jaxcoadd.assembly.strips import stack_strip
from tests import fits_files as files
from tests import warp_files
from tests.warp_files import SHAPE, make_scene, write_warp, write_warps


def run(paths, **settings):
    """Assemble some files."""
    chosen = dataclasses.replace(Settings(), **settings)
    return assemble(make_plan(paths, chosen), chosen)


def bits(array):
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def assert_same_coadd(found, wanted):
    for name in ("image", "variance", "mask", "n_image"):
        np.testing.assert_array_equal(
            bits(np.asarray(getattr(found, name))),
            bits(np.asarray(getattr(wanted, name))),
            err_msg=name,
        )


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_warps(tmp_path_factory.mktemp("warps"))


@pytest.fixture(scope="module")
def whole(paths):
    return run(paths)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistic", "weighting"),
    [
        ("ClippedMean", "warp"),
        ("ClippedMean", "variance"),
        ("Mean", "warp"),
        ("Median", "equal"),
    ],
)
def test_an_assembled_coadd_is_that_of_the_stack_bit_for_bit(
    paths, statistic, weighting
):
    settings = Settings(statistic=statistic, weighting=weighting)
    stack = stack_warps([io.read_warp(path) for path in paths])
    wanted = jax.jit(coadd)(stack, settings.coadd_config())
    found = assemble(make_plan(paths, settings), settings).coadd
    assert found.planes == wanted.planes
    assert_same_coadd(found, wanted)


@pytest.mark.slow
def test_an_assembled_coadd_is_that_of_the_stack_in_64_bits_too(paths):
    with jax.enable_x64(True):
        warps = [io.read_warp(path) for path in paths]
        warps = [
            dataclasses.replace(
                warp,
                image=warp.image.astype(float),
                variance=warp.variance.astype(float),
            )
            for warp in warps
        ]
        wanted = jax.jit(coadd)(stack_warps(warps), Settings().coadd_config())
        found = run(paths).coadd
    assert found.image.dtype == np.float64
    assert_same_coadd(found, wanted)


@pytest.mark.parametrize("rows", [1, 7, 39])
def test_the_size_of_a_subregion_changes_no_bit(paths, whole, rows):
    found = run(paths, subregion_rows=rows)
    assert_same_coadd(found.coadd, whole.coadd)
    for name in ("weight", "pixels_used", "pixels_rejected", "pixels_clipped"):
        np.testing.assert_array_equal(found.inputs[name], whole.inputs[name])


@pytest.mark.parametrize("rows", [7, 40])
def test_warps_that_are_read_twice_give_the_same_bits(paths, whole, rows):
    settings = Settings(subregion_rows=rows)
    plan = dataclasses.replace(make_plan(paths, settings), keep=False)
    found = assemble(plan, settings)
    assert plan.rows == rows and plan.passes == 2
    assert_same_coadd(found.coadd, whole.coadd)


@pytest.mark.parametrize("keep", [True, False])
def test_a_device_that_runs_out_of_memory_gets_half_as_many_rows(
    paths, whole, monkeypatch, keep
):
    tried = []

    def stack(pixels, weights, **options):
        tried.append(pixels[0].shape[1])
        if tried[-1] > 8:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return stack_strip(pixels, weights, **options)

    monkeypatch.setattr("jaxcoadd.assembly.run.stack_strip", stack)
    settings = Settings(subregion_rows=20)
    plan = dataclasses.replace(make_plan(paths, settings), keep=keep)
    found = assemble(plan, settings)
    # Subregions of 20 rows, in parts of 20, 10 and 5, filled up for four devices.
    assert tried == [20, 12, 8, 8, 8, 8, 8, 8, 8, 8]
    assert_same_coadd(found.coadd, whole.coadd)
    for name in ("pixels_used", "pixels_clipped"):
        np.testing.assert_array_equal(found.inputs[name], whole.inputs[name])


def test_a_device_without_memory_for_one_row_is_an_error(paths, monkeypatch):
    error = RuntimeError("RESOURCE_EXHAUSTED: out of memory")
    monkeypatch.setattr("jaxcoadd.assembly.run.stack_strip", warp_files.raising(error))
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        run(paths)


@pytest.fixture(scope="module")
def online(paths):
    return run(paths, statistic="Mean", online_mean=True)


def test_an_online_mean_is_the_mean_and_follows_bad_planes_only(paths, online):
    wanted = run(paths, statistic="Mean", online_mean=False)
    # Each is a sum of four terms, of the sizes of the pixels with a trail.
    eps = np.finfo(np.float32).eps
    for name, size in (("image", 1500), ("variance", 40)):
        found, other = getattr(online.coadd, name), getattr(wanted.coadd, name)
        np.testing.assert_allclose(found, other, rtol=8 * eps, atol=8 * eps * size)
    np.testing.assert_array_equal(online.coadd.n_image, wanted.coadd.n_image)
    np.testing.assert_array_equal(
        online.inputs["pixels_used"], wanted.inputs["pixels_used"]
    )
    mask, other = online.coadd.mask, wanted.coadd.mask
    # Where nothing is left, a stack has NO_DATA in place of what exceeds a threshold.
    saturated = np.uint32(online.coadd.planes.bits(["SAT"]))
    empty = (other & online.coadd.planes.bits(["NO_DATA"])) != 0
    assert ((mask & saturated)[~empty] == (other & saturated)[~empty]).all()
    assert not (other[empty] & saturated).any()


@pytest.mark.parametrize("rows", [1, 7])
def test_subregions_change_no_bit_of_an_online_mean(paths, online, rows):
    found = run(paths, statistic="Mean", online_mean=True, subregion_rows=rows)
    assert_same_coadd(found.coadd, online.coadd)


def test_an_online_mean_is_for_means_only(paths, whole):
    assert_same_coadd(run(paths, online_mean=True).coadd, whole.coadd)


def test_the_image_is_finished(whole):
    mask, planes = whole.coadd.mask, whole.coadd.planes
    empty = (mask & planes.bits(["NO_DATA"])) != 0
    assert empty[:, :3].all() and not empty[:, 10:].all()
    assert (mask[empty] & planes.bits(["INTRP"])).all()
    assert np.isfinite(whole.coadd.image).all() and (whole.coadd.variance > 0).all()
    assert (whole.coadd.n_image[:, :3] == 0).all() and whole.coadd.n_image.max() == 4


def test_inputs_are_accounted_for_pixel_by_pixel(paths, whole):
    table = whole.inputs
    assert list(table["file"]) == [str(path) for path in paths]
    assert list(table["identifier"]) == ["100", "101", "102", "103"]
    for index, row in enumerate(table):
        scene = make_scene(index)
        good = np.isfinite(scene.image) & ((scene.mask & 0b11) == 0)
        used = row["pixels_used"] + row["pixels_clipped"]
        assert used == good.sum()
        assert used + row["pixels_rejected"] == scene.image.size
        # The trail is a row of its own in each warp.
        assert row["pixels_clipped"] > 30
        typical = np.median(scene.variance)
        assert row["weight"] == pytest.approx(1 / typical, rel=0.05)
    assert (table["zero_point"] == 27).all() and (table["scale"] == 1).all()
    assert np.isnan(table["seeing"]).all() and set(table["skipped"]) == {""}


def test_seeing_and_filter_are_passed_on(tmp_path):
    cards = {"SEEING": 0.7, "FILTER": "r"}
    found = run(write_warps(tmp_path, 2, cards=cards))
    assert list(found.inputs["seeing"]) == [0.7, 0.7]
    assert found.cards == {"FILTER": "r"}


def shifted(scene, dx, dy):
    """Move pixels by whole columns and rows; what comes in is empty."""

    def move(plane, fill):
        height, width = plane.shape
        result = np.full_like(plane, fill)
        y, x = np.mgrid[:height, :width]
        inside = (0 <= y + dy) & (y + dy < height) & (0 <= x + dx) & (x + dx < width)
        result[inside] = plane[(y + dy)[inside], (x + dx)[inside]]
        return result

    empty = 1 << warp_files.PLANES["NO_DATA"]
    return files.Scene(
        move(scene.image, np.nan), move(scene.variance, np.nan), move(scene.mask, empty)
    )


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (-4, 5)])
@pytest.mark.parametrize("rows", [6, 40])
def test_offsets_of_whole_pixels_are_honoured(tmp_path, dx, dy, rows):
    others = write_warps(tmp_path, 3)
    scene = make_scene(3)
    # The pixel (x, y) of the others is the pixel (x + dx, y + dy) of this one.
    moved = files.wcs_cards(SHAPE, (-dx, -dy))
    off = write_warp(tmp_path, 3, scene=scene, name="off.fits", image_cards=moved)
    on = write_warp(tmp_path, 3, scene=shifted(scene, dx, dy), name="on.fits")
    plan = make_plan([*others, off], Settings())
    assert [item.offset for item in plan.inputs] == [(0, 0)] * 3 + [(dx, dy)]
    found = run([*others, off], subregion_rows=rows)
    assert_same_coadd(found.coadd, run([*others, on]).coadd)


@pytest.mark.parametrize("keep", [True, False])
def test_a_first_warp_with_an_offset_gives_the_grid(tmp_path, keep):
    moved = files.wcs_cards(SHAPE, (-3, 2))
    first = write_warp(tmp_path, 0, name="first.fits", image_cards=moved)
    others = [write_warp(tmp_path, k) for k in (1, 2)]
    plan = make_plan([first, *others], Settings())
    assert [item.offset for item in plan.inputs] == [(0, 0), (-3, 2), (-3, 2)]
    assert plan.grid.header["CRPIX1"] == moved["CRPIX1"]
    found = assemble(dataclasses.replace(plan, keep=keep), Settings())
    # Columns of the first warp that the others have no pixels of.
    alone = found.coadd.n_image[:, :6]
    assert alone.max() == 1


def test_the_grid_is_that_of_a_warp_that_is_used(tmp_path):
    moved = files.wcs_cards(SHAPE, (-3, 2))
    first = write_warp(
        tmp_path, 0, image_cards=moved, cards={"MAGZERO": None}, name="bad.fits"
    )
    others = [write_warp(tmp_path, k) for k in (1, 2)]
    plan = make_plan([first, *others], Settings())
    assert "does not say its zero point" in plan.inputs[0].skipped
    assert [item.offset for item in plan.used] == [(0, 0), (0, 0)]
    assert plan.grid.header["CRPIX1"] == SHAPE[1] / 2


def test_equal_zero_points_stay_and_their_pixels_too(tmp_path):
    zero_points = [27.0, 27.0 + 1e-9, 27.0 - 1e-9]
    paths = [
        write_warp(tmp_path, k, cards={"MAGZERO": z}) for k, z in enumerate(zero_points)
    ]
    same = [write_warp(tmp_path, k, name=f"same{k}.fits") for k in range(3)]
    found = run(paths).coadd
    assert found.zero_point == 27.0
    assert_same_coadd(found, run(same).coadd)


def test_one_warp_is_itself_where_it_is_good(tmp_path):
    path = write_warp(tmp_path, 0)
    found = run([path]).coadd
    good = found.n_image == 1
    np.testing.assert_array_equal(found.image[good], make_scene(0).image[good])


def assert_scaled(found, wanted, factor):
    """Pixels are rounded a few times, to 2**-24; sums may cancel to a part of them."""
    error = np.abs(found.image - wanted.image * factor)
    scatter = np.where(np.isfinite(found.variance), np.sqrt(found.variance), 0)
    assert (error <= 1e-5 * scatter + 2e-6 * np.abs(found.image)).all()
    np.testing.assert_allclose(found.variance, wanted.variance * factor**2, rtol=2e-6)


def test_mixed_zero_points_go_to_nanojansky(tmp_path):
    scenes = [make_scene(0), make_scene(1)]
    paths = []
    for index, (scene, zero_point) in enumerate(zip(scenes, (27.0, 29.5), strict=True)):
        factor = np.float32(10 ** (0.4 * (zero_point - 27)))
        scaled = scene._replace(
            image=scene.image * factor, variance=scene.variance * factor**2
        )
        cards = {"MAGZERO": zero_point}
        paths.append(write_warp(tmp_path, index, scene=scaled, cards=cards))
    same = [write_warp(tmp_path, k, name=f"same{k}.fits") for k in range(2)]
    found, wanted = run(paths).coadd, run(same).coadd
    assert (found.zero_point, found.unit) == (31.4, "nJy")
    assert_scaled(found, wanted, 10 ** (0.4 * 4.4))


def test_a_zero_point_that_is_asked_for_is_reached(tmp_path):
    paths = write_warps(tmp_path, 2)
    found = run(paths, zero_point=24.5)
    assert_scaled(found.coadd, run(paths).coadd, 0.1)
    assert found.coadd.zero_point == 24.5
    np.testing.assert_allclose(found.inputs["scale"], 0.1)


def test_planes_of_all_files_are_united(tmp_path):
    first = write_warp(tmp_path, 0)
    scene = make_scene(1)
    # The same plane at another bit.
    mask = np.where(scene.mask & 1, np.uint32(1 << 20), np.uint32(0))
    second = files.write_afw(
        tmp_path / "b.fits",
        scene._replace(mask=mask),
        planes={"BAD": 20, "FRINGE": 9},
        cards={"VISIT": 7, "MAGZERO": 27.0},
    )
    plan = make_plan([first, second], Settings())
    assert {"CROSSTALK", "FRINGE"} <= set(plan.planes.used)
    rejected = run([first, second]).inputs["pixels_rejected"][1]
    assert rejected == np.count_nonzero((mask != 0) | ~np.isfinite(scene.image))


def test_bright_objects_are_flagged(tmp_path, paths):
    catalogue = tmp_path / "bright.reg"
    catalogue.write_text("wcs; fk5\ncircle(150.0, 2.0, 0.0002) # ID: 1, mag: 9\n")
    plan = make_plan(paths, Settings())
    spans = io.read_bright_regions(catalogue, plan.grid)
    coadd = assemble(plan, Settings(), bright_objects=spans).coadd
    flagged = (coadd.mask & coadd.planes.bits(["BRIGHT_OBJECT"])) != 0
    # 0.72 arcseconds are 3.6 pixels, which is cut to 3; the centre is that of the
    # image, at pixel (24, 19) from 0.
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_array_equal(flagged, (x - 24) ** 2 + (y - 19) ** 2 <= 9)
    assert_same_coadd(
        dataclasses.replace(
            coadd, mask=coadd.mask & ~np.uint32(coadd.planes.bits(["BRIGHT_OBJECT"]))
        ),
        run(paths).coadd,
    )


def test_a_run_without_a_warp_is_empty_if_that_is_allowed(tmp_path):
    scene = make_scene(0)
    empty = scene._replace(image=np.full_like(scene.image, np.nan))
    path = write_warp(tmp_path, 0, scene=empty)
    found = assemble(make_plan([path], Settings()), Settings(), min_inputs=0)
    assert (found.coadd.n_image == 0).all()
    assert np.isinf(found.coadd.variance).all()
    no_data = found.coadd.planes.bits(["NO_DATA"])
    assert ((found.coadd.mask & no_data) != 0).all()
    assert "has no pixel that is a finite number" in found.inputs["skipped"][0]


def test_progress_counts_up_to_the_total(paths):
    plan = make_plan(paths, Settings(subregion_rows=15))
    for keep in (True, False):
        told = []
        assemble(
            dataclasses.replace(plan, keep=keep),
            Settings(),
            progress=lambda *update, told=told: told.append(update),
        )
        done = [update[1] for update in told]
        assert done == sorted(done)
        assert done[-1] == pytest.approx(told[-1][2], abs=len(paths) * 3)
        assert [update[0] for update in told][:4] == ["weigh"] * 4
        assert told[-1][0] == "finish" and "stack" in [update[0] for update in told]


def test_what_is_read_ahead_comes_in_order():
    assert list(read_ahead(str, range(5))) == list("01234")
    assert list(read_ahead(str, [])) == []


def test_an_error_of_reading_comes_where_its_result_would():
    results = read_ahead(lambda n: 1 // (2 - n), range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_reading_begins_after_one_stops():
    begun = []
    results = read_ahead(begun.append, range(9))
    next(results)
    results.close()
    assert len(begun) <= 3
