"""Single pixels of a warp that stand out, with limits that allow for bright sources."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxcoadd.arrays import Image, Region
from jaxcoadd.artifacts.finding import LEAST_EPOCHS
from jaxcoadd.coadds import Coadd
from jaxcoadd.spans import SpanSet
from jaxcoadd.warps import WarpStack
from jaxcoadd.zero_points import scale_planes, stack_factors


@dataclasses.dataclass(frozen=True)
class OutlierConfig:
    """How far a pixel may be from the static sky.

    Parameters
    ----------
    n_sigma
        Limit where the sky is empty, in standard deviations of the warp.
    n_sigma_beside
        The same for a pixel beside an outlier, corners included.
    flux_share
        What the limits grow by with flux, as a share of the largest value near by.
    reach
        How far "near by" is along rows and columns, in pixels.
    floor
        What flux must exceed to count, in standard deviations of the static sky.

    Raises
    ------
    ValueError
        A number that is negative.

    Examples
    --------
    >>> OutlierConfig(flux_share=0.3).n_sigma
    4.0
    """

    n_sigma: float = 4.0
    n_sigma_beside: float = 2.0
    flux_share: float = 2.0
    reach: int = 4
    floor: float = 4.0

    def __post_init__(self):
        """Refuse numbers that have no meaning."""
        for name, value in dataclasses.asdict(self).items():
            if not value >= 0:
                raise ValueError(f"{name} is 0 or more, not {value}")


OUTLIERS = OutlierConfig()
"""The defaults, chosen on simulations."""


def with_outliers(
    stack: WarpStack,
    alternatives: Sequence[Mapping[str, Sequence[SpanSet]]],
    reference: Coadd,
    *,
    config: OutlierConfig = OUTLIERS,
    origin: tuple[int, int] = (0, 0),
) -> tuple[dict[str, Sequence[SpanSet]], ...]:
    """Add outliers to what alternative masks of warps clip.

    Parameters
    ----------
    stack
        Direct warps.
    alternatives
        Regions by plane, for each warp that is not padding, such as those of
        `Artifacts`.
    reference
        The static sky, such as the median of these warps. Where fewer than three
        warps made it, nothing can be told.
    config
        The limits.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    tuple
        The same regions, with outliers among those that are CLIPPED.

    Raises
    ------
    ValueError
        There are more or fewer alternative masks than warps.
    """
    present = int(stack.present.sum())
    if not present <= len(alternatives) <= len(stack.present):
        raise ValueError(
            f"there are {present} warps and {len(alternatives)} alternative masks; "
            "give one a warp"
        )
    factors, _ = stack_factors(stack, reference.zero_point)
    added = []
    for n, regions in enumerate(alternatives):
        image, variance = scale_planes(stack.image[n], stack.variance[n], factors[n])
        found = outlying_region(
            jnp.asarray(image),
            jnp.asarray(variance),
            reference,
            config=config,
            origin=origin,
        )
        clipped = (*regions.get("CLIPPED", ()), found)
        added.append({**regions, "CLIPPED": clipped})
    return tuple(added)


def outlying_region(
    image: Image,
    variance: Image,
    reference: Coadd,
    *,
    config: OutlierConfig = OUTLIERS,
    origin: tuple[int, int] = (0, 0),
) -> SpanSet:
    """Find the pixels of a warp that are too far from a coadd of at least three.

    Parameters
    ----------
    image, variance
        A direct warp, (y, x), at the zero point of the reference.
    reference
        The static sky.
    config
        The limits.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    found = _compiled_search(
        image, variance, reference.image, reference.variance, config=config
    )
    return SpanSet.from_image(found & (reference.n_image >= LEAST_EPOCHS), origin)


def find_outliers(
    image: Image,
    variance: Image,
    reference: Image,
    reference_variance: Image,
    *,
    config: OutlierConfig = OUTLIERS,
) -> Region:
    r"""Find the pixels of a warp that are too far from the static sky.

    Parameters
    ----------
    image, variance
        A direct warp, (y, x). A pixel that is not known is no outlier.
    reference, reference_variance
        The static sky at the same zero point, such as the median of direct warps.
    config
        The limits.

    Returns
    -------
    Region
        True where a pixel :math:`x` has

        .. math:: |x - m| > n \sigma + A \max(m_\mathrm{near} - f \sigma_m, 0),

        or so with a smaller :math:`n` and a neighbour that has it with the larger one.
        Here :math:`m` is the static sky, :math:`m_\mathrm{near}` its largest size
        within `reach`, and :math:`n`, :math:`A` and :math:`f` are those of `config`.

    Notes
    -----
    Finds what is too small or too faint for a difference of PSF-matched warps, such as
    cosmic rays. Every warp by itself, so that one at a time is held. After Gruen, Seitz
    & Bernstein (2014), PASP 126, 158, who take the flux of the pixel itself: beside a
    star, seeing and registration change more than that.
    """
    sigma = _root(variance)
    allowed = config.flux_share * source_flux(
        reference, reference_variance, config=config
    )
    excess = jnp.abs(image - reference) - allowed
    outlier = excess > config.n_sigma * sigma
    return outlier | (near(outlier, 1) & (excess > config.n_sigma_beside * sigma))


def source_flux(
    reference: Image, reference_variance: Image, *, config: OutlierConfig = OUTLIERS
) -> Image:
    """Return the largest size of the static sky near each pixel, less what is noise.

    Parameters
    ----------
    reference, reference_variance
        The static sky, (y, x).
    config
        How far is near, and what is noise.
    """
    above = jnp.abs(reference) - config.floor * _root(reference_variance)
    return _largest(jnp.where(above > 0, above, 0), config.reach)


def near(region: Region, reach: int) -> Region:
    """Tell which pixels are within so many rows and columns of a region.

    Parameters
    ----------
    region
        True in the region, (y, x).
    reach
        How many, corners included.
    """
    # Numbers, as a window of truth values is slow.
    return _largest(region.astype(jnp.float32), reach) > 0


def _root(variance):
    """Take the root; nothing stands out where a variance is not known."""
    return jnp.sqrt(jnp.where(variance >= 0, variance, jnp.inf))


def _largest(image, reach):
    """Return the largest value in a square around each pixel, of values not below 0."""
    size, none = 2 * reach + 1, jnp.zeros((), image.dtype)
    rows = lax.reduce_window(image, none, lax.max, (size, 1), (1, 1), "SAME")
    return lax.reduce_window(rows, none, lax.max, (1, size), (1, 1), "SAME")


_compiled_search = jax.jit(find_outliers, static_argnames="config")
