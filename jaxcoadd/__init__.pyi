from .masks import LSST_PLANES as LSST_PLANES
from .masks import MaskPlanes as MaskPlanes
from .warps import Warp as Warp
from .warps import WarpStack as WarpStack
from .warps import stack_warps as stack_warps
