"""Coadd real exposures and compare with catalogues. See README.md.

python experiments/exposures/run.py --data DIR
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from photutils.aperture import CircularAnnulus, CircularAperture, aperture_photometry
from photutils.centroids import centroid_2dg, centroid_sources

from jaxcoadd import io

HERE = pathlib.Path(__file__).parent
NANOMAGGY = 10 ** (0.4 * (31.4 - 22.5))
"""Nanojansky."""
DECAM_BAD = "NO_DATA,BAD,SAT,BLEED,CR,LOWWT,DIFF,STREAK,ZEROWT"
LAGS = ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2))
SAAO_BAD = "NO_DATA,BAD,SAT,SATGROW"


def assemble(folder, grid, output, *options):
    """Run the command."""
    command = [sys.executable, "-m", "jaxcoadd", "assemble", "--from-exposures"]
    command += [str(folder), "--grid", str(grid), "--output", str(output), "-q"]
    subprocess.run([*command, *options], check=True)
    return io.read_coadd(output)


def sums(image, x, y, radius):
    """Sum apertures."""
    apertures = CircularAperture(np.column_stack([x, y]), radius)
    return np.asarray(aperture_photometry(image, apertures)["aperture_sum"])


def noise_factor(coadd, blank, radius, rng, n=20000):
    """Return the scatter of sums of blank apertures over that of their variances.

    The standard deviation, which is what the correlation of pixels predicts.
    """
    image = coadd.image - np.median(coadd.image[blank])
    height, width = image.shape
    y, x = (rng.uniform(radius + 1, side - radius - 2, n) for side in (height, width))
    free = sums(blank.astype(float), x, y, radius) > np.pi * radius**2 - 1e-6
    x, y = x[free], y[free]
    ratio = sums(np.where(blank, image, 0), x, y, radius)
    ratio /= np.sqrt(sums(np.where(blank, coadd.variance, 0), x, y, radius))
    return float(ratio.std()), len(x)


def expected_factor(correlation_of, radius, reach=6):
    """Return what correlated pixels do to an aperture, from their correlation.

    Pixels at the rim count in part, as in the sums.
    """
    size = 2 * (int(np.ceil(radius)) + reach) + 1
    lags = range(-reach, reach + 1)
    ratios = []
    for shift in np.linspace(0, 0.75, 4):
        middle = size // 2 + shift
        aperture = CircularAperture((middle, middle), radius)
        part = aperture.to_mask(method="exact").to_image((size, size))
        total = sum(
            correlation_of(dx, dy) * (part * np.roll(part, (dy, dx), (0, 1))).sum()
            for dy in lags
            for dx in lags
        )
        ratios.append(total / part.sum())
    return float(np.sqrt(np.mean(ratios)))


def correlation_map(image, variance, blank):
    """Return a function of the lag: the correlation of blank pixels."""
    scaled = np.where(blank, image / np.sqrt(variance), np.nan)
    scaled = scaled - np.nanmedian(scaled)
    scaled[np.abs(scaled) > 4] = np.nan
    power = np.nanmean(scaled**2)

    def found(dx, dy):
        if dy < 0 or (dy == 0 and dx < 0):
            dx, dy = -dx, -dy
        left, right = max(dx, 0), max(-dx, 0)
        height, width = scaled.shape
        a = scaled[dy:, left : width - right]
        b = scaled[: height - dy, right : width - left]
        return float(np.nanmean(a * b) / power)

    return found, float(power)


def blank_of(coadd, sources, reach):
    """Return pixels far from sources and all covered."""
    image = coadd.image
    blank = np.isfinite(image) & (coadd.n_image == coadd.n_image.max())
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for sx, sy in sources:
        blank &= (x - sx) ** 2 + (y - sy) ** 2 > reach**2
    sigma = np.sqrt(coadd.variance)
    high = image > 4 * sigma + np.median(image[blank])
    for dy in range(-4, 5):
        for dx in range(-4, 5):
            blank &= ~np.roll(high, (dy, dx), (0, 1))
    return blank


def psf_residual(path, coadd, x, y):
    """Fit the coadd's own PSF to a star; return the largest residual over the peak."""
    grid = io.read_psf_grid(path)
    cell = (np.abs(grid.y - y).argmin(), np.abs(grid.x - x).argmin())
    stamp = np.asarray(grid.stamps[cell], float)
    half = 10
    middle = np.array(stamp.shape) // 2
    column, row = round(x), round(y)
    cut = coadd.image[row - half : row + half + 1, column - half : column + half + 1]

    def model(dx, dy):
        """Shift by a phase in Fourier space, which is exact for a sampled PSF."""
        fy, fx = np.fft.fftfreq(stamp.shape[0]), np.fft.fftfreq(stamp.shape[1])
        phase = np.exp(-2j * np.pi * (fy[:, None] * dy + fx[None] * dx))
        moved = np.fft.ifft2(np.fft.fft2(stamp) * phase).real
        return moved[
            middle[0] - half : middle[0] + half + 1,
            middle[1] - half : middle[1] + half + 1,
        ]

    def fit(place):
        shape = model(*place)
        design = np.stack([shape.ravel(), np.ones(shape.size)], axis=1)
        found, *_ = np.linalg.lstsq(design, cut.ravel(), rcond=None)
        return (cut.ravel() - design @ found).reshape(cut.shape), found[0]

    from scipy.optimize import minimize

    best = minimize(
        lambda place: (fit(place)[0] ** 2).sum(),
        [x - column, y - row],
        method="Nelder-Mead",
    )
    residual, _ = fit(best.x)
    return float(np.abs(residual).max() / cut.max()), best.x.tolist()


