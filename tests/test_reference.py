"""The executable specification: recorded cases, and numbers worked out by hand."""

import ast
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd import reference

SAT, EDGE, NO_DATA = 1 << 1, 1 << 4, 1 << 8
REJECTED, CLIPPED, SENSOR_EDGE = 1 << 11, 1 << 12, 1 << 13
MASK_MAP = [(SAT, REJECTED), (EDGE, SENSOR_EDGE), (CLIPPED, CLIPPED)]
PLANES = {
    **{"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 3, "EDGE": 4, "NO_DATA": 8},
    **{"REJECTED": 11, "CLIPPED": 12, "SENSOR_EDGE": 13, "INEXACT_PSF": 14},
}
MEAN = {"plane_bits": PLANES, "statistic": "MEAN"}
WARPS = Path(reference.__file__).parents[1] / "data"


def pytest_generate_tests(metafunc):
    """Give a test with an argument `stack_case` every recorded file stack_*, etc."""
    for family in ("stack", "weight", "interp", "online", "real"):
        if f"{family}_case" in metafunc.fixturenames:
            folder = metafunc.config.getoption("golden")
            paths = sorted(folder.glob(f"{family}_*.npz"))
            if family == "real":
                # One of them takes the loops many seconds.
                paths = paths[:1]
            ids = [path.stem for path in paths]
            metafunc.parametrize(f"{family}_case", paths, ids=ids)


def load(path):
    """Return the arrays and the parameters of a recorded case."""
    with np.load(path) as file:
        case = dict(file)
    return case, json.loads(str(case["params"]))


def assert_within(actual, expected, where, ulp):
    """Compare with float32 values; NaN and infinity must be the same."""
    with np.errstate(over="ignore"):
        actual = np.asarray(actual)[where].astype(np.float32)
    expected = expected[where]
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    steps = np.abs(actual[finite].astype(np.float64) - expected[finite])
    steps /= np.spacing(np.abs(expected[finite]))
    # Not `max`, which has no value for a case without finite pixels.
    assert np.all(steps <= ulp), f"off by {np.max(steps)} units in the last place"


def replay_stack(case, params):
    """Run the stack that a recorded case describes."""
    weighted = "warp" if len(case["weights"]) else "variance"
    error = "mosaic" if params["calcErrorMosaicMode"] else "scatter"
    excused = [(params["andMask"] & ~params["excuse"], params["clipped"])]
    limits = params["maskPropagationThresholds"]
    return reference.stack(
        case["images"],
        case["variances"],
        case["masks"],
        case["weights"],
        statistic=params["property"],
        sigma_clip=params["numSigmaClip"],
        clip_iter=params["numIter"],
        error="variance" if params["calcErrorFromInputVariance"] else error,
        weighting=weighted if params["isWeighted"] else "none",
        bad_bits=params["andMask"],
        nan_safe=params["nanSafe"],
        no_data_bits=params["noGoodPixelsMask"],
        clipped_bits=params["clipped"],
        thresholds={int(bit): limit for bit, limit in limits.items()},
        mask_map=excused if params["maskMap"] is None else params["maskMap"],
    )


def test_stack_equals_recorded_stack(stack_case):
    case, params = load(stack_case)
    result = replay_stack(case, params)
    fragile = case["aux_fragile"]
    # Sums in float64 leave only half-way cases of the rounding to float32.
    assert_within(result.image, case["out_image"], (fragile & 1) == 0, ulp=2)
    assert_within(result.variance, case["out_variance"], (fragile & 2) == 0, ulp=2)
    firm = (fragile & 4) == 0
    masks = case["out_mask"].astype(np.uint32)
    np.testing.assert_array_equal(result.mask[firm], masks[firm])
    np.testing.assert_array_equal(result.n_point, case["out_npoint"])


def test_weight_equals_recorded_weight(weight_case):
    case, params = load(weight_case)
    clip = {"sigma_clip": params["numSigmaClip"], "clip_iter": params["numIter"]}
    bad = (case["mask"] & params["andMask"]) != 0
    mean, n_clipped = reference.plane_clipped_mean(case["variance"], bad, **clip)
    # The same sums in the same order in float64.
    np.testing.assert_allclose(mean, case["out_meanclip"], rtol=1e-14)
    assert n_clipped == case["out_nclipped"]
    weight = reference.warp_weight(
        case["variance"], case["mask"], params["andMask"], **clip
    )
    expected = case["out_weight"] if case["out_used"] else 0.0
    np.testing.assert_allclose(weight, expected, rtol=1e-14)


def test_statistics_of_a_plane_equal_the_recorded_ones(weight_case):
    case, params = load(weight_case)
    x = case["variance"].ravel()
    good = np.isfinite(x) & ((case["mask"].ravel() & params["andMask"]) == 0)
    recorded = zip(
        case["stat_names"], case["stat_values"], case["stat_errors"], strict=True
    )
    for name, value, error in recorded:
        result = reference.statistic(
            str(name),
            x,
            np.zeros_like(x),
            None,
            good,
            sigma_clip=params["numSigmaClip"],
            clip_iter=params["numIter"],
            error="scatter",
        )
        actual = [result.value, np.sqrt(result.variance)]
        np.testing.assert_allclose(actual, [value, error], rtol=1e-12, err_msg=name)


def boxed(shape, boxes):
    """Return the pixels in boxes (x0, y0, width, height), which may lie outside."""
    y, x = np.indices(shape)
    bad = np.zeros(shape, bool)
    for x0, y0, width, height in boxes:
        bad |= (x >= x0) & (x < x0 + width) & (y >= y0) & (y < y0 + height)
    return bad


@pytest.mark.parametrize("plane", ["image", "variance"])
def test_interpolation_equals_recorded_interpolation(interp_case, plane):
    case, params = load(interp_case)
    bad = boxed(case[plane].shape, case["boxes"])
    result = reference.interpolate_over(
        case[plane],
        bad,
        fallback=params["fallbackValue"],
        use_fallback_at_edge=params["useFallbackValueAtEdge"],
    )
    assert result.dtype == np.float32
    assert_within(result, case[f"out_{plane}"], np.ones_like(bad), ulp=2)


def replay_online(case, params):
    """Run the online mean of a recorded case, and name the pixels to compare."""
    images, bits = case["images"], params.get("bit_mask_value", 0)
    masks = case.get("masks", np.zeros(images.shape, np.int32))
    limits = params.get("mask_threshold_dict", {})
    no_data = params.get("no_good_pixels_mask")
    from_variance = params.get("calc_error_from_input_variance", True)
    result = reference.online_mean(
        images,
        case.get("variances", np.zeros_like(images)),
        masks,
        case["weights"],
        bad_bits=bits,
        thresholds={int(bit): limit for bit, limit in limits.items()},
        mask_map=params.get("mask_map", []),
        no_data_bits=NO_DATA if no_data is None else no_data,
        error="variance" if from_variance else "scatter",
    )
    # The original uses NaN and infinite pixels; here they are rejected.
    poisoned = (~np.isfinite(images) & ((masks & bits) == 0)).any(axis=0)
    return result, ~poisoned


def test_online_mean_equals_recorded_online_mean(online_case):
    case, params = load(online_case)
    result, where = replay_online(case, params)
    np.testing.assert_array_equal(result.weight[where], case["out_sum_weight"][where])
    if "out_n_image" in case:
        np.testing.assert_array_equal(result.n_point[where], case["out_n_image"][where])
    if "out_mask" in case:
        masks = case["out_mask"].astype(np.uint32)
        np.testing.assert_array_equal(result.mask[where], masks[where])

    # Each recorded product f32(f32(w) x) has two roundings of 2^-24; the result one.
    rounding = 0 if params["weight_type"] == "np.float64" else 2 * 2.0**-24
    terms = np.abs(case["weights"][:, None, None] * case["images"])
    summed = np.where(np.isfinite(terms), terms, 0).sum(axis=0)
    expected = case["out_image"].astype(np.float64)
    finite = where & np.isfinite(expected)
    slack = rounding * summed[finite] / np.abs(result.weight[finite])
    slack += 0.5 * np.spacing(np.abs(case["out_image"][finite]))
    assert np.all(np.abs(result.image - expected)[finite] <= slack)
    np.testing.assert_array_equal(np.isnan(result.image[where]), ~finite[where])


def test_online_variance_equals_recorded_variance(online_case):
    case, params = load(online_case)
    result, where = replay_online(case, params)
    if params["kind"] == "image":
        pytest.skip("recorded without variances")
    if params["calc_error_from_input_variance"]:
        # All terms are positive, each product is rounded twice: 2 units at most, and
        # half a unit for the result; the difference of rounded numbers is whole.
        assert_within(result.variance, case["out_variance"], where, ulp=2)
        return
    # The scatter of a single value is not defined: 0/0 or a residue of rounding.
    where &= result.n_point > 1
    expected = case["aux_variance64"][where]
    # The mean is off by 2^-53, the sums of N terms by N 2^-53, each with a few
    # products; equal values have a scatter of exactly 0 or of the rounding squared.
    slack = (len(case["images"]) + 8) * 2.0**-53
    floor = (slack * result.image[where]) ** 2
    np.testing.assert_array_less(
        np.abs(result.variance[where] - expected), slack * expected + floor + 1e-300
    )


def read_warps(params):
    """Read the warps of a real coadd, their planes at the bits of the case."""
    found = {path.name: path for path in WARPS.glob("*/warps/*.fits")}
    missing = [name for name in params["warps"] if name not in found]
    if missing:
        pytest.skip(f"{len(missing)} of the warps are not in the sample data")
    images, variances, masks = [], [], []
    for name in params["warps"]:
        with fits.open(found[name]) as file:
            images.append(np.array(file["SCI"].data, np.float32))
            variances.append(np.array(file["VAR"].data, np.float32))
            bits, header = np.array(file["MASK"].data), file["MASK"].header
        mask = np.where(np.isnan(images[-1]), params["mask_planes"]["NO_DATA"], 0)
        for card in header["MP_*"]:
            plane = params["mask_planes"][card.removeprefix("MP_")]
            mask |= np.where((bits >> header[card]) & 1, plane, 0)
        masks.append(mask)
    return np.array(images), np.array(variances), np.array(masks)


@pytest.mark.slow
def test_coadd_equals_recorded_coadd_of_real_warps(real_case):
    case, params = load(real_case)
    result = reference.coadd(
        *read_warps(params),
        plane_bits={n: v.bit_length() - 1 for n, v in params["mask_planes"].items()},
        statistic=params["statistic"],
        sigma_clip=params["sigma_clip"],
        clip_iter=params["clip_iter"],
        bad_planes=params["bad_planes"],
        mask_thresholds=params["mask_propagation_thresholds"],
    )
    np.testing.assert_allclose(result.weights, case["weights"], rtol=1e-14)
    np.testing.assert_array_equal(result.n_image, case["n_image"])
    np.testing.assert_array_equal(result.mask, case["final_mask"].astype(np.uint32))
    hole = (result.mask & np.uint32(params["mask_planes"]["NO_DATA"])) != 0
    for name in ("image", "variance"):
        actual, expected = getattr(result, name), case[f"final_{name}"]
        assert_within(actual, expected, ~hole, ulp=2)
        # The original interpolates between float32 numbers, each off by up to 2^-24,
        # with up to four weights whose sizes sum to less than 4, and rounds again.
        np.testing.assert_array_equal(np.isinf(actual), np.isinf(expected))
        actual, expected = (np.where(np.isinf(a), 0, a) for a in (actual, expected))
        slack = 5 * 2.0**-24 * np.abs(expected).max(axis=1, keepdims=True)
        assert np.all(np.abs(actual - expected) <= slack)


def column(*values):
    """Return values as a stack of one pixel, (warp, 1, 1)."""
    return np.array(values, np.float64)[:, None, None]


def bits(*values):
    """Return masks as a stack of one pixel, (warp, 1, 1)."""
    return np.array(values, np.uint32)[:, None, None]


def stack_pixel(values, masks=None, weights=None, **options):
    """Stack one pixel of variance 1; return image, variance and mask."""
    masks = [0] * len(values) if masks is None else masks
    weighting = "none" if weights is None else "warp"
    result = reference.stack(
        column(*values),
        np.ones((len(values), 1, 1)),
        bits(*masks),
        weights,
        weighting=weighting,
        **options,
    )
    return result.image.item(), result.variance.item(), result.mask.item()


def one(name, values, weights=None, variances=None, **options):
    """Compute a statistic of values that are all good, of variance 1."""
    values = np.array(values, np.float64)
    variances = np.ones_like(values) if variances is None else np.array(variances)
    good = np.ones(len(values), bool)
    return reference.statistic(name, values, variances, weights, good, **options)


def test_order_statistics_interpolate_between_two_values():
    assert reference.order_statistics(np.array([1, 2, 3, 2]))[1] == 2
    assert reference.order_statistics(np.arange(10))[1] == 4.5
    assert reference.order_statistics(np.arange(11))[1] == 5
    assert reference.order_statistics(np.array([7.0, 5.0])) == (5.5, 6, 6.5)
    assert reference.order_statistics(np.array([3.0])) == (3, 3, 3)
    assert np.isnan(reference.order_statistics(np.array([]))).all()


def test_outlier_of_five_is_clipped():
    values = [1, 2, 3, 4, 100]
    result = one("MEANCLIP", values, clip_iter=3)
    assert result == reference.Result(2.5, 0.25, n_point=5, n_clipped=1, weight=4)
    assert one("MEAN", values).value == 22
    assert one("VARIANCE", values).value == 1902.5


def test_weighted_outlier_is_clipped():
    values, weights = [1, 2, 3, 4, 5, 100], [1, 1, 1, 1, 1, 2]
    result = one("MEANCLIP", values, weights, clip_iter=3)
    assert result.value == 3
    assert result.variance == pytest.approx(0.2, rel=1e-15)
    assert (result.n_clipped, result.weight) == (1, 5)
    assert one("MEAN", values, weights).value == pytest.approx(215 / 7, rel=1e-15)
    assert one("VARIANCE", values, weights).value == pytest.approx(2354, rel=1e-14)


def test_two_of_eight_are_clipped_in_both_iterations():
    values = [7824, 7803, 7871, 7567, 7813, 7809, 8011, 7807]
    result = one("MEANCLIP", values, clip_iter=3)
    assert result.value == np.mean(np.array(values)[[0, 1, 2, 4, 5, 7]])
    assert result.n_clipped == 2


def test_low_weight_counts_less_in_mean_and_error():
    result = one("MEANCLIP", [10, 11, 9, 10, 60], [1, 1, 0.25, 1, 1], [1.0, 1, 4, 1, 1])
    assert result.value == pytest.approx(10.230769230769232, rel=1e-15)
    assert result.variance == pytest.approx(0.30769230769, rel=1e-10)
    assert result.n_clipped == 1


def test_clipped_mean_of_ten_values_to_the_last_digit():
    first, second = [1.08192, 1.08792, 1.08774, 1.09953, 1.1122], [1.09408, 0.879792]
    values = [*first, *second, 1.12235, 1.10115, 1.08999]
    assert one("MEANCLIP", values, clip_iter=3).value == 1.097431111111111
    assert one("STDEVCLIP", values, clip_iter=3).value == 0.012984991763998597
    stdev = one("STDEV", values).value
    assert stdev == pytest.approx(0.0699038899772792, rel=1e-14)


def test_mask_of_a_clipped_value_reaches_the_stack():
    image, _, mask = stack_pixel([0, 0, 0, 10], [0, 0, 0, 0x20], clipped_bits=CLIPPED)
    assert (image, mask) == (0, 0x20 | CLIPPED)


ALL_SAT = {
    "bad_bits": SAT,
    "no_data_bits": NO_DATA,
    "thresholds": {1: 0.1},
    "mask_map": MASK_MAP,
}


def test_pixel_without_input_has_no_data_and_mapped_bits():
    image, variance, mask = stack_pixel([1, 2], [SAT, SAT], [1, 1], **ALL_SAT)
    assert np.isnan([image, variance]).all()
    assert mask == NO_DATA | REJECTED


def test_online_pixel_without_input_keeps_propagated_bits():
    values, masks = column(1, 2), bits(SAT, SAT)
    result = reference.online_mean(
        values, np.ones_like(values), masks, [1, 1], **ALL_SAT
    )
    assert np.isnan([result.image, result.variance]).all()
    assert result.mask.item() == NO_DATA | REJECTED | SAT


def test_fraction_at_the_threshold_is_not_propagated():
    for n_saturated, expected in ((1, REJECTED), (2, REJECTED | SAT)):
        masks = [SAT] * n_saturated + [0] * (10 - n_saturated)
        assert stack_pixel([1] * 10, masks, [1] * 10, **ALL_SAT)[2] == expected


def test_any_rejection_opens_the_mask_map_for_all_inputs():
    options = {"bad_bits": SAT, "mask_map": MASK_MAP}
    opened = stack_pixel([1, 2, 3], [EDGE, SAT, 0], **options)[2]
    assert opened == SENSOR_EDGE | REJECTED | EDGE
    assert stack_pixel([1, 2, 3], [EDGE, 0, 0], **options)[2] == EDGE


def test_nan_pixel_is_rejected_and_opens_the_mask_map():
    values, masks = [np.nan, 1, 2, 3], [0, EDGE, 0, 0]
    image, _, mask = stack_pixel(values, masks, statistic="MEAN", mask_map=MASK_MAP)
    assert (image, mask) == (2, EDGE | SENSOR_EDGE)
    n_masked = reference.statistic(
        "NMASKED", np.array(values), np.ones(4), None, np.isfinite(values)
    )
    assert n_masked.value == 1


def test_nan_pixel_does_not_poison_the_online_mean():
    values = column(np.nan, 1, 2, 3)
    result = reference.online_mean(
        values, np.ones_like(values), bits(0, 0, 0, 0), [1] * 4
    )
    assert (result.image.item(), result.n_point.item()) == (2, 3)


def test_weights_are_taken_as_they_are_rounded_to_float32():
    weights = np.full(10, 0.1, np.float32)
    image, _, _ = stack_pixel([1] * 10, None, weights, statistic="SUM")
    # Ten additions in float64, of numbers up to 1.
    assert image == pytest.approx(1.0000000149011612, abs=10 * 2.0**-53)


def test_single_survivor_has_no_scatter_to_clip_with():
    options = {"sigma_clip": 1.0, "clipped_bits": CLIPPED, "no_data_bits": NO_DATA}
    assert stack_pixel([-100, 0, 100], clip_iter=1, **options)[0] == 0
    image, _, mask = stack_pixel([-100, 0, 100], clip_iter=2, **options)
    assert np.isnan(image)
    assert mask == CLIPPED


def test_two_bad_pixels_between_single_good_ones_are_not_negative():
    image = np.full((1, 12), -1, np.float32)
    bad = np.zeros((1, 12), bool)
    bad[0, [3, 5, 6, 8]] = True
    result = reference.interpolate_over(image, bad, fallback=0)
    assert result[0, 5:7].tolist() == [0, 0]
    for length in (1, 3):
        bad[0] = False
        bad[0, [3, *range(5, 5 + length), 6 + length]] = True
        result = reference.interpolate_over(image, bad, fallback=0)
        assert np.all(result[0, 5 : 5 + length] == -1)


@pytest.mark.parametrize(
    "length, expected",
    [
        # Fallback, then 0.5177 + 2 (0.0891 + 0.0886), the first with -1 for L2.
        (7, {0: 0.0, 1: 0.8731}),
        (8, {0: 0.0, 1: 0.0, 2: 0.3554}),
    ],
)
def test_run_at_the_edge_tapers_from_the_fallback_value(length, expected):
    image = np.full((1, 20), 2, np.float32)
    bad = np.arange(20)[None] < length
    result = reference.interpolate_over(image, bad, fallback=0)
    for k, value in expected.items():
        assert result[0, k] == np.float32(value)


def test_row_without_good_pixels_has_the_fallback_value():
    bad = np.ones((2, 9), bool)
    result = reference.interpolate_over(np.full((2, 9), np.nan), bad, fallback=5)
    assert np.all(result == 5)


def test_single_bad_pixel_of_a_constant_is_restored_exactly():
    image = np.full((1, 9), 123.45, np.float32)
    broken = image.copy()
    broken[0, 4] *= 10
    bad = np.arange(9)[None] == 4
    assert np.all(reference.interpolate_over(broken, bad, fallback=0) == image)


def test_fallback_value_is_the_median_of_finite_pixels_and_not_negative():
    image = np.array([[1.0, np.nan], [3.0, 8.0]])
    assert reference.fallback_value(image) == 3
    assert reference.fallback_value(image, "MEAN") == 4
    assert reference.fallback_value(image, "USER", user=7.0) == 7
    assert reference.fallback_value(-image) == 0
    assert reference.fallback_value(-image, negative_allowed=True) == -3
    assert np.isnan(reference.fallback_value(np.full((2, 2), np.nan)))


def make_warps(seed=0, shape=(4, 5, 9)):
    """Return images of a flat sky, their variances and empty masks."""
    rng = np.random.default_rng(seed)
    variances = np.broadcast_to(rng.uniform(1, 2, shape[0])[:, None, None], shape)
    images = 10 + rng.normal(size=shape) * np.sqrt(variances)
    return images, variances.copy(), np.zeros(shape, np.uint32)


def assert_same(left, right):
    """Compare all planes of two coadds, bit for bit."""
    for name in ("image", "variance", "mask", "n_image", "weight"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_coadd_of_clean_warps_is_the_mean_by_inverse_variance():
    images, variances, masks = make_warps()
    result = reference.coadd(images, variances, masks, **MEAN)
    weights = 1 / variances
    # A few operations in float64.
    expected = np.sum(weights * images, axis=0) / np.sum(weights, axis=0)
    np.testing.assert_allclose(result.image, expected, rtol=1e-14)
    np.testing.assert_allclose(result.variance, 1 / weights.sum(axis=0), rtol=1e-14)
    assert np.all(result.n_image == 4)
    assert not result.mask.any()


def test_zero_points_scale_image_and_variance():
    images, variances, masks = make_warps()
    plain = reference.coadd(images, variances, masks, **MEAN)
    # Two and a half magnitudes are a factor of ten.
    factors = np.array([1, 10, 1, 0.1])[:, None, None]
    scaled = reference.coadd(
        images * factors,
        variances * factors**2,
        masks,
        zero_points=[27, 29.5, 27, 24.5],
        **MEAN,
    )
    np.testing.assert_allclose(scaled.image, plain.image, rtol=1e-13)
    np.testing.assert_allclose(scaled.variance, plain.variance, rtol=1e-13)
    fainter = reference.coadd(
        images, variances, masks, zero_points=[27] * 4, zero_point=29.5, **MEAN
    )
    np.testing.assert_allclose(fainter.image, 10 * plain.image, rtol=1e-13)
    np.testing.assert_allclose(fainter.variance, 100 * plain.variance, rtol=1e-13)


@pytest.mark.parametrize("defect", ["nan", "variance", "absent"])
def test_warp_that_cannot_be_used_is_no_input_at_all(defect):
    images, variances, masks = make_warps()
    masks[0, 2, 3] = SAT  # a rejection, which would let other masks be mapped
    masks[3] = CLIPPED
    expected = reference.coadd(images[:3], variances[:3], masks[:3], plane_bits=PLANES)
    present = None
    if defect == "nan":
        images[3] = np.nan
    elif defect == "variance":
        variances[3] = -1
    else:
        present = np.array([True, True, True, False])
    result = reference.coadd(
        images, variances, masks, plane_bits=PLANES, present=present
    )
    assert_same(result, expected)
    assert result.weights[3] == 0


def test_coadd_without_any_usable_warp_has_no_data():
    images, variances, masks = make_warps()
    result = reference.coadd(
        images * np.nan, variances, masks, plane_bits=PLANES, interpolate=False
    )
    assert np.isnan([result.image, result.variance]).all()
    assert np.all(result.mask == NO_DATA)
    assert not result.n_image.any()
    assert not result.weights.any()


@given(seed=st.integers(0, 99), rejected=st.sampled_from(["BAD", "SAT", "EDGE"]))
def test_rejected_pixels_cannot_matter(seed, rejected):
    images, variances, masks = make_warps(seed, (3, 2, 4))
    masks[1, :, 2:] = 1 << PLANES[rejected]
    expected = reference.coadd(images, variances, masks, plane_bits=PLANES)
    images[1, :, 2:] = [np.nan, 1e9]
    variances[1, :, 2:] = [np.inf, -1]
    result = reference.coadd(images, variances, masks, plane_bits=PLANES)
    assert_same(result, expected)
    assert np.all(result.n_image[:, 2:] == 2)
    flag = SENSOR_EDGE if rejected == "EDGE" else REJECTED
    mask = flag | 1 << PLANES["INEXACT_PSF"] | (SAT if rejected == "SAT" else 0)
    assert np.all(result.mask[:, 2:] == mask)


def test_removed_planes_count_in_n_image_but_not_in_the_stack():
    images, variances, masks = make_warps()
    masks[0] = 1 << 20
    result = reference.coadd(
        images,
        variances,
        masks,
        plane_bits={**PLANES, "NOT_DEBLENDED": 20},
        bad_planes=("NO_DATA", "NOT_DEBLENDED"),
        statistic="MEAN",
        weights=[1.0] * 4,
    )
    assert np.all(result.n_image == 3)
    assert np.all(result.weight == 4)
    assert not result.mask.any()


def test_hole_is_interpolated_in_image_and_variance():
    images, variances, masks = make_warps()
    masks[:, 1, 4], masks[:, 3, :] = NO_DATA, NO_DATA
    images[masks != 0] = np.nan
    result = reference.coadd(images, variances, masks, **MEAN)
    hole = masks[0] != 0
    fallback = np.median(result.image[~hole])
    for plane in (result.image, result.variance):
        left, right = plane[1, 2:4], plane[1, [6, 5]]
        expected = np.sum([-0.2737, 0.7737] * (left + right))
        assert plane[1, 4] == pytest.approx(expected, rel=1e-14)
        assert np.all(plane[3] == fallback)
    assert np.all(result.mask[hole] == NO_DATA | 1 << PLANES["INTRP"])
    assert not result.mask[~hole].any()
    empty = reference.coadd(images, variances, masks, interpolate=False, **MEAN)
    assert np.isnan(empty.image[hole]).all()
    assert np.all(empty.mask[hole] == NO_DATA)


def test_variance_of_exactly_zero_is_no_data_and_nan_is_not():
    images, variances, masks = make_warps()
    variances[:, 0, 0], variances[:, 0, 1] = 0, np.nan
    result = reference.coadd(images, variances, masks, interpolate=False, **MEAN)
    assert result.mask[0, 0] == NO_DATA
    assert np.isnan(result.variance[0, 1])
    assert result.mask[0, 1] == 0


def test_variance_that_is_not_positive_becomes_infinite():
    images, variances, masks = make_warps()
    variances[:, 0, 1] = np.nan
    result = reference.coadd(images, variances, masks, **MEAN)
    assert result.variance[0, 1] == np.inf
    assert np.isfinite(result.variance[1:]).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"statistic": "MODE"}, "no statistic 'MODE'"),
        ({"error": "none"}, "no error 'none'"),
        ({"mask_thresholds": {"SATURATED": 0.1}}, "no mask plane 'SATURATED'"),
        ({"weights": [1, 2]}, "as many weights"),
        ({"clip_iter": 0, "weights": [1] * 4}, "clip_iter is 0"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    options = {"plane_bits": PLANES, **change}
    with pytest.raises(ValueError, match=message):
        reference.coadd(*make_warps(), **options)


def test_planes_of_other_shape_are_refused():
    images, variances, masks = make_warps()
    with pytest.raises(ValueError, match="variances are"):
        reference.stack(images, variances[:2], masks, [1] * 4)
    with pytest.raises(ValueError, match="at least one"):
        reference.stack(images[:0], variances[:0], masks[:0], [])


def test_reference_imports_only_numpy_and_the_standard_library():
    allowed = {"numpy", "dataclasses", "math", "functools", "collections"}
    for path in Path(inspect.getfile(reference)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert str(node.module).split(".")[0] in allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1
