"""Grids are read from headers, and compared on the sky."""

import numpy as np
import pytest

from jaxcoadd import io
from tests import fits_files as files

SCENE = files.make_scene()
HEIGHT, WIDTH = files.SHAPE


def test_grids_that_differ_by_whole_pixels_match(tmp_path):
    paths = [
        files.write_afw(
            tmp_path / f"{index}.fits",
            SCENE,
            image_cards=files.wcs_cards(offset=offset),
        )
        for index, offset in enumerate([(0, 0), (3, -2), (3.25, -2)])
    ]
    first, shifted, fraction = (io.read_grid(path) for path in paths)
    match = io.same_grid(first, shifted)
    # The pixel at (3, -2) of the first is the first pixel of the second.
    assert (match.dx, match.dy) == (-3, 2) and match.residual < 1e-7
    assert io.same_grid(first, fraction).residual == pytest.approx(0.25, abs=1e-6)
    far = files.wcs_cards(crval=(330.0, -60.0))
    path = files.write_afw(tmp_path / "far.fits", SCENE, image_cards=far)
    assert io.same_grid(first, io.read_grid(path)).residual == np.inf


def test_grids_in_other_frames_are_compared_on_the_sky(tmp_path):
    cards = files.wcs_cards() | {"RADESYS": "FK5", "EQUINOX": 2000.0}
    fk5 = files.write_afw(tmp_path / "5.fits", SCENE, image_cards=cards)
    icrs = files.write_afw(tmp_path / "i.fits", SCENE)
    residual = io.same_grid(io.read_grid(icrs), io.read_grid(fk5)).residual
    # The frames differ by some 20 mas, a tenth of a pixel.
    assert 0.01 < residual < 0.3


def test_grids_without_a_wcs_match_if_their_shapes_do():
    grid = io.Grid((4, 5))
    assert io.same_grid(grid, io.Grid((4, 5))) == (0, 0, 0.0)
    assert io.same_grid(grid, io.Grid((4, 6))).residual == np.inf
    assert io.same_grid(grid, io.Grid((2, 2), origin=(1, 2))) == (-1, -2, 0.0)


@pytest.mark.parametrize(
    ("cards", "origin"),
    [
        ({}, (0, 0)),
        ({"LTV1": -100.0, "LTV2": 20.0}, (100, -20)),
        ({"LTV1": 0.5}, (0, 0)),
        (
            {f"{k}{i}A": v for i in (1, 2) for k, v in [("CTYPE", "LINEAR")]}
            | {"CRPIX1A": 1.0, "CRPIX2A": 1.0, "CRVAL1A": 7.0, "CRVAL2A": 8.0},
            (7, 8),
        ),
    ],
)
def test_the_origin_is_read(tmp_path, cards, origin):
    path = files.write_afw(tmp_path / "w.fits", SCENE, image_cards=cards)
    warp = io.open_warp(path)
    assert warp.origin == origin and warp.shape == files.SHAPE
    sky = warp.wcs.pixel_to_world_values(WIDTH / 2 - 1, HEIGHT / 2 - 1)
    np.testing.assert_allclose(sky, (150.0, 2.0), atol=1e-12)
