"""Judge ways to reject artifacts against simulated truth. See README.md.

python experiments/artifacts/run.py
"""

import argparse
import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from figures import draw_all
from scene import CLASSES, LEVELS, SIZE, simulate
from scipy import ndimage

import jaxcoadd as jc
from jaxcoadd.artifacts.alternatives import coadd_without, weigh_once
from jaxcoadd.artifacts.by_model import find_by_model
from jaxcoadd.artifacts.compare_warp import find_artifacts, static_sky
from jaxcoadd.artifacts.config import COMPARE_WARP
from jaxcoadd.artifacts.outliers import with_outliers
from jaxcoadd.artifacts.safe_clip import SAFE_CLIP, safe_clip
from jaxcoadd.coadds import coadd
from jaxcoadd.detection import DetectionConfig, detect
from jaxcoadd.statistics import Samples, is_kept, rejected_value
from jaxcoadd.streaks import find_streaks

HERE = pathlib.Path(__file__).parent
ZERO_POINT = 27.0
BAD = ("NO_DATA", "BAD", "SAT", "EDGE")
ARTIFACTS = 2 ** (len(CLASSES) - 1) - 1
"""The bits of all classes but variable stars."""
APERTURE = 8
DRAWN = 12
"""The number of warps whose coadds are drawn."""
OURS = "CompareWarp, outliers"
MODEL = "model"
NEVER = {"mean", "median"}
"""These flag nothing."""


def config_of(statistic, **options):
    return jc.CoaddConfig(statistic=statistic, zero_point=ZERO_POINT, **options)


def clipped_by(statistic, stack, bad):
    """Return which values a statistic leaves out, (warp, y, x)."""
    scaled = jc.scale_zero_points(stack, ZERO_POINT)
    bits = stack.planes.bits(bad)

    @jax.jit
    def rows(image, variance, mask):
        n = len(image)
        good = jnp.isfinite(image) & ((mask & jnp.uint32(bits)) == 0)
        flat = good.reshape(n, -1)
        none = jnp.float32(rejected_value(image.dtype))
        samples = Samples(
            values=jnp.where(flat, image.reshape(n, -1), none),
            variances=variance.reshape(n, -1),
            weights=scaled.weight[:, None] / scaled.weight.max(),
            weight_unit=jnp.float32(1),
            present=scaled.present,
            count=flat.sum(0).astype(image.dtype),
        )
        kept = is_kept(samples.values, statistic.settle(samples))
        return (flat & ~kept).reshape(image.shape)

    out = np.zeros(stack.shape, bool)
    for start in range(0, SIZE, 100):
        part = np.s_[:, start : start + 100]
        planes = scaled.image[part], scaled.variance[part], scaled.mask[part]
        out[part] = rows(*planes)
    return out


def as_image(footprints):
    return jc.SpanSet().union(*footprints).to_image((SIZE, SIZE))


def flag_detected(scene):
    """Set DETECTED in direct warps, as single exposures have it."""
    config = DetectionConfig(background=None)
    planes, masks = scene.stack.planes, []
    for i, sigma in enumerate(scene.sigmas):
        image, variance = scene.stack.image[i], scene.stack.variance[i]
        mask = scene.stack.mask[i]
        found = detect(
            jnp.nan_to_num(image),
            jnp.where(jnp.isfinite(variance), variance, jnp.inf),
            mask,
            sigma=float(sigma),
            config=config,
            planes=planes,
        )
        bits = jnp.uint32(found.planes.bits(["DETECTED", "DETECTED_NEGATIVE"]))
        masks.append(mask | (found.mask & bits))
    return dataclasses.replace(scene.stack, mask=jnp.stack(masks))


def streaks_of(difference):
    """Find streaks on a difference, for CompareWarp."""
    found = find_streaks(
        difference.image,
        difference.variance,
        difference.mask,
        planes=difference.planes,
    )
    return (found.mask >> difference.planes.bit("STREAK")) & 1 == 1


def run_statistics(scene):
    """Yield plain coadds: name, image, flags, seconds."""
    for name, statistic in {
        "mean": jc.Mean(),
        "median": jc.Median(),
        "sigma clip": jc.ClippedMean(),
    }.items():
        start = time.perf_counter()
        config = config_of(statistic, bad_planes=BAD)
        image = np.asarray(jax.jit(coadd)(scene.stack, config).image)
        seconds = time.perf_counter() - start
        weighed, _ = weigh_once(scene.stack, config)
        flags = None if name in NEVER else clipped_by(statistic, weighed, BAD)
        yield name, image, flags, seconds, False


