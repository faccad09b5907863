"""The demonstration writes the coadds that were recorded, and pictures of them."""

import json
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from jaxcoadd import demo, io
from tests.conftest import GOLDEN
from tests.replay.real import check_planes
from tests.warp_files import run

PICTURES = ("colours.png", "warp_and_coadd.png", "depth.png", "mask.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Run the demonstration once, and return its folder and what it says."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    said = []
    demo.run_demo(folder, said.append)
    return folder, said


@pytest.mark.slow
@pytest.mark.parametrize("band", demo.BANDS)
def test_the_coadds_are_those_that_were_recorded(made, band):
    with np.load(GOLDEN / f"real_decam_{band}.npz") as case:
        case = dict(case)
    params = json.loads(str(case["params"]))
    found = io.read_coadd(made[0] / f"decam_{band}.fits")
    assert [name.split("/")[-1] for name in found.inputs["file"]] == params["warps"]
    assert found.coadd.image.dtype == np.float32
    check_planes(found.coadd, case, params, 32)


@pytest.mark.slow
def test_the_trail_of_the_satellite_is_not_in_the_coadd(made):
    coadd = io.read_coadd(made[0] / "saao.fits").coadd
    planes = {}
    for path in demo.saao_warps():
        file = io.open_warp(path)
        planes[path.name] = file.read_rows(0, file.shape[0])
    faulty = planes.pop(demo.FAULTY)
    others = np.median([rows.image for rows in planes.values()], axis=0)
    excess = faulty.image - others
    corner = np.zeros(excess.shape, bool)
    corner[350:500, 460:505] = True
    # Where all have pixels; NaN is never greater.
    trail = corner & (excess > 10 * np.sqrt(faulty.variance))
    assert trail.sum() > 500
    left = np.median((coadd.image - others)[trail]) / np.median(excess[trail])
    # A mean of the eight would keep an eighth.
    assert abs(left) < 0.03


@pytest.mark.slow
def test_all_files_are_there_and_are_named(made):
    folder, said = made
    coadds = {f"decam_{band}.fits" for band in demo.BANDS} | {"saao.fits"}
    assert {path.name for path in folder.iterdir()} == coadds | set(PICTURES)
    named = {line.split(":")[0].split("/")[-1] for line in said}
    assert named == coadds | set(PICTURES)
    for name in coadds:
        assert io.verify_file(folder / name) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_show_something(made, name):
    picture = imread(made[0] / name)[..., :3]
    assert min(picture.shape[:2]) > 500
    # Neither one colour nor nearly so.
    assert len(np.unique((picture * 15).astype(int).reshape(-1, 3), axis=0)) > 10
    assert picture.std() > 0.1


@pytest.mark.slow
def test_the_demonstration_may_be_repeated(made, capsys, monkeypatch):
    # As if matplotlib were not installed: the coadds are written all the same.
    monkeypatch.setitem(sys.modules, "jaxcoadd.pictures", None)
    monkeypatch.delattr("jaxcoadd.pictures", raising=False)
    assert run("demo", made[0]) == 0
    out = capsys.readouterr().out
    assert out.count("warps, 0 to ") == 4
    assert "no pictures: they need matplotlib (pip install 'jaxcoadd[plot]')" in out


def test_a_folder_that_cannot_be_made_ends_with_4(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "folder"):
        assert run("demo", folder) == 4
        assert f"{folder} cannot be made: " in capsys.readouterr().err
