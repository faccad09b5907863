"""Mask planes by name, and the arithmetic of their bits."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped, UInt32

from jaxcoadd.arrays import FloatScalar
from jaxcoadd.folding import add_where, fold_warps

MAX_PLANES = 32

MaskWeights = tuple[Float[Array, "*shape"], ...]
"""The weight used, and that rejected with bit 0, bit 1, and so on."""


@dataclasses.dataclass(frozen=True)
class MaskPlanes:
    """The names of the mask planes of an image; a plane's bit is its position.

    Parameters
    ----------
    names
        Plane names in order of their bits; ``None`` for a bit that is not in use.

    Raises
    ------
    ValueError
        More than 32 planes, or a name that occurs twice.

    Examples
    --------
    >>> planes = MaskPlanes(("BAD", None, "SAT"))
    >>> planes.bit("SAT"), planes.bits(["BAD", "SAT"]), planes.add("CR").names
    (2, 5, ('BAD', 'CR', 'SAT'))
    """

    names: tuple[str | None, ...]

    def __post_init__(self):
        """Refuse too many planes and repeated names."""
        used = [name for name in self.names if name is not None]
        if len(self.names) > MAX_PLANES:
            listed = ", ".join(used)
            raise ValueError(
                f"a mask has at most {MAX_PLANES} planes, not {len(self.names)}: "
                f"{listed}"
            )
        twice = sorted({name for name in used if used.count(name) > 1})
        if twice:
            raise ValueError(f"mask plane {twice[0]!r} is named twice")

    @classmethod
    def from_bits(cls, bits: Mapping[str, int]) -> "MaskPlanes":
        """Make the planes from a mapping of plane name to bit number."""
        wrong = {name: bit for name, bit in bits.items() if not 0 <= bit < MAX_PLANES}
        if wrong:
            name, bit = next(iter(wrong.items()))
            raise ValueError(f"mask plane {name!r} has bit {bit}, outside of 0 to 31")
        names: list[str | None] = [None] * (max(bits.values(), default=-1) + 1)
        for name, bit in bits.items():
            if names[bit] is not None:
                raise ValueError(f"planes {names[bit]!r} and {name!r} share bit {bit}")
            names[bit] = name
        return cls(tuple(names))

    @property
    def used(self) -> tuple[str, ...]:
        """The names of the planes, in order of their bits."""
        return tuple(name for name in self.names if name is not None)

    def __contains__(self, name: str) -> bool:
        """Whether there is a plane of this name."""
        return name in self.used

    def bit(self, name: str) -> int:
        """Return the bit number of a plane; `ValueError` if there is no such plane."""
        if name not in self.used:
            raise ValueError(unknown_plane_message(name, self.used))
        return self.names.index(name)

    def bits(self, names: Iterable[str]) -> int:
        """Return the bit value of some planes; names without a plane count nothing."""
        return sum(1 << self.bit(name) for name in set(names) if name in self)

    def add(self, *names: str) -> "MaskPlanes":
        """Return the planes with new names, each at the lowest free bit."""
        result = list(self.names)
        for name in names:
            if name in result:
                continue
            if None in result:
                result[result.index(None)] = name
            else:
                result.append(name)
        return MaskPlanes(tuple(result))


LSST_PLANES = MaskPlanes(
    (
        "BAD",
        "SAT",
        "INTRP",
        "CR",
        "EDGE",
        "DETECTED",
        "DETECTED_NEGATIVE",
        "SUSPECT",
        "NO_DATA",
        "VIGNETTED",
        "STREAK",
    )
)
"""The planes that every mask has, with the bits that LSST gives them."""


def unknown_plane_message(name: str, known: Sequence[str]) -> str:
    """Say that a plane does not exist, with the nearest name that does."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no mask plane {name!r}; the planes are {tuple(known)}{hint}"


def unite_planes(planes: Iterable[MaskPlanes]) -> MaskPlanes:
    """Return LSST's planes and, at the lowest free bits, all others that occur."""
    united = LSST_PLANES
    for some in planes:
        united = united.add(*some.used)
    return united