def run_safe_clip(scene):
    """Yield SafeClip."""
    start = time.perf_counter()
    plain = dataclasses.replace(SAFE_CLIP.coadd, zero_point=ZERO_POINT, bad_planes=BAD)
    config = dataclasses.replace(SAFE_CLIP, coadd=plain)
    sigma = float(np.mean(scene.sigmas))
    found = safe_clip(flag_detected(scene), sigma=sigma, config=config)
    flags = np.stack([as_image(some) for some in found.clipped])
    seconds = time.perf_counter() - start
    yield "SafeClip", np.asarray(found.coadd.image), flags, seconds, False


def run_compare_warp(scene):
    """Yield CompareWarp without and with streaks, and our addition."""
    start = time.perf_counter()
    final = dataclasses.replace(COMPARE_WARP.coadd, zero_point=ZERO_POINT)
    sky = dataclasses.replace(COMPARE_WARP.static_sky, zero_point=ZERO_POINT)
    config = dataclasses.replace(COMPARE_WARP, coadd=final, static_sky=sky)
    sigma = float(scene.matched_sigma)
    template = static_sky(jc.stack_warps(scene.matched), config)
    artifacts = find_artifacts(
        template,
        scene.matched,
        sigma=sigma,
        template_sigma=sigma,
        config=config,
        streaks=streaks_of,
    )
    seconds = time.perf_counter() - start
    regions = artifacts.alternatives()
    missing = np.stack([as_image([some]) for some in artifacts.no_data])
    pairs = list(zip(regions, artifacts.candidates, strict=True))
    plain = [
        {**some, "CLIPPED": without_streaks(some["CLIPPED"], found)}
        for some, found in pairs
    ]
    start = time.perf_counter()
    median = config_of(jc.Median(), bad_planes=BAD)
    reference = jax.jit(coadd)(scene.stack, median)
    ours = with_outliers(scene.stack, plain, reference)
    added = time.perf_counter() - start
    for name, chosen, spent in (
        ("CompareWarp", plain, seconds),
        ("CompareWarp, streaks", regions, seconds),
        (OURS, ours, seconds + added),
    ):
        image = coadd_without(
            scene.stack, chosen, final, replaced_planes=final.bad_planes
        ).image
        flags = np.stack([as_image(some["CLIPPED"]) for some in chosen])
        yield name, np.asarray(image), flags, spent, missing


def run_model(scene):
    """Yield the model of the static sky, each warp at its own PSF."""
    start = time.perf_counter()
    median = config_of(jc.Median(), bad_planes=("NO_DATA",))
    reference = jax.jit(coadd)(scene.stack, median)
    found = find_by_model(scene.stack, jnp.asarray(scene.psfs), reference)
    final = dataclasses.replace(COMPARE_WARP.coadd, zero_point=ZERO_POINT)
    image = np.asarray(coadd_without(scene.stack, found.alternatives(), final).image)
    seconds = time.perf_counter() - start
    flags = np.stack([as_image(some) for some in found.clipped])
    yield MODEL, image, flags, seconds, False


def without_streaks(clipped, candidates):
    """Return the footprints that are clipped, but for streaks, which are last."""
    return clipped[: len(clipped) - len(candidates.streaks)]


def judge_flags(flags, scene, usable, sources):
    """Compare flags with the truth, in pixels that have data."""
    touched = (scene.truth[0] & ARTIFACTS) != 0
    good = usable & (scene.truth[0] == 0)
    result = {
        "good_lost": float((flags & good).sum() / good.sum()),
        "good_lost_apart": lost_apart(flags & good, touched),
        "purity": float((flags & touched).sum() / max(flags.sum(), 1)),
        "completeness": {},
        "completeness_off_sources": {},
        "pixels": {},
    }
    for number, name in enumerate(CLASSES):
        there = [usable & ((level >> number) & 1 == 1) for level in scene.truth]
        result["pixels"][name] = [int(some.sum()) for some in there]
        result["completeness"][name] = [share(flags, some) for some in there]
        result["completeness_off_sources"][name] = [
            share(flags, some & ~sources) for some in there
        ]
    result["class_purity"] = class_purity(flags, touched, scene.truth)
    return result


