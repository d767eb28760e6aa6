"""Options of azure-chroot builders, provisioners and post-processors, each with empty, odd and variable values: what
Packer 1.6.6 and gilder say of them, and why they do not always say the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.template.peer import refused_builds
from tests.template.reading_aids import COMPUTE, read

VALUES: tuple[Any, ...] = (
    *(None, "", [], {}, [None], [""], 0, "0", False),
    *("{{user `empty`}}", "{{user `list`}}", "{{user `one`}}", ["{{user `list`}}"], {"a": None}),
)
VARIABLES = {"empty": "", "list": "a,b", "one": "1"}
GUID = "00000000-0000-0000-0000-000000000001"
BUILDER: dict[str, Any] = {
    "type": "azure-chroot",
    "source": "Debian:debian-13:13-gen2:latest",
    "image_resource_id": f"{COMPUTE}/images/x",
    # With these, Packer asks no metadata service for the names that it makes up, and nobody for tokens.
    "temporary_os_disk_id": f"{COMPUTE}/disks/a",
    "temporary_os_disk_snapshot_id": f"{COMPUTE}/snapshots/a",
    "temporary_data_disk_id_prefix": f"{COMPUTE}/disks/d",
    "temporary_data_disk_snapshot_id": f"{COMPUTE}/snapshots/d",
    "client_id": "c",
    "client_secret": "ssssssss",
    "subscription_id": GUID,
    "tenant_id": GUID,
}
GALLERY = {"resource_group": "rg", "gallery_name": "g", "image_name": "i", "image_version": "1.0.0"}
SCRIPT = "/etc/hostname"
BLOCKS: dict[str, dict[str, Any]] = {
    "shell": {"type": "shell", "inline": ["x"]},
    "shell-local": {"type": "shell-local", "inline": ["x"]},
    "file": {"type": "file", "source": SCRIPT, "destination": "/x"},
    "ansible": {"type": "ansible", "playbook_file": SCRIPT},
}
OPTIONS = {
    "builder": """
        source from_scratch command_wrapper pre_mount_commands mount_options mount_partition mount_path
        post_mount_commands chroot_mounts copy_files os_disk_size_gb os_disk_storage_account_type os_disk_cache_type
        data_disk_storage_account_type data_disk_cache_type image_hyperv_generation skip_cleanup image_resource_id
        shared_image_destination cloud_environment_name object_id client_cert_path client_jwt use_azure_cli_auth""",
    "gallery": "resource_group gallery_name image_name image_version exclude_from_latest target_regions",
    "region": "name replicas storage_account_type",
    "shell": """
        inline script scripts binary environment_vars env_var_format execute_command use_env_var_file remote_folder
        remote_file remote_path skip_clean valid_exit_codes inline_shebang pause_after""",
    "shell-local": """
        inline script scripts command environment_vars env_var_format execute_command only_on valid_exit_codes
        inline_shebang""",
    "file": "source sources destination direction generated",
    "ansible": "extra_arguments ansible_env_vars groups host_alias",
    "manifest": "output strip_path strip_time custom_data",
}
ROOT_KEYS = [
    "provisioners",
    "variables",
    "post-processors",
    "sensitive-variables",
    "error-cleanup-provisioner",
    "description",
    "min_packer_version",
    "builders",
]
_AT_ONCE = 60
"""How many builders go into one template: Packer's start takes longer than what it does."""
WRAPPERS = ["pause_before", "timeout", "max_retries", "only", "except", "override"]

