"""Whole runs on the host: settings, plan, weights, subregions, provenance."""

from jaxcoadd.assembly.plan import Input, Plan, make_plan
from jaxcoadd.assembly.run import Assembled, assemble
from jaxcoadd.assembly.settings import Settings, SettingsError, read_settings

__all__ = [
    "Assembled",
    "Input",
    "Plan",
    "Settings",
    "SettingsError",
    "assemble",
    "make_plan",
    "read_settings",
]
