"""What to do inside a guest, and after a build, as frozen values. Names and defaults follow Packer's documentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gilder.model.base import Delayed, Spec


class Wrap(Spec):
    """What any provisioner may have around it."""

    pause_before: float = 0.0
    """Seconds."""
    timeout: float | None = None
    """Seconds; None: no limit."""
    max_retries: int = 0
    continue_on_error: bool = False


class ShellProvisioner(Spec):
    """Runs scripts inside the guest."""

    type: Literal["shell"] = "shell"
    wrap: Wrap = Wrap()
    inline: tuple[Delayed, ...] | None = None
    scripts: tuple[str, ...] = ()
    """Absolute paths on this machine."""
    inline_shebang: str = "/bin/sh -e"
    binary: bool = False
    environment_vars: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    env_var_format: str | None = None
    execute_command: Delayed | None = None
    use_env_var_file: bool = False
    remote_folder: str = "/tmp"  # noqa: S108 — the documented default, a path in the guest
    remote_file: str | None = None
    remote_path: str | None = None
    skip_clean: bool = False
    valid_exit_codes: tuple[int, ...] = (0,)
    pause_after: float = 0.0
    """Seconds."""


class FileProvisioner(Spec):
    """Copies files between this machine and the guest."""

    type: Literal["file"] = "file"
    wrap: Wrap = Wrap()
    sources: tuple[Delayed, ...] = ()
    """Paths here (upload; relative ones start at the working directory) or in the guest (download)."""
    content: Delayed | None = None
    """The text to upload, instead of a source."""
    destination: Delayed
    """A path on the other side; one that ends in / is a directory."""
    direction: Literal["upload", "download"] = "upload"
    generated: bool = False
    """The source is made during the build, so it need not exist before."""


class ShellLocal(Spec):
    """Runs scripts on this machine: as a provisioner or as a post-processor."""

    type: Literal["shell-local"] = "shell-local"
    wrap: Wrap = Wrap()
    inline: tuple[Delayed, ...] | None = None
    scripts: tuple[str, ...] = ()
    """Absolute paths."""
    inline_shebang: str = "/bin/sh -e"
    environment_vars: tuple[Delayed, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    env_var_format: str | None = None
    execute_command: tuple[Delayed, ...] | None = None
    """`.Vars`, `.Script`, `.Command`; None: /bin/sh -c "{{.Vars}} {{.Script}}"."""
    only_on: tuple[str, ...] = ()
    """Names of operating systems; runs everywhere when empty."""
    valid_exit_codes: tuple[int, ...] = (0,)


class BreakpointProvisioner(Spec):
    """Waits until a person lets the build go on."""

    type: Literal["breakpoint"] = "breakpoint"
    wrap: Wrap = Wrap()
    note: str = ""
    disable: bool = False


class SleepProvisioner(Spec):
    """Waits for a while."""

    type: Literal["sleep"] = "sleep"
    wrap: Wrap = Wrap()
    duration: float
    """Seconds."""


class _Galaxy(Spec):
    """What ansible-galaxy installs before a playbook runs."""

    galaxy_file: str | None = None
    galaxy_command: str = "ansible-galaxy"
    galaxy_force_install: bool = False
    galaxy_force_with_deps: bool = False


class AnsibleProvisioner(_Galaxy):
    """Runs a playbook on this machine, against the guest through the chroot connection."""

    type: Literal["ansible"] = "ansible"
    wrap: Wrap = Wrap()
    playbook_file: str
    """Absolute path."""
    command: str = "ansible-playbook"
    extra_arguments: tuple[Delayed, ...] = ()
    ansible_env_vars: tuple[Delayed, ...] = ()
    groups: tuple[str, ...] = ()
    empty_groups: tuple[str, ...] = ()
    host_alias: str = "default"
    user: str | None = None
    limit: str | None = None
    inventory_file: str | None = None
    """Absolute path; None: one is made."""
    inventory_directory: str | None = None
    inventory_file_template: Delayed | None = None
    """`.HostAlias`, `.Host`, `.User`, `.Port`."""
    keep_inventory_file: bool = False
    roles_path: str | None = None
    collections_path: str | None = None
    skip_version_check: bool = False


class AnsibleLocalProvisioner(_Galaxy):
    """Runs a playbook inside the guest, with the Ansible that is installed there."""

    type: Literal["ansible-local"] = "ansible-local"
    wrap: Wrap = Wrap()
    playbook_file: str | None = None
    """Absolute path; goes to the top of the staging directory."""
    playbook_files: tuple[str, ...] = ()
    """Absolute paths, instead of `playbook_file`; they go there under their whole paths, but for those in `playbook_dir`."""
    playbook_dir: str | None = None
    command: str = "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook"
    extra_arguments: tuple[str, ...] = ()
    group_vars: str | None = None
    host_vars: str | None = None
    playbook_paths: tuple[str, ...] = ()
    role_paths: tuple[str, ...] = ()
    collection_paths: tuple[str, ...] = ()
    inventory_file: str | None = None
    inventory_groups: tuple[str, ...] = ()
    staging_directory: str | None = None
    """In the guest; None: a new one below /tmp/packer-provisioner-ansible-local."""
    clean_staging_directory: bool = False
    galaxy_roles_path: str | None = None
    galaxy_collections_path: str | None = None


Provisioner = (
    ShellProvisioner
    | FileProvisioner
    | ShellLocal
    | BreakpointProvisioner
    | SleepProvisioner
    | AnsibleProvisioner
    | AnsibleLocalProvisioner
)


class Manifest(Spec):
    """Writes the artifact of the build into a JSON file that builds share."""

    type: Literal["manifest"] = "manifest"
    name: str = ""
    """By which -except means it; "": its type."""
    output: str = "packer-manifest.json"
    strip_path: bool = False
    strip_time: bool = False
    custom_data: dict[str, Delayed] = Field(default_factory=dict)
    keep_input_artifact: bool | None = None


class ShellLocalAfter(ShellLocal):
    """Runs scripts on this machine once the image is there."""

    name: str = ""
    """By which -except means it; "": its type."""
    keep_input_artifact: bool | None = None


PostProcessor = Manifest | ShellLocalAfter