def share(flags, where):
    """Return the part of some pixels that is flagged."""
    number = int(where.sum())
    return int((flags & where).sum()) / number if number else None


def lost_apart(lost, touched):
    """Return the part of pixels that is lost farther than 20 pixels from artifacts."""
    far = [ndimage.distance_transform_edt(~some) > 20 for some in touched]
    return float((lost & far).sum() / np.sum(far))


def class_purity(flags, touched, truth):
    """Return which part of connected flags that meet a class is artifact.

    They meet it where it has one standard deviation. For the trails above two, see
    the entry of that name.
    """
    area, right = np.zeros((2, len(CLASSES) + 1))
    for n, flagged in enumerate(flags):
        labels, number = ndimage.label(flagged, np.ones((3, 3)))
        at = labels[flagged]
        size = np.bincount(at, minlength=number + 1)
        true = np.bincount(at, touched[n][flagged], number + 1)
        one, two = truth[1, n][flagged], truth[2, n][flagged]
        marks = [(one >> c) & 1 for c in range(len(CLASSES))]
        for c, mark in enumerate([*marks, (two >> CLASSES.index("trails")) & 1]):
            meets = np.bincount(at, mark, number + 1) > 0
            area[c] += size[meets].sum()
            right[c] += true[meets].sum()
    part = [float(r / a) if a else None for r, a in zip(right, area, strict=True)]
    return dict(zip((*CLASSES, "trails above 2"), part, strict=True))


def expected_image(scene, images, where):
    """Return the weighted mean of images at the common zero point."""
    weights = weights_of(scene)[:, None, None] * where
    total = weights.sum(0)
    sums = (weights * np.where(where, images, 0)).sum(0)
    return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


def others_bias(scene, stars, kept):
    """Return what rejection alone does to stars in warps without cloud and jump."""
    rest = np.arange(len(kept))[:, None, None] >= 2
    images = [
        expected_image(scene, scene.clean, where & rest)
        for where in (kept, stars.usable)
    ]
    off = stars.biases(images[0] - images[1] + stars.truth)
    return in_bins(off, stars.magnitudes)


def weights_of(scene):
    weighed, _ = weigh_once(scene.stack, config_of(jc.Mean(), bad_planes=BAD))
    return np.asarray(weighed.weight)


def saturated_in(scene):
    bit = np.uint32(scene.stack.planes.bits(["SAT"]))
    return (np.asarray(scene.stack.mask) & bit) != 0


class Stars:
    """Stars that are never saturated and do not vary, and how to measure them."""

    def __init__(self, scene):
        stars, planes = scene.field.stars, scene.stack.planes
        mask = np.asarray(scene.stack.mask)
        self.covered = (mask & np.uint32(planes.bits(["NO_DATA"]))) == 0
        shut = saturated_in(scene).any(0) | (self.covered.sum(0) < 3)
        self.truth = expected_image(scene, scene.clean, self.covered)
        x, y = stars.x - 12, stars.y - 12
        inside = (np.minimum(x, y) > APERTURE + 1) & (
            np.maximum(x, y) < SIZE - APERTURE - 2
        )
        self.places = []
        self.magnitudes = []
        variable = (scene.truth[1] >> CLASSES.index("variable stars") & 1).any(0)
        for i in np.flatnonzero(inside & ~scene.field.variable):
            part, disc = self._aperture(x[i], y[i])
            if (shut | variable)[part][disc].any():
                continue
            self.places.append((part, disc))
            self.magnitudes.append(ZERO_POINT - 2.5 * np.log10(stars.flux[i]))
        self.magnitudes = np.array(self.magnitudes)
        self.fluxes = 10 ** (0.4 * (ZERO_POINT - self.magnitudes))
        sky = np.isfinite(self.truth) & (self.truth < 2) & (self.covered.sum(0) > 2)
        self.blank = sky & (scene.truth[0] == 0).all(0)
        self.spoilt = sky & (scene.truth[1] & ARTIFACTS != 0).any(0)
        noise = np.sqrt(1 / (self.covered / scene.sky[:, None, None]).sum(0).clip(1e-9))
        near = ndimage.maximum_filter(np.nan_to_num(self.truth), 9)
        self.sources = near > 4 * noise
        self.usable = self.covered & ~saturated_in(scene)

    @staticmethod
    def _aperture(x, y):
        column, row = round(x), round(y)
        part = np.s_[
            row - APERTURE : row + APERTURE + 1,
            column - APERTURE : column + APERTURE + 1,
        ]
        y, x = np.mgrid[-APERTURE : APERTURE + 1, -APERTURE : APERTURE + 1]
        return part, x**2 + y**2 <= APERTURE**2

    def biases(self, image):
        """Return the error of each star's flux, mmag (positive: too bright)."""
        off = image - self.truth
        sums = np.array([off[part][disc].sum() for part, disc in self.places])
        return 1085.7 * sums / self.fluxes