def decam(data, folder, band, rng):
    """Coadd one band and compare with fluxes, Gaia and the variance plane."""
    base = data / "decam_ls_1867p255"
    exposures = sorted((base / "exposures").glob(f"*_{band}.fits"))
    own = folder / band
    own.mkdir()
    for path in exposures:
        (own / path.name).symlink_to(path.resolve())
    grid = base / "warps" / exposures[0].name
    output = folder / f"{band}.fits"
    found = assemble(
        own, grid, output, "-c", f"bad_planes={DECAM_BAD}", "-c", "statistic=MEAN"
    )
    coadd = found.coadd
    weights = {pathlib.Path(row["file"]).name: row["weight"] for row in found.inputs}
    rows = [
        row
        for row in csv.DictReader((base / "object_fluxes.csv").open())
        if row["band"] == band and row["bad_pixels"] == "0"
    ]
    fluxes = []
    for number in sorted({row["id"] for row in rows}):
        own_rows = [row for row in rows if row["id"] == number]
        w = np.array([weights[row["file"]] for row in own_rows])
        f = np.array([float(row["flux_nmgy_r2p1"]) for row in own_rows])
        x, y = float(own_rows[0]["x_warp"]), float(own_rows[0]["y_warp"])
        measured = sums(np.nan_to_num(coadd.image), [x], [y], 8)[0] / NANOMAGGY
        wanted = float((w * f).sum() / w.sum())
        fluxes.append(
            {
                "id": number,
                "ratio": measured / wanted,
                "scatter": float(np.std(f, ddof=1) / wanted) if len(f) > 1 else None,
                "epochs": len(f),
                "of": len(exposures),
            }
        )
    sources = [(float(r["x_warp"]), float(r["y_warp"])) for r in rows]
    gaia = gaia_offsets(base, coadd, exposures, weights)
    blank = blank_of(coadd, sources, 22)
    factor, apertures = noise_factor(coadd, blank, 4.0, rng)
    correlation, power = correlation_map(coadd.image, coadd.variance, blank)
    expected = expected_factor(correlation, 4.0)
    near = {f"{dx},{dy}": correlation(dx, dy) for dx, dy in LAGS}
    brightest = max(rows, key=lambda row: float(row["flux_nmgy_r2p1"]))
    residual, _ = psf_residual(
        output, coadd, float(brightest["x_warp"]), float(brightest["y_warp"])
    )
    return {
        "fluxes": fluxes,
        "gaia_mas": gaia,
        "noise": {
            "apertures": apertures,
            "measured_over_variance": factor,
            "expected_of_correlation": expected,
            "pixel_scatter_over_variance": power**0.5,
            "correlation": near,
        },
        "psf_residual": residual,
    }


