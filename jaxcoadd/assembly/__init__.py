"""Whole runs on the host: settings, plan, weights, subregions, provenance."""

from jaxcoadd.assembly.checks import Input
from jaxcoadd.assembly.plan import NoInputsError, Plan, empty_plan, make_plan, notices
from jaxcoadd.assembly.run import Assembled, assemble
from jaxcoadd.assembly.settings import Settings, read_settings
from jaxcoadd.assembly.values import SettingsError

__all__ = [
    "Assembled",
    "Input",
    "NoInputsError",
    "Plan",
    "Settings",
    "SettingsError",
    "assemble",
    "empty_plan",
    "make_plan",
    "notices",
    "read_settings",
]
