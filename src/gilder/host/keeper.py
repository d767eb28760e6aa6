"""The program that gilder runs inside a sandbox.

`keeper.py keep VOLUMES NAME MARK`, its process 1 (name and mark are for who looks at processes), or `keeper.py carry WORK`.

It is run by path with `python -I -S`, and finds the package that it belongs to beside itself.
"""

import os
import sys

if __name__ == "__main__":
    os.umask(0o022)
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../.."))
    if sys.argv[1] == "keep":
        from gilder.host.keeping import keep

        keep(sys.argv[2])
    else:
        from gilder.host.carrying import carry

        sys.exit(carry(sys.argv[2]))
