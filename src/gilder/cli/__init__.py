"""Options, wording, progress, exit codes."""

from gilder.cli.main import main

__all__ = ["main"]
