"""Artifacts: what a few warps show and the others do not."""