NO_PARTITION = "Packer takes any text, and the mount fails"
NO_PATH = "Packer takes any text; a path that is not absolute would be taken in the working directory"
NO_MOUNT = "Packer takes any list, and reads beyond its end or mounts nonsense"
UNSET = "Packer wants a duration or number; what an unset variable leaves is as good as none"
STRICT = "surely not what was meant, and told by Azure only after the build"
EXPLAINED: dict[str, str] = {
    "builder.mount_partition *": NO_PARTITION,
    "builder.mount_path *": NO_PATH,
    "builder.copy_files *": NO_PATH,
    "builder.chroot_mounts *": NO_MOUNT,
    "builder.client_cert_path *": "there is no such file; and beside client_secret it has no use",
    "builder.client_jwt *": "beside client_secret it has no use",
    "builder.shared_image_destination [[]None]": "a list of one object is the object; Packer's null is none",
    "gallery.*": STRICT,
    "region.*": STRICT,
    "shell.pause_after ''": UNSET,
    "shell.pause_after '{{user `empty`}}'": UNSET,
    "shell.pause_after False": "false is no duration",
    "ansible.ansible_env_vars *": "Packer hands on what is no assignment, and Python refuses to start the program",
    "manifest.custom_data [[]None]": "an object of texts is wanted",
    "wrapper.pause_before *": UNSET,
    "wrapper.timeout *": UNSET,
    "wrapper.max_retries *": UNSET,
    "wrapper.override *": "an object is wanted, and a list is none",
    "root.sensitive-variables *": "Packer takes no notice of a name that does not exist",
}
"""Differences by `place.option value`, as globs."""


@dataclass(frozen=True, slots=True)
class Case:
    """An option with one value, in an otherwise sound template."""

    place: str
    option: str
    value: Any

    def __str__(self) -> str:
        return f"{self.place}.{self.option} {self.value!r}"

    def template(self, name: str) -> dict[str, Any]:
        """A template with one builder, called `name`."""
        given = {self.option: self.value}
        builder, root = BUILDER | {"name": name}, {"variables": VARIABLES}
        if self.place == "builder":
            builder |= given
        elif self.place in ("gallery", "region"):
            inner = GALLERY | (given if self.place == "gallery" else {"target_regions": [{"name": "x"} | given]})
            builder |= {"shared_image_destination": inner}
        elif self.place == "manifest":
            return {**root, "builders": [builder], "post-processors": [{"type": "manifest", "only": [name]} | given]}
        elif self.place == "root":
            return {**root, "builders": [builder], **given}
        else:
            block = BLOCKS["shell" if self.place == "wrapper" else self.place] | given
            return {**root, "builders": [builder], "provisioners": [{"only": [name]} | block]}
        return {**root, "builders": [builder]}


def cases() -> tuple[list[Case], list[Case]]:
    """Those that Packer judges build by build, and those for which it gives the whole template up."""
    by_build = [Case(place, o, v) for place, options in OPTIONS.items() for o in options.split() for v in VALUES]
    whole = [Case("root", key, value) for key in ROOT_KEYS for value in VALUES]
    whole += [Case("wrapper", option, value) for option in WRAPPERS for value in VALUES]
    return by_build, whole


def differences(cwd: Path, every: int = 1) -> tuple[int, dict[str, bool]]:
    """How many cases there are, and those judged differently: case → whether Packer accepts it.

    With `every`, only each second one, or third …
    """
    by_build, whole = (some[::every] for some in cases())
    found: dict[str, bool] = {}
    for start in range(0, len(by_build), _AT_ONCE):
        found |= _different(by_build[start : start + _AT_ONCE], cwd)
    for case in whole:
        found |= _different([case], cwd)
    return len(by_build) + len(whole), found


def _different(some: Sequence[Case], cwd: Path) -> dict[str, bool]:
    named = {f"case-{i}": case for i, case in enumerate(some)}
    refused = refused_builds(_together(named), cwd)
    theirs = {name: refused is not None and name not in refused for name in named}
    ours = {name: read(case.template(name), vm=None, cwd=os.fspath(cwd)).ok for name, case in named.items()}
    return {str(case): theirs[name] for name, case in named.items() if theirs[name] != ours[name]}


def _together(named: Mapping[str, Case]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for name, case in named.items():
        for key, value in case.template(name).items():
            joins = isinstance(value, list) and isinstance(whole.get(key), list)
            whole[key] = [*whole[key], *value] if joins else value
    return whole


def explanation(case: str) -> str | None:
    """Why a case is judged differently."""
    return next((why for pattern, why in EXPLAINED.items() if fnmatchcase(case, pattern)), None)
