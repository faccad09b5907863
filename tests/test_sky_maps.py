"""Sky maps: worked numbers, and what holds in every one of them."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd import sky
from jaxcoadd.sky.sphere import sky_positions, unit_vectors

V1 = sky.named_sky_map("lsst_cells_v1")
V2 = sky.named_sky_map("lsst_cells_v2")
HSC = sky.named_sky_map("hsc_rings_v1")
DC2 = sky.named_sky_map("DC2")
COARSE = sky.TractLayout("TAN", 20.0, 1.0, 20.0, sky.LegacyPatches(300, 500, 40))
MAPS = {
    "rings": sky.RingsSkyMap(5, 10.0, COARSE),
    "discrete": sky.DiscreteSkyMap((10.0, 200.0), (-30.0, 89.0), (1.0, 2.0), COARSE),
    "equatorial": sky.EquatorialSkyMap(),
    "dodecahedron": sky.DodecahedronSkyMap(),
    "healpix": sky.HealpixSkyMap(1, layout=sky.TractLayout("TAN", 20.0)),
}
WHOLE_SKY = ("rings", "dodecahedron", "healpix")

positions = st.builds(
    lambda ra, z: (ra, math.degrees(math.asin(z))),
    st.floats(0, 360),
    st.floats(-1, 1),
)

# Rounding of the last digit that is given.
LAST_DIGIT = 0.51e-12


# Worked numbers


@pytest.mark.parametrize(
    ("sky_map", "digest"),
    [
        (V1, "e2736e41244df00bbdb93aecac0ae4b2d19dda91"),
        (V2, "a5f11e561505dc6b24ec8f4ef547bc592e8299da"),
        (HSC, "e29fe9f1008e359f36a3677e7d69cc439376d1e6"),
        (DC2, "1e5fa85fe242606426528f5f7b8dbf01cbaaff9e"),
    ],
)
def test_named_maps_have_their_identity(sky_map, digest):
    assert sky_map.sha1 == digest
    assert sky_map.tract_count == 18938


def test_rings_have_the_lengths_that_are_known():
    assert V1.ring_lengths[:6].tolist() == [10, 16, 22, 29, 35, 41]
    assert V1.ring_lengths.max() == 243 == V1.ring_lengths[59] == V1.ring_lengths[60]
    assert V1.ring_lengths.sum() == 18936


@pytest.mark.parametrize(
    ("sky_map", "across", "patches", "reference"),
    [
        (V1, 30000, 10, 14999),
        (V2, 30000, 10, 14999),
        (HSC, 36000, 9, 17999),
        (DC2, 28000, 7, 13999),
    ],
)
def test_tracts_of_a_map_are_one_in_pixels(sky_map, across, patches, reference):
    for number in (0, 1, 9813, 18937):
        tract = sky_map.tract(number)
        assert tract.box == sky.Box(0, 0, across - 1, across - 1)
        assert tract.size == (patches, patches)
        assert tract.reference == (reference, reference)


@pytest.mark.parametrize(
    ("number", "ring", "ra", "dec"),
    [
        (0, (-1, 0), 0, -90),
        (1, (0, 0), 0, -88.512396694215),
        (2877, (30, 5), 10.169491525424, -43.884297520661),
        (3346, (32, 116), 225.729729729730, -40.909090909091),
        (4431, (38, 32), 55.652173913043, -31.983471074380),
        (5063, (41, 32), 53.087557603687, -27.520661157025),
        (8766, (57, 24), 35.702479338843, -3.719008264463),
        (9615, (60, 146), 216.296296296296, 0.743801652893),
        (9813, (61, 101), 150.247933884298, 2.231404958678),
        (10463, (64, 25), 37.344398340249, 6.694214876033),
        (10704, (65, 25), 37.5, 8.181818181818),
        (18937, (120, 0), 0, 90),
    ],
)
def test_tracts_are_where_they_should_be(number, ring, ra, dec):
    assert V1.ring_of(number) == ring
    found = V1.tract(number).center
    np.testing.assert_allclose(found, (ra, dec), rtol=0, atol=LAST_DIGIT)


def test_the_region_that_a_tract_owns_is_known():
    expected = (149.50413223140495, 150.99173553719007)
    expected += (1.4876033057851266, 2.975206611570253)
    # Angles below 360 degrees, after a few roundings of 3e-14.
    np.testing.assert_allclose(V1.inner_region(9813), expected, rtol=0, atol=2e-13)


@pytest.mark.parametrize(
    ("sky_map", "pixel", "ra", "dec"),
    [
        (V1, (0, 0), 151.081312921751, 1.398038081818),
        (V1, (-0.5, -0.5), 151.081340683254, 1.398010303000),
        (V1, (14999, 14999), 150.247933884298, 2.231404958678),
        (V1, (29999, 29999), 149.413554267153, 3.064355198055),
        (HSC, (0, 0), 151.087984524580, 1.391362289236),
        (HSC, (35999, 35999), 149.406876370458, 3.071014517109),
    ],
)
def test_pixels_are_where_they_should_be(sky_map, pixel, ra, dec):
    tract = sky_map.tract(9813)
    found = tract.wcs.wcs_pix2world([pixel], 0)[0]
    np.testing.assert_allclose(found, (ra, dec), rtol=0, atol=LAST_DIGIT)
    # A pixel is 5e-5 degrees; the last digit of a position is 2e-8 of it.
    np.testing.assert_allclose(tract.find_pixels(ra, dec), pixel, rtol=0, atol=4e-8)


@pytest.mark.parametrize(
    ("sky_map", "place", "tract", "pixel", "index", "number", "inner", "outer"),
    [
        (
            V1,
            (150.0, 2.0),
            9813,
            (19459.155453, 10834.024884),
            (6, 3),
            36,
            (18000, 9000, 20999, 11999),
            (17800, 8800, 21199, 12199),
        ),
        (
            V1,
            (53.125, -28.1),
            5063,
            (14404.448563, 4570.453916),
            (4, 1),
            14,
            (12000, 3000, 14999, 5999),
            (11800, 2800, 15199, 6199),
        ),
        (
            V1,
            (0.01, 0.0),
            9469,
            (14818.98483, 1609.818094),
            (4, 0),
            4,
            (12000, 0, 14999, 2999),
            (11800, -200, 15199, 3199),
        ),
        (
            V1,
            (359.99, 0.0),
            9469,
            (15179.01517, 1609.818094),
            (5, 0),
            5,
            (15000, 0, 17999, 2999),
            (14800, -200, 18199, 3199),
        ),
        (
            V1,
            (62.0, -37.0),
            3831,
            (16896.356244, 5030.43236),
            (5, 1),
            15,
            (15000, 3000, 17999, 5999),
            (14800, 2800, 18199, 6199),
        ),
        (
            V1,
            (37.86, 6.98),
            10463,
            (5786.595785, 20148.212229),
            (1, 6),
            61,
            (3000, 18000, 5999, 20999),
            (2800, 17800, 6199, 21199),
        ),
        (
            HSC,
            (150.0, 2.2),
            9813,
            (23307.986781, 17326.477482),
            (5, 4),
            41,
            (20000, 16000, 23999, 19999),
            (19900, 15900, 24099, 20099),
        ),
        (
            HSC,
            (216.0, 0.0),
            9615,
            (24348.797996, 2059.497731),
            (6, 0),
            6,
            (24000, 0, 27999, 3999),
            (23900, 0, 28099, 4099),
        ),
    ],
)
def test_positions_are_found(sky_map, place, tract, pixel, index, number, inner, outer):
    found = sky_map.tract(sky_map.find_tract(*place))
    assert found.number == tract
    np.testing.assert_allclose(found.find_pixels(*place), pixel, rtol=0, atol=0.51e-6)
    patch = found.find_patch(*place)
    assert (patch.x, patch.y, patch.number) == (*index, number)
    assert patch.inner == sky.Box(*inner) and patch.outer == sky.Box(*outer)


@pytest.mark.parametrize(
    ("index", "number", "inner", "outer"),
    [
        ((0, 0), 0, (17850, 8850, 17999, 8999), (17800, 8800, 18049, 9049)),
        ((1, 1), 23, (18000, 9000, 18149, 9149), (17950, 8950, 18199, 9199)),
        ((10, 10), 230, (19350, 10350, 19499, 10499), (19300, 10300, 19549, 10549)),
        ((21, 21), 483, (21000, 12000, 21149, 12149), (20950, 11950, 21199, 12199)),
    ],
)
def test_cells_are_where_they_should_be(index, number, inner, outer):
    cell = V1.tract(9813).patch(36).cell(index)
    assert cell.number == number
    assert cell.inner == sky.Box(*inner) and cell.outer == sky.Box(*outer)
    assert V2.tract(9813).patch(36).cell(index).outer == cell.inner


def test_the_cards_of_an_image_of_a_patch_are_known():
    one, two = (sky_map.tract(9813).patch(36).grid() for sky_map in (V1, V2))
    assert one.wcs.wcs.crpix.tolist() == [-2800, 6200]
    assert two.wcs.wcs.crpix.tolist() == [-2850, 6150]
    assert one.shape == (3400, 3400) and one.origin == (17800, 8800)
    assert two.shape == (3300, 3300) and two.origin == (17850, 8850)
    assert one.wcs.wcs.radesys == "ICRS"


def test_other_kinds_have_the_sizes_that_are_known():
    equatorial, dodecahedron = (
        MAPS["equatorial"].tract(0),
        MAPS["dodecahedron"].tract(0),
    )
    assert equatorial.box == sky.Box(0, 0, 983999, 39999)
    assert equatorial.size == (246, 10) and equatorial.reference == (491999, 19999)
    assert dodecahedron.size == (350, 334)
    layout = sky.TractLayout("TAN", 0.2, 0.0)
    discrete = sky.DiscreteSkyMap((10.0,), (-30.0,), (0.15,), layout).tract(0)
    assert discrete.box == sky.Box(0, 0, 7999, 7999) and discrete.size == (2, 2)
    assert discrete.reference == (3999, 3999)
    centers = [MAPS["dodecahedron"].tract(number).center for number in range(3)]
    expected = [(ra, 52.622632) for ra in (0, 120, 240)]
    np.testing.assert_allclose(centers, expected, rtol=0, atol=0.51e-6)


# What always holds


@pytest.mark.parametrize("name", WHOLE_SKY)
@given(place=positions)
def test_the_tract_that_owns_a_position_has_a_pixel_there(name, place):
    sky_map = MAPS[name]
    number = int(sky_map.find_tract(*place))
    assert number in [tract.number for tract in sky_map.find_all_tracts(*place)]


@given(place=positions)
def test_rings_own_what_is_in_their_region(place):
    number = int(V1.find_tract(*place))
    west, east, south, north = V1.inner_region(number)
    # One rounding of an angle more or less is no other region.
    edge = 1e-12
    assert south - edge <= place[1] <= north + edge
    assert (place[0] - west + edge) % 360 <= (east - west) % 360 + 2 * edge or (
        (west, east) == (0, 360)
    )


def test_rings_own_the_whole_sky_once():
    regions = np.array([MAPS["rings"].inner_region(n) for n in range(56)])
    assert MAPS["rings"].tract_count == 56
    west, east, south, north = np.radians(regions).T
    widths = np.where(regions[:, 1] == 360, 2 * np.pi, (east - west) % (2 * np.pi))
    areas = widths * (np.sin(north) - np.sin(south))
    np.testing.assert_allclose(areas.sum(), 4 * np.pi, rtol=1e-12)


@pytest.mark.parametrize("name", MAPS)
def test_many_positions_are_found_as_each_of_them(name):
    rng = np.random.default_rng(3)
    ra, dec = sky_positions(rng.normal(size=(4, 5, 3))).transpose(2, 0, 1)
    found = MAPS[name].find_tract(ra, dec)
    assert found.shape == (4, 5)
    each = [
        int(MAPS[name].find_tract(*at)) for at in zip(ra.flat, dec.flat, strict=True)
    ]
    assert found.ravel().tolist() == each


@pytest.mark.parametrize("name", MAPS)
def test_a_tract_holds_what_it_is_made_for(name):
    for number in (0, MAPS[name].tract_count - 1):
        tract = MAPS[name].tract(number)
        assert tract.contains(*tract.center)
        assert all(tract.contains(*vertex) for vertex in tract.vertices)
        assert int(MAPS[name].find_tract(*tract.center)) == number


@given(x=st.integers(0, 29999), y=st.integers(0, 29999), tract=st.integers(0, 18937))
def test_each_pixel_is_of_one_patch_and_comes_back(x, y, tract):
    tract = V1.tract(tract)
    ra, dec = tract.wcs.wcs_pix2world([(x, y)], 0)[0]
    # A pixel is 5e-5 degrees, and its position is known to 1e-12 of them at best.
    np.testing.assert_allclose(tract.find_pixels(ra, dec), (x, y), rtol=0, atol=1e-6)
    holders = [patch for patch in tract.patches() if patch.inner.contains(x, y)]
    assert holders == [tract.find_patch(ra, dec)]
    assert tract.patch(holders[0].number) == holders[0]


def test_numbers_and_texts_name_the_same_patch():
    tract = V1.tract(9813)
    names = (36, np.int64(36), (6, 3), [6, 3], np.array([6, 3]), "6,3", " +6, 03")
    assert {tract.patch(name) for name in names} == {tract.patch(36)}
    assert [patch.number for patch in tract.patches()] == list(range(100))
    cells = tract.patch(36).cells()
    assert [cell.number for cell in cells] == list(range(22 * 22))


def test_cells_tile_a_patch():
    patch = V2.tract(9813).patch(36)
    covered = np.zeros(patch.outer.shape, int)
    for cell in patch.cells():
        x, y = (
            cell.inner.x_min - patch.outer.x_min,
            cell.inner.y_min - patch.outer.y_min,
        )
        covered[y : y + 150, x : x + 150] += 1
    assert (covered == 1).all()


@given(border=st.integers(0, 300), number=st.integers(0, 55))
def test_the_grid_of_a_patch_is_the_tract_shifted(border, number):
    tract = MAPS["rings"].tract(number)
    patch = tract.patch((1, 2))
    grid = patch.grid(border=border)
    box = patch.outer.grow(border)
    assert grid.shape == box.shape and grid.origin == (box.x_min, box.y_min)
    found = unit_vectors(*grid.wcs.wcs_pix2world([(0, 0)], 0)[0])
    expected = unit_vectors(*tract.wcs.wcs_pix2world([grid.origin], 0)[0])
    # Some ten roundings of unit vectors.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-15)


@given(place=positions)
def test_patches_around_a_position_are_near_it(place):
    tract = MAPS["rings"].tract(MAPS["rings"].find_tract(*place))
    patch = tract.find_patch(*place)
    found = tract.find_patches(*place)
    assert patch in found
    reached = tract.find_pixels(*place)
    for other in found:
        assert other.inner.grow(tract.layout.patches.margin).contains(*reached)


def test_an_image_on_two_tracts_reaches_patches_of_both():
    east = V1.inner_region(9813)[1]
    ra = [east - 0.05, east + 0.05, east + 0.05, east - 0.05]
    dec = [2.0, 2.0, 2.1, 2.1]
    found = V1.find_tract_patches(ra, dec)
    assert [tract.number for tract, _ in found] == [9813, 9814]
    closest = V1.find_closest_tract_patches(ra, dec)
    assert [tract.number for tract, _ in closest] == [9813, 9814]
    one = V1.find_closest_tract_patches(ra[0], dec[0])
    assert [tract.number for tract, _ in one] == [9813]


def test_what_cannot_be_projected_reaches_no_patch():
    tract = V1.tract(9813)
    assert tract.find_patches([330.0, 331.0], [-2.0, -2.0]) == []
    assert tract.find_patches(160.0, 2.0) == []
    assert np.isnan(tract.find_pixels(330.0, -2.0)).all()
    assert not tract.contains(330.0, -2.0)


def test_version_0_names_the_first_tract_of_a_ring_last():
    old, new = (sky.RingsSkyMap(5, layout=COARSE, version=v) for v in (0, 1))
    assert new.ring_of(10) == (1, 0) and old.ring_of(10) == (0, 9)
    assert old.tract(10).center == old.tract(1).center
    assert old.find_tract(0.0, -30.0) == 22 and new.find_tract(0.0, -30.0) == 10
    assert old.sha1 == new.sha1


def test_tracts_use_their_own_sizes():
    # A map of LSST keeps the size of the tract that was made last, and clips by it.
    sizes = [MAPS["discrete"].tract(number).size for number in (1, 0)]
    assert sizes == [(4, 3), (3, 2)]
    assert MAPS["discrete"].tract(1).patch(11).outer.x_max == 4 * 300 - 1


def test_the_largest_map_is_searched_in_no_time():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 300_000), rng.uniform(-90, 90, 300_000)
    found = V1.find_tract(ra, dec)
    assert found.min() >= 0 and found.max() < 18938
    assert found.dtype.kind == "i"


# What is refused


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: sky.named_sky_map("lsst_cell_v1"), "did you mean 'lsst_cells_v1'"),
        (
            lambda: sky.named_sky_map("x"),
            "there are lsst_cells_v1, lsst_cells_v2, hsc_",
        ),
        (lambda: V1.tract(18938), "no tract 18938; the tracts are 0 to 18937"),
        (lambda: V1.tract(-1), "no tract -1; the tracts are 0 to 18937"),
        (lambda: V1.tract(1.5), "no tract 1.5; the tracts are"),
        (lambda: V1.inner_region(20000), "no tract 20000; the tracts are"),
        (lambda: V1.tract(3).patch(100), "no patch 100 in tract 3; they are 0 to 99"),
        (lambda: V1.tract(3).patch(-1), "no patch -1 in tract 3"),
        (lambda: V1.tract(3).patch((0, 10)), "no patch .0, 10. in tract 3"),
        (lambda: V1.tract(3).patch("36"), "'36' names no patch of tract 3; they are 0"),
        (lambda: V1.tract(3).patch((1, 2, 3)), "names no patch of tract 3"),
        (lambda: V1.tract(3).patch(None), "None names no patch of tract 3"),
        (lambda: V1.tract(3).patch(0).cell(484), "no cell 484 in a patch; .* 0 to 483"),
        (
            lambda: HSC.tract(3).patch(0).cell(0),
            "the patches of this sky map have no c",
        ),
        (
            lambda: HSC.tract(3).patch(0).cells(),
            "the patches of this sky map have no c",
        ),
        (
            lambda: V1.find_tract(0, 91),
            "a declination is from -90 to 90 degrees, not 91",
        ),
        (
            lambda: V1.find_tract(math.nan, 9),
            "a right ascension is a number of degrees",
        ),
        (lambda: V1.tract(3).find_patch(150.0, 2.0), "is not in tract 3, of which the"),
        (lambda: sky.RingsSkyMap(0), "a map has 1 ring or more, not 0"),
        (
            lambda: sky.RingsSkyMap(3, version=2),
            "the version of rings is 0 or 1, not 2",
        ),
        (lambda: sky.DiscreteSkyMap((), (), ()), "must have one length above 0"),
        (
            lambda: sky.DiscreteSkyMap((1.0,), (1.0,), (0.0,)),
            "a radius is from 0 to 180",
        ),
        (
            lambda: sky.EquatorialSkyMap(0),
            "no band of 0 tracts from -1.25 to 1.25 degr",
        ),
        (lambda: sky.HealpixSkyMap(13), "log2_side is from 0 to 12, not 13"),
        (lambda: sky.TractLayout("TANG"), "'TANG' is no projection as 'TAN'"),
        (lambda: sky.TractLayout(pixel_scale=0.0), "the pixel scale must be above 0"),
        (
            lambda: sky.TractLayout(tract_overlap=-1.0),
            "an overlap is from 0 to 180 deg",
        ),
        (lambda: sky.LegacyPatches(0), "no patches can be of LegacyPatches"),
        (lambda: sky.CellPatches(cell_border=-1), "no patches can be of CellPatches"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(ask, message):
    with pytest.raises(sky.SkyMapError, match=message):
        ask()


def test_a_map_of_healpix_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy_healpix", None)
    with pytest.raises(ImportError, match=r"install jaxcoadd\[sky\]"):
        sky.HealpixSkyMap()
