"""Text in, build specs and diagnostics out; pure."""

from gilder.template.destinations import clashes
from gilder.template.inputs import OFFLINE_VM, Inputs, not_fetched
from gilder.template.load import is_hcl, load
from gilder.template.loaded import Loaded, Variable
from gilder.template.logins import differing
from gilder.template.selection import is_chosen, select, without

__all__ = [
    "OFFLINE_VM",
    "Inputs",
    "Loaded",
    "Variable",
    "clashes",
    "differing",
    "is_chosen",
    "is_hcl",
    "load",
    "not_fetched",
    "select",
    "without",
]
