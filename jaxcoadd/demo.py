"""The demonstration: coadd the real images that come with the package."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jaxcoadd.assembly import Settings, assemble, make_plan
from jaxcoadd.assembly.report import result_as_text
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
    decam, saao = _settings(DECAM_BAD), _settings(SAAO_BAD)
    made = {}
    for band in BANDS:
        name = f"decam_{band}"
        made[name] = _coadd(decam_warps(band), decam, folder / f"{name}.fits", say)
    made["saao"] = _coadd(saao_warps(), saao, folder / "saao.fits", say)
    return [*made.values(), *_draw(made, folder, say)]


def _settings(bad: Sequence[str]) -> Settings:
    """Return the default settings, with more bad planes."""
    planes = dict.fromkeys((*Settings().bad_planes, *bad))
    return dataclasses.replace(Settings(), bad_planes=tuple(planes))


def _coadd(
    warps: Sequence[Path], settings: Settings, output: Path, say: Callable[[str], None]
) -> Path:
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
    say(result_as_text(result, str(output)))
    return output


def _draw(
    made: Mapping[str, Path], folder: Path, say: Callable[[str], None]
) -> list[Path]:
    try:
        from jaxcoadd import pictures
    except ImportError:
        say("no pictures: they need matplotlib (pip install 'jaxcoadd[plot]')")
        return []
    faulty = next(path for path in saao_warps() if path.name == FAULTY)
    bands = [made[f"decam_{band}"] for band in BANDS]
    drawn = {
        "the three bands in colour": pictures.draw_colours(bands, folder),
        "a satellite's trail in a warp, and the coadd without it": (
            pictures.draw_against_warp(made["saao"], faulty, folder)
        ),
        "how many warps each pixel has": pictures.draw_depth(made["decam_z"], folder),
        "what the mask says": pictures.draw_mask(made["decam_z"], folder),
    }
    for title, path in drawn.items():
        say(f"{path}: {title}")
    return list(drawn.values())
