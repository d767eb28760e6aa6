"""Many images: admission, limits, order, signals, outcomes."""

from gilder.engine.connection import arm_on, site_for, site_on, turn_on
from gilder.engine.gc import Collected, Collector, Here, Judged
from gilder.engine.login import cloud_of, login_secrets, settled, shared_auth
from gilder.engine.recovery import Recovered, Recovery
from gilder.engine.run import Run, RunOptions, must_differ
from gilder.engine.signals import STOPPING, Stopping, handled_by, heeded, signals_heard
from gilder.engine.waiting import telling

__all__ = [
    "STOPPING",
    "Collected",
    "Collector",
    "Here",
    "Judged",
    "Recovered",
    "Recovery",
    "Run",
    "RunOptions",
    "Stopping",
    "arm_on",
    "cloud_of",
    "handled_by",
    "heeded",
    "login_secrets",
    "must_differ",
    "settled",
    "shared_auth",
    "signals_heard",
    "site_for",
    "site_on",
    "telling",
    "turn_on",
]
