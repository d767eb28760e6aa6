"""What ansible-galaxy is to install for a playbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gilder.model.errors import HostError


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a requirements file asks for. One that names neither is a list of roles (the older format)."""

    roles: bool
    collections: bool

    def installs(
        self, file: str, *, force: bool, with_dependencies: bool, roles_path: str | None, collections_path: str | None
    ) -> list[list[str]]:
        """The arguments of ansible-galaxy, once for roles and once for collections."""
        found = []
        for wanted, words, path in (
            (self.roles, ["install"], roles_path),
            (self.collections, ["collection", "install"], collections_path),
        ):
            if wanted:
                how = ["-f"] * force + ["--force-with-deps"] * with_dependencies
                found.append([*words, "-r", file, *how, *(["-p", path] if path else [])])
        return found


def requirements(file: str) -> Requirements:
    """Look into a requirements file of this machine; raises HostError when it cannot be read."""
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise HostError(f"galaxy_file {file} cannot be read: {error}") from error
    collections = re.search(r"^collections:", text, re.MULTILINE) is not None
    return Requirements(re.search(r"^roles:", text, re.MULTILINE) is not None or not collections, collections)
