"""Many images: admission, limits, order, signals, outcomes."""

from gilder.engine.run import Run, RunOptions, must_differ
from gilder.engine.signals import Stopping, signals_heard

__all__ = ["Run", "RunOptions", "Stopping", "must_differ", "signals_heard"]
