"""The same coadd in plain NumPy loops: the executable specification.

Written to be read, not to be fast: every function says in float64 what the rest
of the package has to compute, one pixel after the other, and uses nothing of it.
`statistics` is the column of one pixel, `stacks` all pixels with their masks,
`interpolation` the filling of holes, and `coadds` the whole, in order. `resampling`
brings one image onto another grid.
"""

from .coadds import Coadd as Coadd
from .coadds import coadd as coadd
from .coadds import warp_weight as warp_weight
from .interpolation import fallback_value as fallback_value
from .interpolation import interpolate_over as interpolate_over
from .resampling import Resampled as Resampled
from .resampling import kernel_weights as kernel_weights
from .resampling import resample as resample
from .stacks import Stack as Stack
from .stacks import online_mean as online_mean
from .stacks import stack as stack
from .statistics import Result as Result
from .statistics import order_statistics as order_statistics
from .statistics import plane_clipped_mean as plane_clipped_mean
from .statistics import statistic as statistic
