"""The demonstration: coadd the real images that come with the package."""

import dataclasses
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from jaxcoadd.assembly import Settings, assemble, make_plan
from jaxcoadd.io import OutputError, write_coadd

BANDS = ("g", "r", "z")
FAULTY = "kb13475_0070_I.fits"
"""A frame with the bright trail of a satellite."""

# Every plane of these files marks pixels that cannot be used, as their READMEs say.
DECAM_BAD = ("BAD", "SAT", "BLEED", "CR", "LOWWT", "DIFF", "STREAK", "ZEROWT")
SAAO_BAD = ("SAT", "SATGROW", "BAD")


def sample_folder() -> Path:
    """Return the folder of the sample data."""
    return Path(str(files("jaxcoadd"))) / "data"


def decam_warps(band: str) -> list[Path]:
    """Return the DECam warps of one band, in order."""
    folder = sample_folder() / "decam_ls_1867p255" / "warps"
    return sorted(folder.glob(f"*_{band}.fits"))


def saao_warps() -> list[Path]:
    """Return the SAAO warps, in order."""
    return sorted((sample_folder() / "saao_kb13475" / "warps").glob("*.fits"))


def run_demo(folder: str | Path, say: Callable[[str], None] = print) -> list[Path]:
    """Coadd the sample data and draw pictures of the result.

    Parameters
    ----------
    folder
        Where to write; made if it is not there. Files of an earlier demo are replaced.
    say
        Told what is done.

    Returns
    -------
    list of Path
        What was written: a coadd a band, one of the crowded field, and the pictures.

    Raises
    ------
    OutputError
        The folder cannot be made, or a file not be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    defaults = Settings().bad_planes
    decam = dataclasses.replace(
        Settings(), bad_planes=tuple(dict.fromkeys((*defaults, *DECAM_BAD)))
    )
    saao = dataclasses.replace(
        Settings(), bad_planes=tuple(dict.fromkeys((*defaults, *SAAO_BAD)))
    )
    made = {}
    for band in BANDS:
        name = f"decam_{band}"
        made[name] = _coadd(decam_warps(band), decam, folder / f"{name}.fits", say)
    made["saao"] = _coadd(saao_warps(), saao, folder / "saao.fits", say)
    return [*made.values(), *_draw(made, folder, say)]


def _coadd(warps, settings, output, say) -> Path:
    plan = make_plan(warps, settings)
    result = assemble(plan, settings, strict=True)
    write_coadd(
        output,
        result.coadd,
        inputs=result.inputs,
        config=settings.as_text(),
        timings=result.timings,
        cards=result.cards,
        overwrite=True,
    )
    clipped = sum(result.inputs["pixels_clipped"])
    seconds = sum(result.timings.values())
    say(
        f"{output}: {len(warps)} warps, zero point {plan.zero_point:g}, "
        f"{clipped} pixels clipped, {seconds:.1f} s with compilation"
    )
    return output


def _draw(made, folder, say) -> list[Path]:
    try:
        from jaxcoadd import pictures
    except ImportError:
        say("no pictures: they need matplotlib (pip install 'jaxcoadd[plot]')")
        return []
    faulty = next(path for path in saao_warps() if path.name == FAULTY)
    drawn = [
        pictures.draw_colours([made[f"decam_{band}"] for band in BANDS], folder),
        pictures.draw_against_warp(made["saao"], faulty, folder),
        pictures.draw_depth(made["decam_z"], folder),
        pictures.draw_mask(made["decam_z"], folder),
    ]
    for path in drawn:
        say(f"{path}")
    return drawn