def judge_image(image, stars, noise):
    """Measure star fluxes and the noise of the blank sky."""
    off = image - stars.truth
    own = robust_scatter(off[stars.blank])
    return {
        "bias_mmag": in_bins(stars.biases(image), stars.magnitudes),
        "sn_kept": noise / own,
        "left": float(off[stars.spoilt].mean() / noise),
    }


def in_bins(bias, magnitudes):
    """Return median, its error and the number of stars, by magnitude."""
    bins = {}
    for low in range(12, 20):
        some = bias[(magnitudes >= low) & (magnitudes < low + 1)]
        if len(some):
            spread = 1.253 * 0.7413 * np.subtract(*np.percentile(some, [75, 25]))
            error = float(spread / np.sqrt(len(some)))
            bins[low] = [float(np.median(some)), error, len(some)]
    return bins


def robust_scatter(values):
    """Return the standard deviation that the quartiles speak of."""
    low, high = np.percentile(values, [25, 75])
    return float(0.7413 * (high - low))


def judge_all(n, seed):
    """Simulate n warps and judge every method; return results and images."""
    scene = simulate(n, seed)
    stars = Stars(scene)
    clean = expected_image(scene, scene.unspoilt, stars.covered)
    noise = robust_scatter((clean - stars.truth)[stars.blank])
    results, images = {}, {"truth": stars.truth}
    results["no artifacts"] = judge_image(clean, stars, noise)
    for method in (run_statistics, run_safe_clip, run_compare_warp, run_model):
        for name, image, flags, seconds, missing in method(scene):
            found = judge_image(image, stars, noise) | {"seconds": seconds}
            if flags is not None:
                usable = stars.usable & ~np.asarray(missing)
                found |= judge_flags(flags & usable, scene, usable, stars.sources)
                kept = usable & ~flags
                alone = stars.biases(expected_image(scene, scene.clean, kept))
                found["rejection_bias_mmag"] = in_bins(alone, stars.magnitudes)
                found["rejection_bias_others_mmag"] = others_bias(scene, stars, kept)
            results[name] = found
            images[name] = image
            print(n, name, summary(found), flush=True)
    return results, images


def summary(found):
    bins = found["bias_mmag"]
    text = "bias " + " ".join(f"{low}:{b[0]:.2f}" for low, b in bins.items())
    if "rejection_bias_mmag" in found:
        text += "\n      by rejection " + " ".join(
            f"{low}:{b[0]:.2f}" for low, b in found["rejection_bias_mmag"].items()
        )
    text += (
        f" left {found['left']:.2f} sn {found['sn_kept']:.4f} s {found['seconds']:.1f}"
    )
    if "good_lost" in found:
        text += f" lost {found['good_lost']:.5f} apart {found['good_lost_apart']:.5f}"
        text += f" purity {found['purity']:.3f}"
        for name, values in found["completeness"].items():
            shown = " ".join("-" if v is None else f"{v:.3f}" for v in values)
            text += f"\n      {name}: {shown} pure {found['class_purity'][name]}"
        off = found["completeness_off_sources"]
        shown = [f"{name} {values[-1]}" for name, values in off.items()]
        text += "\n      off sources " + ", ".join(shown)
        text += f"\n      trails2 pure {found['class_purity']['trails above 2']}"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warps", type=int, nargs="+", default=[6, 12, 24, 60])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=HERE)
    arguments = parser.parse_args()
    results = {"levels": LEVELS, "seed": arguments.seed, "warps": {}}
    drawn = None
    for n in arguments.warps:
        results["warps"][str(n)], images = judge_all(n, arguments.seed)
        drawn = images if n == DRAWN else drawn
    text = json.dumps(results, indent=1) + "\n"
    (arguments.output / "results.json").write_text(text)
    draw_all(json.loads(text), CLASSES, arguments.output, drawn)


if __name__ == "__main__":
    main()
