"""Ansible's way into a guest: its commands run in a chroot, in the namespaces in which ansible-playbook itself runs.

Loaded by Ansible, with Ansible's Python: it may import nothing of gilder. The root directory and the environment of the
guest's programs are told by GILDER_CHROOT and GILDER_CHROOT_ENVIRONMENT (a JSON object).
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import BinaryIO

from ansible.errors import AnsibleConnectionFailure, AnsibleError  # type: ignore[import-not-found]
from ansible.plugins.connection import ConnectionBase  # type: ignore[import-not-found]

DOCUMENTATION = """
name: gilder_chroot
short_description: runs in the chroot of a gilder build
description:
  - Runs commands in the root directory that the environment variable GILDER_CHROOT names.
author: the gilder authors
options: {}
"""


class Connection(ConnectionBase):  # type: ignore[misc]  # where types are checked is no Ansible, as above
    """A chroot. Files go in and out through programs of the guest, so that a link in it leads nowhere else."""

    transport = "gilder_chroot"
    has_pipelining = True

    def __init__(self, *args: object, **words: object) -> None:
        super().__init__(*args, **words)
        self._root = os.environ.get("GILDER_CHROOT", "")
        self._environment = json.loads(os.environ.get("GILDER_CHROOT_ENVIRONMENT", "{}"))

    def _connect(self) -> Connection:
        if not Path(self._root).is_dir():
            raise AnsibleError(f"there is no guest at {self._root!r}: this connection works within gilder only")
        super()._connect()
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = False) -> tuple[int, bytes, bytes]:
        """Run a command line by the guest's shell; its status and what it printed."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        with self._started(cmd, PIPE) as process:
            out, err = process.communicate(in_data)
        return process.returncode, out, err

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of this machine into the guest."""
        super().put_file(in_path, out_path)
        with Path(in_path).open("rb") as source, self._started(f"cat > {shlex.quote(out_path)}", source) as process:
            _, err = process.communicate()
        self._check(process, f"cannot write {out_path} in the guest", err)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the guest to this machine."""
        super().fetch_file(in_path, out_path)
        command = f"cat {shlex.quote(in_path)}"
        with Path(out_path).open("wb") as target, self._started(command, DEVNULL, target) as process:
            _, err = process.communicate()
        self._check(process, f"cannot read {in_path} in the guest", err)

    def close(self) -> None:
        """Nothing is held."""
        super().close()
        self._connected = False

    def _started(self, command: str, stdin: int | BinaryIO, stdout: int | BinaryIO = PIPE) -> Popen[bytes]:
        line = ["chroot", self._root, "/bin/sh", "-c", command]
        return Popen(line, stdin=stdin, stdout=stdout, stderr=PIPE, env=dict(self._environment))

    def _check(self, process: Popen[bytes], what: str, err: bytes) -> None:
        if process.returncode:
            raise AnsibleConnectionFailure(f"{what}: {err.decode(errors='replace').strip()}")
