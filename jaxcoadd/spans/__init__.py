"""Sparse regions of pixels, as runs along rows, on the host."""

from jaxcoadd.spans.masking import apply_alternative_masks
from jaxcoadd.spans.rows import EVERYWHERE, Box
from jaxcoadd.spans.sets import SpanSet

__all__ = ["EVERYWHERE", "Box", "SpanSet", "apply_alternative_masks"]
