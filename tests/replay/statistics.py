"""The statistics by the names that the recorded cases give them."""

from jaxcoadd import statistics

BY_NAME = {
    "MEAN": statistics.Mean,
    "MEANCLIP": statistics.ClippedMean,
    "MEDIAN": statistics.Median,
    "STDEV": statistics.StandardDeviation,
    "STDEVCLIP": statistics.ClippedStandardDeviation,
    "VARIANCE": statistics.Variance,
    "VARIANCECLIP": statistics.ClippedVariance,
    "IQRANGE": statistics.InterquartileRange,
    "MIN": statistics.Minimum,
    "MAX": statistics.Maximum,
    "SUM": statistics.Sum,
    "MEANSQUARE": statistics.MeanSquare,
    "NPOINT": statistics.UsedCount,
    "NMASKED": statistics.MaskedCount,
    "NCLIPPED": statistics.ClippedCount,
}


def make_statistic(name, *, sigma_clip, clip_iter, from_variances, mosaic):
    """Make the statistic of a name, with what it takes of the options."""
    options = {}
    if name in ("MEANCLIP", "STDEVCLIP", "VARIANCECLIP"):
        options |= {"sigma_clip": sigma_clip, "clip_iter": clip_iter}
    if name in ("MEAN", "MEANCLIP"):
        options["error"] = statistics.FromScatter()
        if from_variances:
            options["error"] = statistics.FromVariances()
        elif mosaic:
            options["error"] = statistics.Mosaic()
    return BY_NAME[name](**options)