def remap_mask(
    mask: Shaped[Array | np.ndarray, "*shape"], source: MaskPlanes, target: MaskPlanes
) -> Shaped[Array | np.ndarray, "*shape"]:
    """Move the bits of a mask to the bit numbers that another set of planes has.

    Parameters
    ----------
    mask
        Mask of unsigned 32-bit integers, in NumPy or JAX.
    source
        Planes of the mask; bits without a name are dropped.
    target
        Planes of the result, which must have every plane of the source.

    Returns
    -------
    array
        A mask of the same shape and kind.

    Raises
    ------
    ValueError
        A plane of the source is not among those of the target.
    """
    moves = [(source.bit(name), target.bit(name)) for name in source.used]
    result = mask & np.uint32(sum(1 << old for old, new in moves if old == new))
    for old, new in moves:
        if old != new:
            bit = (mask >> np.uint32(old)) & np.uint32(1)
            result = result | (bit << np.uint32(new))
    return result


def has_any(
    mask: UInt32[Array, "*shape"], bits: int | UInt32[Array, ""]
) -> Bool[Array, "*shape"]:
    """Tell where a mask has at least one of some bits.

    Parameters
    ----------
    mask
        Any mask.
    bits
        The bits, as one bit value.
    """
    return (mask & jnp.uint32(bits)) != 0


def union_masks(
    masks: UInt32[Array, "warp *shape"],
    *,
    where: Bool[Array, "warp *shape"] | None = None,
) -> UInt32[Array, "*shape"]:
    """Unite the bits of masks.

    Parameters
    ----------
    masks
        One a warp.
    where
        Pixels that count; by default all.
    """
    if where is None:
        where = jnp.ones(masks.shape, bool)
    return fold_warps(
        lambda union, mask, kept: jnp.where(kept, union | mask, union),
        jnp.zeros(masks.shape[1:], jnp.uint32),
        masks,
        where,
    )


def propagate_masks(
    masks: UInt32[Array, "warp *shape"],
    weights: Float[Array, "warp *#shape"],
    *,
    kept: Bool[Array, "warp *shape"],
    thresholds: Mapping[int, FloatScalar],
) -> UInt32[Array, "*shape"]:
    """Find the bits that too much of the rejected weight has.

    Parameters
    ----------
    masks
        Masks of all inputs.
    weights
        Their weights; a trailing axis may have length 1.
    kept
        Which inputs are used; the others are rejected.
    thresholds
        Bit number to threshold. Bits below the highest one have 1 by default, which
        only negative weights can exceed.

    Returns
    -------
    UInt32[Array, "*shape"]
        Bits b where R / (W + R) exceeds the threshold, R being the weight of rejected
        inputs with the bit and W that of the inputs used.
    """
    zero = jnp.zeros(masks.shape[1:], weights.dtype)
    sums = fold_warps(
        add_mask_weights, start_mask_weights(zero, thresholds), masks, weights, kept
    )
    return bits_above(sums, thresholds)


def start_mask_weights(
    zero: Float[Array, "*shape"], thresholds: Mapping[int, FloatScalar]
) -> MaskWeights:
    """Return the weights of `propagate_masks` before the first warp."""
    return (zero,) * (2 + max(thresholds, default=-1))


def add_mask_weights(
    sums: MaskWeights,
    mask: UInt32[Array, "*shape"],
    weight: Float[Array, "*#shape"],
    kept: Bool[Array, "*shape"],
) -> MaskWeights:
    """Add a warp to the weight used and to that rejected, bit by bit."""
    used, *rejected = sums
    return (
        add_where(kept, used, weight),
        *(
            add_where(~kept & has_any(mask, 1 << bit), total, weight)
            for bit, total in enumerate(rejected)
        ),
    )


def bits_above(
    sums: MaskWeights, thresholds: Mapping[int, FloatScalar]
) -> UInt32[Array, "*shape"]:
    """Return the bits whose share of the weight exceeds the threshold."""
    used, *rejected = sums
    result = jnp.zeros(used.shape, jnp.uint32)
    for bit, weight in enumerate(rejected):
        threshold = jnp.asarray(thresholds.get(bit, 1.0), used.dtype)
        exceeds = weight / (used + weight) > threshold
        result = result | jnp.where(exceeds, jnp.uint32(1 << bit), jnp.uint32(0))
    return result


def map_masks(
    mask: UInt32[Array, "*shape"], pairs: Sequence[tuple[int, int]]
) -> UInt32[Array, "*shape"]:
    """Find the bits that others bring.

    Parameters
    ----------
    mask
        Any mask.
    pairs
        Pairs of bit values. A pixel with any bit of the first gets those of the second.

    Returns
    -------
    UInt32[Array, "*shape"]
        The bits that were brought, alone.
    """
    result = jnp.zeros_like(mask)
    for given, mapped in pairs:
        result = result | jnp.where(
            has_any(mask, given), jnp.uint32(mapped), jnp.uint32(0)
        )
    return result