def gaia_offsets(base, coadd, exposures, weights):
    """Return the mean offset to Gaia of the stars in the field, east and north."""
    stars = Table.read(base / "gaia_dr2.fits")
    names = {name.lower(): name for name in stars.colnames}
    date = np.average(
        [fits.getheader(path)["MJD-OBS"] for path in exposures],
        weights=[weights[path.name] for path in exposures],
    )
    years = Time(date, format="mjd").jyear - 2015.5
    ra, dec = (np.asarray(stars[names[n]], float) for n in ("ra", "dec"))
    pm_ra, pm_dec = (
        np.nan_to_num(np.asarray(stars[names[n]], float)) for n in ("pmra", "pmdec")
    )
    dec_now = dec + pm_dec * years / 3.6e6
    ra_now = ra + pm_ra * years / 3.6e6 / np.cos(np.radians(dec))
    x, y = coadd.grid.wcs.world_to_pixel_values(ra_now, dec_now)
    height, width = coadd.grid.shape
    inside = (x > 12) & (x < width - 13) & (y > 12) & (y < height - 13)
    to_sky = coadd.grid.wcs.pixel_to_world_values
    offsets = []
    for gx, gy in zip(x[inside], y[inside], strict=True):
        cx, cy = centroid_sources(
            np.nan_to_num(coadd.image), gx, gy, box_size=11, centroid_func=centroid_2dg
        )
        there = SkyCoord(*to_sky(cx[0], cy[0]), unit="deg")
        here = SkyCoord(*coadd.grid.wcs.pixel_to_world_values(gx, gy), unit="deg")
        east, north = here.spherical_offsets_to(there)
        offsets.append([float(east.mas), float(north.mas)])
    return {"stars": offsets, "mean": np.mean(offsets, axis=0).tolist()}


def saao(data, folder, rng):
    """Coadd the SAAO frames and compare with the star list."""
    base = data / "saao_kb13475"
    output = folder / "saao.fits"
    grid = base / "warps" / "kb13475_0100_I.fits"
    coadd = assemble(
        base / "exposures", grid, output, "-c", f"bad_planes={SAAO_BAD}"
    ).coadd
    rows = list(csv.DictReader((base / "stars.csv").open()))
    x, y = (np.array([float(r[n]) for r in rows]) for n in ("x_warp", "y_warp"))
    wanted = np.array([float(r["flux_r11_mag25"]) for r in rows])
    ours = star_fluxes(coadd, x, y)
    recorded = folder / "recorded.fits"
    warps = sorted(map(str, (base / "warps").glob("*.fits")))
    command = [sys.executable, "-m", "jaxcoadd", "assemble", *warps, "-q"]
    command += ["--output", str(recorded), "-c", f"bad_planes={SAAO_BAD}"]
    subprocess.run(command, check=True)
    theirs = star_fluxes(io.read_coadd(recorded).coadd, x, y)
    reference = star_fluxes(io.read_warp(grid), x, y)
    return {
        "stars": len(rows),
        "coadd_over_list": spread(ours / wanted),
        "coadd_over_coadd_of_recorded_warps": spread(ours / theirs),
        "recorded_warp_0100_over_list": spread(reference / wanted),
        "scatter_of_the_list": float(
            np.median([float(r["scatter_mag_good_seeing"]) for r in rows])
        ),
    }


def star_fluxes(coadd, x, y):
    """Measure stars in apertures of 11 pixels, at zero point 25."""
    image = np.nan_to_num(np.asarray(coadd.image, float))
    image *= 10 ** (-0.4 * (float(coadd.zero_point) - 25))
    ring = CircularAnnulus(np.column_stack([x, y]), 13, 18).to_mask(method="center")
    sky = np.array([np.median(one.get_values(image)) for one in ring])
    return sums(image, x, y, 11) - sky * np.pi * 11**2


def spread(ratio):
    """Return the median, and the scatter by the median deviation."""
    median = float(np.median(ratio))
    return [median, float(1.4826 * np.median(np.abs(ratio - median)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for band in "grz":
            results[band] = decam(options.data, folder, band, rng)
            print(band, json.dumps(results[band], indent=1), flush=True)
        results["saao"] = saao(options.data, folder, rng)
        print("saao", json.dumps(results["saao"], indent=1))
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
