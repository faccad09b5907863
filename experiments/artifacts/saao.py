"""Look for artifacts in 24 real images of a crowded field. See README.md.

python experiments/artifacts/saao.py --data DIR
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import jax
import matplotlib as mpl
import numpy as np
from saao_measures import measure

import jaxcoadd as jc
from jaxcoadd import io
from jaxcoadd.artifacts import compare_warp, streak_finder
from jaxcoadd.spans import SpanSet
from jaxcoadd.streaks import StreakConfig

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).parent
FWHM = 5.6
"""Of the model PSF, in pixels: five frames of worse seeing have no partner."""

SATURATED_DILATION = 20.0
"""Pixels; the default of 250 leaves no edge of the trail in this field."""


def warp(exposures, grid, folder, *options):
    """Run the command on all exposures; return the warps by name."""
    folder.mkdir()
    command = [sys.executable, "-m", "jaxcoadd", "warp", *map(str, exposures)]
    command += ["--grid", str(grid), "--output", str(folder), "-q", *options]
    subprocess.run(command, check=True)
    return {path.stem: io.read_warp(path) for path in sorted(folder.glob("*.fits"))}


def on_trail(shape):
    """Tell which pixels are on the trail of frame 0070, as the data say."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.abs(x - (590.2 - 0.237 * y)) * np.cos(np.arctan(0.237))
    return (distance < 5) & (y >= 332) & (y <= 503)


def describe(names, artifacts):
    """Return regions, pixels and streaks of each frame that was compared."""
    rows = {}
    for name, clipped, candidates in zip(
        names, artifacts.clipped, artifacts.candidates, strict=True
    ):
        if candidates is not None:
            pixels = SpanSet().union(*clipped).area
            streaks = [s.area for s in candidates.streaks]
            seen = SpanSet().union(*candidates.kept).area
            rows[name] = {
                "candidates": len(candidates.kept),
                "candidate_pixels": seen,
                "regions": len(clipped),
                "pixels": pixels,
                "streaks": streaks,
            }
    return rows


def draw(planes, path):
    """Draw the coadds, and their differences in standard deviations."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 10))
    low, high = np.nanpercentile(planes["clipped mean"], [5, 98])
    for axis, name in zip(
        axes[0], ("mean", "clipped mean", "CompareWarp"), strict=True
    ):
        axis.imshow(planes[name], origin="lower", cmap="gray", vmin=low, vmax=high)
        axis.set_title(name)
    others = {
        "(mean - clipped mean) / sigma": planes["mean"],
        "(CompareWarp - clipped mean) / sigma": planes["CompareWarp"],
    }
    for axis, (title, image) in zip(axes[1], others.items(), strict=False):
        difference = (image - planes["clipped mean"]) / planes["sigma"]
        axis.imshow(difference, origin="lower", cmap="gray", vmin=-5, vmax=5)
        axis.set_title(title)
    axes[1, 2].imshow(planes["epochs"], origin="lower", cmap="gray", vmin=0, vmax=5)
    axes[1, 2].set_title("epochs that see something")
    for axis in axes.flat:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def main():
    """Warp, compare, print what was found, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    options = parser.parse_args()
    folder = options.data / "saao_kb13475"
    exposures = sorted((folder / "exposures").glob("*.fits"))
    grid = min((folder / "warps").glob("*.fits"))
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        direct = warp(exposures, grid, made / "direct")
        matched = warp(exposures, grid, made / "matched", "--match-psf", str(FWHM))
    stack = jc.stack_warps(list(direct.values()))
    found = compare_warp(
        stack,
        [matched.get(name) for name in direct],
        sigma=FWHM / 2.3548,
        streaks=streak_finder(StreakConfig(saturated_dilation=SATURATED_DILATION)),
    )
    rows = describe(direct, found.artifacts)
    for name, row in rows.items():
        print(name, row)
    shape = found.coadd.image.shape
    trail = on_trail(shape)
    name = next(name for name in direct if "0070" in name)
    clipped = found.artifacts.clipped[list(direct).index(name)]
    masked = SpanSet().union(*clipped).to_image(shape, (0, 0))
    there = trail & np.isfinite(np.asarray(direct[name].image))
    total = {
        "trail_pixels": int(there.sum()),
        "masked": int((there & masked).sum()),
        "masked_beside": int((masked & ~trail).sum()),
    }
    print(total)
    coadds = {
        title: jax.jit(jc.coadd)(stack, jc.CoaddConfig(statistic, interpolate=False))
        for title, statistic in (
            ("mean", jc.Mean()),
            ("clipped mean", jc.ClippedMean()),
        )
    }
    planes = {title: np.asarray(one.image) for title, one in coadds.items()}
    planes["CompareWarp"] = np.asarray(found.coadd.image)
    planes["sigma"] = np.sqrt(np.asarray(coadds["clipped mean"].variance))
    planes["epochs"] = found.artifacts.epoch_count
    draw(planes, HERE / "saao.png")
    measured = measure(direct, found.artifacts, trail, folder / "stars.csv")
    text = json.dumps({"masked_in_0070": total, "frames": rows, **measured}, indent=1)
    (HERE / "saao.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
