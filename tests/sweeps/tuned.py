"""gilder with other figures than it has: `python -m tests.sweeps.tuned MODULE:NAME=SECONDS … -- ARGUMENTS…`."""

from __future__ import annotations

import sys
from importlib import import_module

from gilder.cli import main

if __name__ == "__main__":
    end = sys.argv.index("--")
    for word in sys.argv[1:end]:
        place, _, seconds = word.partition("=")
        module, _, name = place.partition(":")
        assert hasattr(import_module(module), name), f"{module} has no {name}"
        setattr(import_module(module), name, float(seconds))
    del sys.argv[1 : end + 1]
    main()
