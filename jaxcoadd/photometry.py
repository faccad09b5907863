"""Calibrations: from counts to fluxes and AB magnitudes, on the host in 64 bits."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.polynomial import chebyshev

AB_ZERO_FLUX = 1e9 * (1e23 * 10 ** (48.6 / -2.5))
"""Flux of AB magnitude 0 in nanojansky (Oke & Gunn 1983): one has magnitude 31.4."""

MAGNITUDE_ERROR = 2.5 / math.log(10.0)
"""Error of a magnitude per relative error of its flux."""

Given = int | float | np.number | Sequence | np.ndarray
"""Numbers in a form that NumPy makes an array of."""

Numbers = Float[np.ndarray, "*shape"] | np.floating
Planes = tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class ChebyshevField:
    """A sum of products of Chebyshev polynomials over a box of pixels.

    Parameters
    ----------
    coefficients
        Of T_i(y) T_j(x), (i, j); the outer edges of the box's outer pixels are at -1
        and 1.
    box
        First and last column and row (x0, y0, x1, y1), both inclusive.

    Raises
    ------
    ValueError
        Coefficients that are not a matrix, or an empty box.

    Examples
    --------
    >>> field = ChebyshevField([[2.0, 1.0]], box=(0, 0, 9, 9))
    >>> field.mean, float(field(4.5, 3.0)), float(field(9.5, 3.0))
    (2.0, 2.0, 3.0)
    """

    coefficients: np.ndarray
    box: tuple[int, int, int, int]

    def __init__(self, coefficients: Given, box: Sequence[int]):
        """Keep a copy of the coefficients that nobody can change."""
        matrix = np.array(coefficients, dtype=np.float64)
        if matrix.ndim != 2 or not matrix.size:
            raise ValueError(f"coefficients have shape {matrix.shape}; expected (y, x)")
        matrix.flags.writeable = False
        x0, y0, x1, y1 = (int(edge) for edge in box)
        if x1 < x0 or y1 < y0:
            raise ValueError(f"the box {(x0, y0, x1, y1)} of a field has no pixels")
        object.__setattr__(self, "coefficients", matrix)
        object.__setattr__(self, "box", (x0, y0, x1, y1))

    def __call__(self, x: Given, y: Given) -> Numbers:
        """Evaluate the field at pixel positions, which are broadcast."""
        x, y = np.broadcast_arrays(*self._normalized(x, y))
        return chebyshev.chebval2d(x, y, self.coefficients.T)

    def grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Evaluate the field where columns at `x` meet rows at `y`, (y, x)."""
        return chebyshev.chebgrid2d(*self._normalized(x, y), self.coefficients.T).T

    @property
    def mean(self) -> float:
        """The mean over the box."""
        means = [_chebyshev_means(size) for size in self.coefficients.shape]
        return float(means[0] @ self.coefficients @ means[1])

    def _normalized(self, x: Given, y: Given) -> tuple[np.ndarray, np.ndarray]:
        """Map positions so that the box is from -1 to 1."""
        x0, y0, x1, y1 = self.box
        return (
            (2 * np.asarray(x, dtype=np.float64) - (x0 + x1)) / (x1 - x0 + 1),
            (2 * np.asarray(y, dtype=np.float64) - (y0 + y1)) / (y1 - y0 + 1),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoCalib:
    """How many nanojansky one count is: a number, or a field over the detector.

    Parameters
    ----------
    mean
        Mean calibration, in nanojansky per count.
    error
        Its error. It is carried along and goes into no other error.
    field
        The calibration at every position. By default it is the mean everywhere.

    Raises
    ------
    ValueError
        A negative mean or error.

    Notes
    -----
    The arithmetic of LSST's PhotoCalib. All methods work element by element; `at` is
    a pair (x, y) of pixel positions, and without it the mean calibration counts. A
    flux of zero or less has magnitude infinity or NaN, without a warning.

    Examples
    --------
    >>> calib = PhotoCalib.from_zero_point(27.0)
    >>> round(calib.mean, 6), round(float(calib.magnitude(10.0)), 6)
    (57.543994, 24.5)
    """

    mean: float
    error: float = 0.0
    field: ChebyshevField | None = None

    def __post_init__(self):
        """Refuse negative numbers."""
        for name in ("mean", "error"):
            value = float(getattr(self, name))
            if value < 0:
                raise ValueError(
                    f"the {name} of a calibration must be 0 or more, not {value}"
                )
            object.__setattr__(self, name, value)

    @classmethod
    def from_flux_mag0(
        cls, flux_mag0: float, flux_mag0_error: float = 0.0
    ) -> "PhotoCalib":
        """Make the calibration in which this many counts have magnitude 0."""
        if not flux_mag0 > 0:
            raise ValueError(f"flux_mag0 must be more than 0 counts, not {flux_mag0}")
        error = AB_ZERO_FLUX / flux_mag0**2 * flux_mag0_error
        return cls(AB_ZERO_FLUX / flux_mag0, error)

    @classmethod
    def from_zero_point(cls, zero_point: float) -> "PhotoCalib":
        """Make the calibration in which one count has this AB magnitude."""
        # Not divided by 2.5, which is exact, so that all digits agree with LSST's.
        return cls.from_flux_mag0(10 ** (0.4 * zero_point))

    @classmethod
    def from_field(
        cls, field: ChebyshevField, *, mean: float | None = None, error: float = 0.0
    ) -> "PhotoCalib":
        """Make a calibration that varies; its mean is the field's by default."""
        return cls(field.mean if mean is None else mean, error, field)

    def calibration(self, at: tuple[Given, Given] | None = None) -> Numbers:
        """Return the nanojansky per count, the mean or those at positions (x, y)."""
        if at is None or self.field is None:
            return np.float64(self.mean)
        return self.field(*at)

    def nanojansky(
        self, counts: Given, *, at: tuple[Given, Given] | None = None
    ) -> Numbers:
        """Return fluxes, or errors of fluxes, in nanojansky."""
        with np.errstate(all="ignore"):
            return np.asarray(counts, dtype=np.float64) * self.calibration(at)

    def magnitude(
        self, counts: Given, *, at: tuple[Given, Given] | None = None
    ) -> Numbers:
        """Return AB magnitudes of fluxes in counts."""
        with np.errstate(all="ignore"):
            return -2.5 * np.log10(self.nanojansky(counts, at=at) / AB_ZERO_FLUX)

    def magnitude_error(self, counts: Given, error: Given) -> Numbers:
        """Return errors of magnitudes, from fluxes and their errors in counts."""
        with np.errstate(all="ignore"):
            relative = np.asarray(error, dtype=np.float64) / np.asarray(counts)
            return MAGNITUDE_ERROR * relative

    def nanojansky_to_inst_flux(
        self, nanojansky: Given, *, at: tuple[Given, Given] | None = None
    ) -> Numbers:
        """Return counts of fluxes in nanojansky."""
        with np.errstate(all="ignore"):
            return np.asarray(nanojansky, dtype=np.float64) / self.calibration(at)

    def magnitude_to_inst_flux(
        self, magnitude: Given, *, at: tuple[Given, Given] | None = None
    ) -> Numbers:
        """Return counts of AB magnitudes."""
        with np.errstate(all="ignore"):
            part = 10.0 ** (np.asarray(magnitude, dtype=np.float64) / -2.5)
        return self.nanojansky_to_inst_flux(AB_ZERO_FLUX * part, at=at)

    @property
    def inst_flux_at_zero_magnitude(self) -> float:
        """Counts of AB magnitude 0, by the mean calibration."""
        return float(self.nanojansky_to_inst_flux(AB_ZERO_FLUX))

    def calibrate_image(
        self, image: Given, variance: Given, *, origin: tuple[int, int] = (0, 0)
    ) -> Planes:
        """Bring an image in counts, and its variance, to nanojansky.

        Parameters
        ----------
        image, variance
            Counts per pixel and their variance, (y, x).
        origin
            Position (x, y) of the pixel [0, 0] in the field.

        Returns
        -------
        tuple
            New NumPy arrays in the precision of the image. Pixels outside of the box
            of a field stay as they are.

        Notes
        -----
        Rounded as LSST's calibrateImage rounds: a constant becomes a number of the
        image's precision first; a field stays in double precision, and the variance is
        multiplied by it twice.
        """
        counts, counts_variance = planes = _as_planes(image, variance)
        with np.errstate(all="ignore"):
            if self.field is not None:
                return _apply_field(np.multiply, planes, self.field, origin)
            mean = counts.dtype.type(self.mean)
            return counts * mean, counts_variance * (mean * mean)

    def uncalibrate_image(
        self, image: Given, variance: Given, *, origin: tuple[int, int] = (0, 0)
    ) -> Planes:
        """Bring an image in nanojansky, and its variance, back to counts.

        Parameters and result are as of `calibrate_image`.

        Notes
        -----
        As LSST's uncalibrateImage, which multiplies by the inverse of a constant and
        divides by a field. The way there and back is exact to a few roundings only.
        """
        flux, flux_variance = planes = _as_planes(image, variance)
        with np.errstate(all="ignore"):
            if self.field is not None:
                return _apply_field(np.divide, planes, self.field, origin)
            one, mean = flux.dtype.type(1), flux.dtype.type(self.mean)
            return flux * (one / mean), flux_variance * (one / (mean * mean))


def _apply_field(
    operation: Callable[[np.ndarray, np.ndarray], np.ndarray],
    planes: Planes,
    field: ChebyshevField,
    origin: tuple[int, int],
) -> Planes:
    """Multiply or divide planes by a field where its box overlaps them."""
    image, variance = (plane.copy() for plane in planes)
    x0, y0, x1, y1 = field.box
    edges_x = np.clip([x0 - origin[0], x1 + 1 - origin[0]], 0, image.shape[1])
    edges_y = np.clip([y0 - origin[1], y1 + 1 - origin[1]], 0, image.shape[0])
    values = field.grid(
        origin[0] + np.arange(*edges_x), origin[1] + np.arange(*edges_y)
    )
    window = slice(*edges_y), slice(*edges_x)
    image[window] = operation(image[window], values)
    for _ in range(2):
        variance[window] = operation(variance[window], values)
    return image, variance


def _chebyshev_means(size: int) -> np.ndarray:
    """Return the means of the first Chebyshev polynomials over [-1, 1]."""
    order = np.arange(size)
    even = order % 2 == 0
    return np.where(even, 1 / (1 - np.where(even, order, 0) ** 2), 0.0)


def _as_planes(image: Given, variance: Given) -> Planes:
    """Take two planes as NumPy arrays of floating point, in the image's precision."""
    pixels = np.asarray(image)
    if pixels.dtype.kind != "f":
        pixels = pixels.astype(np.float64)
    squares = np.asarray(variance, dtype=pixels.dtype)
    if pixels.ndim != 2 or pixels.shape != squares.shape:
        raise ValueError(
            f"image and variance must be two-dimensional and equal in shape, not "
            f"{pixels.shape} and {squares.shape}"
        )
    return pixels, squares
