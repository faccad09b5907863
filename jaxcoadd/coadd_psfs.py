"""The point-spread function of a coadd, wherever it is asked for."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS
from jaxtyping import Array, Bool, Float, Int

from jaxcoadd.inputs.regions import (
    InputRegion,
    Positions,
    affine_maps,
    average_position,
    source_positions,
)
from jaxcoadd.psfs import (
    PsfGrid,
    PsfSamples,
    StampPsf,
    coadd_psf_at,
    grid_cell_centres,
    shift_stamp,
    stack_psfs,
    warped_half_size,
)
from jaxcoadd.psfs.grids import CELL_SIZE
from jaxcoadd.resampling import AbstractKernel, Lanczos
from jaxcoadd.warps import common_size

# Positions that are drawn at once, each with all its inputs: a few megabytes.
_BATCH = 8


class NoInputsError(ValueError):
    """No input covers the position."""


class Stamp(NamedTuple):
    """An image of a point source: its pixels, and (x, y) of the pixel [0, 0]."""

    pixels: Float[np.ndarray, "y x"]
    origin: tuple[int, int]


class Stamps(NamedTuple):
    """Kernel images at several positions, centred on their middle pixels.

    Parameters
    ----------
    pixels
        All NaN where there is no input.
    half_sizes
        Rows and columns on either side of the middle that are not padding.
    has_input
        Whether any input covers a position.
    """

    pixels: Float[np.ndarray, "position y x"]
    half_sizes: Int[np.ndarray, "position 2"]
    has_input: Bool[np.ndarray, " position"]


@dataclasses.dataclass(frozen=True, eq=False)
class PsfInput:
    """What the coadd's point-spread function needs to know of an input.

    Parameters
    ----------
    psf
        Point-spread function of the input, in its own pixels.
    region
        Its WCS, box and valid polygon.
    weight
        Its weight in the coadd; 1 in a warp.
    n_pixels
        How many of its pixels are in the coadd; for the average position.
    average
        Position (x, y) on the input at which the PSF is typical; by default the
        middle of the box.
    """

    psf: StampPsf
    region: InputRegion
    weight: float = 1.0
    n_pixels: float = 1.0
    average: tuple[float, float] | None = None

    def average_or_middle(self) -> tuple[float, float]:
        """Return the average position, or the middle of the box."""
        min_x, min_y, max_x, max_y = self.region.box
        return self.average or ((min_x + max_x) / 2, (min_y + max_y) / 2)


@dataclasses.dataclass(frozen=True, eq=False)
class CoaddPsf:
    """The mean of the inputs' point-spread functions, of those that cover a position.

    Parameters
    ----------
    wcs
        WCS of the coadd, or of the warp.
    inputs
        At least one.
    kernel
        The kernel that the images were warped with.

    Notes
    -----
    It changes in steps at the edges of inputs, and knows nothing of pixels that were
    masked or clipped. LSST: ``CoaddPsf``.
    """

    wcs: WCS
    inputs: Sequence[PsfInput]
    kernel: AbstractKernel = dataclasses.field(default_factory=Lanczos)

    def __post_init__(self):
        """Refuse a coadd of nothing."""
        if not self.inputs:
            raise ValueError("a coadd's PSF has no inputs; give at least one")

    @functools.cached_property
    def _psfs(self) -> StampPsf:
        return stack_psfs([item.psf for item in self.inputs])

    def average_position(self) -> tuple[float, float]:
        """Return the mean position of the inputs, in pixels of the coadd.

        Raises
        ------
        NoAveragePositionError
            No input covers it, nor the mean of the larger inputs alone.
        """
        x, y = average_position(
            self.wcs,
            [item.region for item in self.inputs],
            np.array([item.average_or_middle() for item in self.inputs], float),
            np.array([item.weight * item.n_pixels for item in self.inputs]),
        )
        return float(x), float(y)

    def kernels(
        self, positions: Positions, *, size: tuple[int, int] | None = None
    ) -> Stamps:
        """Draw the kernel images at several positions.

        Parameters
        ----------
        positions
            Positions (x, y) on the coadd.
        size
            Rows and columns of the images, odd; by default as large as the largest is.
            Larger ones are cut, and each input's sum is 1 within what is left.

        Raises
        ------
        LargeTransformError
            A pixel of an input that is used covers hundreds of the coadd's.

        Notes
        -----
        Another size, or number of positions, is another compilation.
        """
        positions = np.asarray(positions, float).reshape(-1, 2)
        index, samples = _sample(self.wcs, self.inputs, positions)
        dtype = self._psfs.stamps.dtype
        halves = np.where(samples.used[..., None], samples.half_size, 0).max(axis=1)
        if size is None:
            rows, columns = (int(n) for n in 2 * halves.max(axis=0, initial=0) + 1)
            size = (rows, columns)
        # Rounded here, once fractions are split off: the stamps say how precisely.
        samples = jax.tree.map(
            lambda leaf: leaf.astype(dtype) if leaf.dtype == float else leaf, samples
        )
        drawn, has_input = _draw(self._psfs, index, samples, self.kernel, size=size)
        halves = np.minimum(halves, np.array(size) // 2)
        return Stamps(np.asarray(drawn), halves, np.asarray(has_input))

    def kernel_at(self, position: tuple[float, float]) -> Stamp:
        """Draw the kernel image at a position, in its own size.

        Raises
        ------
        NoInputsError
            No input covers the position.
        LargeTransformError
            A pixel of an input that is used covers hundreds of the coadd's.
        ValueError
            The stamp of an input that is used has the sum 0.
        """
        found = self.kernels(np.array([position], float))
        x, y = position
        if not found.has_input[0]:
            raise NoInputsError(
                f"none of the {len(self.inputs)} inputs covers position ({x:g}, {y:g}) "
                "of the coadd; ask elsewhere"
            )
        pixels = found.pixels[0]
        if not np.isfinite(pixels).all() and self._total_weight(position) != 0:
            raise ValueError(
                f"the PSF of an input that covers position ({x:g}, {y:g}) of the coadd "
                "has the sum 0 there; leave that input out"
            )
        rows, columns = (int(n) for n in found.half_sizes[0])
        return Stamp(pixels, (-columns, -rows))

    def image_at(self, position: tuple[float, float]) -> Stamp:
        """Draw the image of a point source at a position, in pixels of the coadd.

        Raises
        ------
        ValueError
            As for `kernel_at`.
        """
        pixels, (column, row) = self.kernel_at(position)
        nearest = np.floor(np.asarray(position, float) + 0.5)
        moved = shift_stamp(
            jnp.asarray(pixels),
            jnp.asarray(np.asarray(position, float) - nearest, pixels.dtype),
            jnp.array([-row, -column]),
        )
        x, y = (int(n) for n in nearest)
        return Stamp(np.asarray(moved), (x + column, y + row))

    def grid(
        self,
        shape: tuple[int, int],
        *,
        origin: tuple[int, int] = (0, 0),
        cell_size: int = CELL_SIZE,
        size: tuple[int, int] | None = None,
    ) -> PsfGrid:
        """Draw the kernel image at the centre of each cell of the coadd.

        Parameters
        ----------
        shape
            Rows and columns of the coadd.
        origin
            Position (x, y) of its pixel [0, 0].
        cell_size
            Rows and columns of a cell.
        size
            Rows and columns of the images, as for `kernels`.
        """
        y, x = grid_cell_centres(shape, origin=origin, cell_size=cell_size)
        rows, columns = np.meshgrid(y, x, indexing="ij")
        found = self.kernels(np.stack([columns, rows], axis=-1), size=size)
        return PsfGrid(
            stamps=found.pixels.reshape(*rows.shape, *found.pixels.shape[1:]),
            y=y,
            x=x,
            has_input=found.has_input.reshape(rows.shape),
            cell_size=cell_size,
        )

    def _total_weight(self, position: tuple[float, float]) -> float:
        """Return the sum of the weights of the inputs that cover a position."""
        _, samples = _sample(self.wcs, self.inputs, np.array([position], float))
        return float(np.sum(samples.weight[samples.used]))


def _sample(
    wcs: WCS, inputs: Sequence[PsfInput], positions: Positions
) -> tuple[Int[np.ndarray, "position used"], PsfSamples]:
    """Find the inputs that cover each position, and how they are seen from there.

    Each position has room for as many inputs as the most covered one needs.
    """
    covering = np.array([_covers(wcs, item, positions) for item in inputs])
    room = common_size(max(int(covering.sum(axis=0).max(initial=0)), 1))
    cells = (len(positions), room)
    index = np.zeros(cells, int)
    fields = {
        "position": np.zeros((*cells, 2)),
        "fraction": np.zeros((*cells, 2)),
        "matrix": np.tile(np.eye(2), (*cells, 1, 1)),
        "half_size": np.zeros((*cells, 2), int),
        "weight": np.zeros(cells),
        "used": np.zeros(cells, bool),
    }
    place = np.cumsum(covering, axis=0) - 1
    for number, item in enumerate(inputs):
        seen = np.flatnonzero(covering[number])
        if len(seen) == 0:
            continue
        at = seen, place[number, seen]
        index[at], fields["weight"][at], fields["used"][at] = number, item.weight, True
        maps = affine_maps(wcs, item.region.wcs, positions[seen])
        found = see_from_pixels(maps, positions[seen], np.asarray(item.psf.half_size))
        for name, values in found.items():
            fields[name][at] = values
    return index, PsfSamples(**fields)


def _covers(
    wcs: WCS, item: PsfInput, positions: Positions
) -> Bool[np.ndarray, " position"]:
    """Tell which positions of the coadd an input covers."""
    found = source_positions(wcs, item.region.wcs, positions)
    return item.region.contains(*found.T)


def see_from_pixels(
    maps: Float[np.ndarray, "position 2 3"],
    positions: Positions,
    half_size: Int[np.ndarray, "2"],
) -> dict[str, np.ndarray]:
    """Say how an input is seen from the pixels of a coadd nearest to positions.

    Parameters
    ----------
    maps
        From coadd to input, as `jaxcoadd.inputs.regions.affine_maps` gives them.
    positions
        Positions (x, y) on the coadd.
    half_size
        Rows and columns of the input's stamp on either side of its middle.

    Returns
    -------
    dict
        The fields ``position``, ``fraction``, ``matrix`` and ``half_size`` of
        `PsfSamples`.

    Raises
    ------
    LargeTransformError
        A map enlarges too much.
    """
    # Half-way positions round away from 0.
    pixels = np.copysign(np.floor(np.abs(positions) + 0.5), positions)
    matrices = maps[:, :, :2]
    sources = np.einsum("pij,pj->pi", matrices, pixels) + maps[:, :, 2]
    fractions = sources - np.floor(sources + 0.5)
    halves = [
        warped_half_size(half_size, matrix, fraction)
        for matrix, fraction in zip(matrices, fractions, strict=True)
    ]
    return {
        "position": sources,
        "fraction": fractions,
        "matrix": matrices,
        "half_size": np.array(halves),
    }


@functools.partial(jax.jit, static_argnames="size")
def _draw(
    psfs: StampPsf,
    index: Int[Array, "position used"],
    samples: PsfSamples,
    kernel: AbstractKernel,
    *,
    size: tuple[int, int],
) -> tuple[Float[Array, "position y x"], Bool[Array, " position"]]:
    """Draw the kernel images at all positions."""

    def draw(
        at: tuple[Int[Array, " used"], PsfSamples],
    ) -> tuple[Float[Array, "y x"], Bool[Array, ""]]:
        chosen = jax.tree.map(lambda leaf: leaf[at[0]], psfs)
        return coadd_psf_at(chosen, at[1], kernel, size=size)

    return jax.lax.map(draw, (index, samples), batch_size=_BATCH)
