"""Draw the figures of README.md from results.json and coadds of one run."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from astropy.visualization import AsinhStretch, ImageNormalize, ManualInterval

COLOURS = {
    "mean": "#7f7f7f",
    "median": "#17becf",
    "sigma clip": "#ff7f0e",
    "SafeClip": "#9467bd",
    "CompareWarp": "#1f77b4",
    "CompareWarp, streaks": "#2ca02c",
    "CompareWarp, outliers": "#d62728",
    "model": "#8c564b",
}
SHOWN = ("mean", "sigma clip", "CompareWarp, outliers", "model")
PART = np.s_[450:750, 0:300]


def draw_completeness(results, classes, path):
    """Draw what is found of each class, above one and above five deviations."""
    depths = sorted(results["warps"], key=int)
    names = [name for name in COLOURS if name not in ("mean", "median")]
    figure, axes = plt.subplots(
        2,
        len(depths),
        squeeze=False,
        figsize=(13, 6.5),
        sharey=True,
        sharex=True,
        layout="constrained",
    )
    at = np.arange(len(classes))
    for column, depth in enumerate(depths):
        for row, level in enumerate((1, 3)):
            panel = axes[row, column]
            for k, name in enumerate(names):
                found = results["warps"][depth][name]["completeness"]
                values = [found[c][level] for c in classes]
                values = [np.nan if v is None else v for v in values]
                width = 0.8 / len(names)
                panel.bar(
                    at + (k - 2) * width, values, width, color=COLOURS[name], label=name
                )
            limit = results["levels"][level]
            panel.set_title(f"{depth} warps, above {limit:.0f} sigma")
            panel.set_xticks(at, classes, rotation=40, ha="right")
            panel.set_ylim(0, 1)
    for panel in axes[:, 0]:
        panel.set_ylabel("part found")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names))
    figure.savefig(path, dpi=90)


def draw_biases(results, path):
    """Draw the error of star fluxes by magnitude: in the coadd, and of rejection."""
    depths = sorted(results["warps"], key=int)
    figure, axes = plt.subplots(
        2,
        len(depths),
        squeeze=False,
        figsize=(13, 6.5),
        sharex=True,
        sharey="row",
        layout="constrained",
    )
    for column, depth in enumerate(depths):
        for row, key in enumerate(("bias_mmag", "rejection_bias_mmag")):
            panel = axes[row, column]
            for k, (name, colour) in enumerate(COLOURS.items()):
                bins = results["warps"][depth][name].get(key)
                if not bins:
                    continue
                x = np.array([int(m) + 0.5 for m in bins]) + 0.04 * (k - 3)
                y, error, _ = np.array(list(bins.values())).T
                panel.errorbar(x, y, error, color=colour, marker="o", ms=3, label=name)
            panel.axhline(0, color="black", lw=0.5)
            panel.set_yscale("symlog", linthresh=2)
            panel.set_title(f"{depth} warps")
        axes[1, column].set_xlabel("magnitude")
    axes[0, 0].set_ylabel("flux error in the coadd [mmag]")
    axes[1, 0].set_ylabel("of rejection alone [mmag]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    figure.savefig(path, dpi=90)


def draw_coadds(coadds, path):
    """Draw a part of four coadds side by side, and what they differ by from truth."""
    figure, axes = plt.subplots(2, len(SHOWN), figsize=(15, 8), layout="constrained")
    stretch = AsinhStretch(0.05)
    wide = ImageNormalize(interval=ManualInterval(-40, 1500), stretch=stretch)
    for column, name in enumerate(SHOWN):
        image = coadds[name][PART]
        upper, lower = axes[:, column]
        upper.imshow(image, origin="lower", cmap="gray", norm=wide)
        off = image - coadds["truth"][PART]
        lower.imshow(off, origin="lower", cmap="RdBu_r", vmin=-60, vmax=60)
        upper.set_title(name)
        lower.set_title("less the truth")
        for panel in (upper, lower):
            panel.set_xticks([])
            panel.set_yticks([])
    figure.savefig(path, dpi=80)


def draw_all(results, classes, folder: pathlib.Path, coadds=None):
    """Draw all figures."""
    draw_completeness(results, classes, folder / "completeness.png")
    draw_biases(results, folder / "biases.png")
    if coadds is not None:
        draw_coadds(coadds, folder / "coadds.png")
