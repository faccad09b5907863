"""What a method leaves out of the warps of a run, strip by strip."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxcoadd.io.warp_files import WarpFile
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.sky.detectors import SIGMA_TO_FWHM
from jaxcoadd.spans import SpanSet, apply_alternative_masks

UNKNOWN_FWHM = 4.0
"""Width of a point-spread function, in pixels, of which nothing is known."""

SIGMA_PER_FWHM = 1 / SIGMA_TO_FWHM


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What was found in the warps that are used.

    Parameters
    ----------
    names
        Of the warps: the exposures' identifiers.
    regions
        Where each warp gets a plane, by plane. What has CLIPPED is an artifact.
    n_artifacts
        How many artifacts each has.
    n_outliers
        How many pixels of each stand out by themselves; none if they were not looked
        for.
    replaced_planes
        Planes that NO_DATA replaces, see `apply_alternative_masks`.
    edges
        Where the PSF of the coadd is not that of all its warps.
    remarks
        What kept artifacts from being found, one sentence each.
    """

    names: tuple[str, ...]
    regions: tuple[Mapping[str, SpanSet], ...]
    n_artifacts: tuple[int, ...]
    n_outliers: tuple[int, ...] = ()
    replaced_planes: tuple[str, ...] = ()
    edges: tuple[SpanSet, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def n_pixels(self) -> tuple[int, ...]:
        """How many pixels of each warp are artifacts."""
        return tuple(regions["CLIPPED"].area for regions in self.regions)

    def mask_rows(
        self, index: int, mask: np.ndarray, part: slice, *, planes: MaskPlanes
    ) -> np.ndarray:
        """Set the planes of some rows of one warp.

        Parameters
        ----------
        index
            Which of the warps.
        mask
            Its mask there, (y, x).
        part
            Which rows.
        planes
            Planes of the mask, with those of the regions.
        """
        rows = (0, part.start, mask.shape[1] - 1, part.stop - 1)
        masked, _ = apply_alternative_masks(
            mask,
            planes,
            {name: [r.clipped(rows)] for name, r in self.regions[index].items()},
            bad_planes=self.replaced_planes,
            origin=(0, part.start),
        )
        return np.asarray(masked)


def unite(regions: Mapping[str, Sequence[SpanSet]]) -> dict[str, SpanSet]:
    """Return one region a plane."""
    return {name: SpanSet().union(*spans) for name, spans in regions.items()}


def psf_sigma(file: WarpFile, fwhm: float | None) -> float:
    """Return the standard deviation of the PSF of a warp, in pixels.

    Parameters
    ----------
    file
        The warp; a PSF-matched one knows the width of its model.
    fwhm
        The width that is given, if it is.
    """
    return float(SIGMA_PER_FWHM * (fwhm or file.matched_fwhm or UNKNOWN_FWHM))
