"""What to do inside a guest, and after a build, as frozen values. Names and defaults follow Packer's documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gilder.model.base import Delayed, Spec

_SOME = Field(min_length=1)
"""A list that is left out rather than empty: an empty one in a template means the default, as in Packer."""


class Wrap(Spec):
    """What any provisioner may have around it."""

    pause_before: float = 0.0
    """How long to wait before each try, in seconds."""
    timeout: float | None = None
    """How long it may take, in seconds; then it is ended and has failed."""
    max_retries: int = 0
    """How often it is tried again after a failure."""
    continue_on_error: bool = False
    """Whether the build goes on although it failed."""


class ShellProvisioner(Spec):
    """Runs scripts inside the guest."""

    type: Literal["shell"] = "shell"
    wrap: Wrap = Wrap()
    inline: Annotated[tuple[Delayed, ...] | None, _SOME] = None
    """Lines that together are one script."""
    scripts: tuple[str, ...] = ()
    """Scripts, by absolute paths of this machine; `script` for one."""
    inline_shebang: str = "/bin/sh -e"
    """What begins an inline script; left out where the lines bring their own."""
    binary: bool = False
    """Whether scripts are copied as they are; else their lines end as Unix has it."""
    environment_vars: tuple[Delayed, ...] = ()
    """Variables, each `NAME=VALUE`."""
    env: dict[str, Delayed] = Field(default_factory=dict)
    """Variables by name; they win over `environment_vars`."""
    env_var_format: str | None = None
    """How a variable is written: `%s='%s' `, in a file `export %s='%s'\\n`."""
    execute_command: Delayed | None = None
    """The command: `.Path` of the script, `.Vars`, `.EnvVarFile`. Left out: made executable, and run with the variables."""
    use_env_var_file: bool = False
    """Whether variables go into a file that is read first."""
    remote_folder: str = "/tmp"  # noqa: S108 — the documented default, a path in the guest
    """Where scripts are put, in the guest."""
    remote_file: str | None = None
    """Their name there; one is made up."""
    remote_path: str | None = None
    """Folder and name at once."""
    skip_clean: bool = False
    """Whether scripts stay in the image."""
    valid_exit_codes: Annotated[tuple[int, ...], _SOME] = (0,)
    """The statuses that are no failure."""
    pause_after: float = 0.0
    """How long to wait afterwards, in seconds."""


class FileProvisioner(Spec):
    """Copies files between this machine and the guest."""

    type: Literal["file"] = "file"
    wrap: Wrap = Wrap()
    sources: tuple[Delayed, ...] = ()
    """What to copy; `source` for one. Paths here (upload; relative ones start at the working directory) or in the guest
    (download)."""
    content: Delayed | None = None
    """The text to upload, instead of a source."""
    destination: Delayed
    """A path on the other side; one that ends in / is a directory."""
    direction: Literal["upload", "download"] = "upload"
    """Into the guest, or out of it."""
    generated: bool = False
    """The source is made during the build, so it need not exist before."""


class ShellLocal(Spec):
    """Runs scripts on this machine: as a provisioner or as a post-processor."""

    type: Literal["shell-local"] = "shell-local"
    wrap: Wrap = Wrap()
    inline: Annotated[tuple[Delayed, ...] | None, _SOME] = None
    """Lines that together are one script, or `command` for one line."""
    scripts: tuple[str, ...] = ()
    """Scripts, by absolute paths; `script` for one."""
    inline_shebang: str = "/bin/sh -e"
    """What begins an inline script."""
    environment_vars: tuple[Delayed, ...] = ()
    """Variables, each `NAME=VALUE`."""
    env: dict[str, Delayed] = Field(default_factory=dict)
    """Variables by name; they win over `environment_vars`."""
    env_var_format: str | None = None
    """How a variable is written."""
    execute_command: Annotated[tuple[Delayed, ...] | None, _SOME] = None
    """The command: `.Vars`, `.Script`, `.Command`; one word alone is a command line.
    None: /bin/sh -c "{{.Vars}} {{.Script}}"."""
    only_on: tuple[str, ...] = ()
    """Names of operating systems (`linux`); runs everywhere when empty."""
    valid_exit_codes: Annotated[tuple[int, ...], _SOME] = (0,)
    """The statuses that are no failure."""


class BreakpointProvisioner(Spec):
    """Waits until a person lets the build go on."""

    type: Literal["breakpoint"] = "breakpoint"
    wrap: Wrap = Wrap()
    note: str = ""
    """What to say."""
    disable: bool = False
    """Whether to go on without waiting."""


class SleepProvisioner(Spec):
    """Waits for a while."""

    type: Literal["sleep"] = "sleep"
    wrap: Wrap = Wrap()
    duration: float
    """How long, in seconds."""


class _Galaxy(Spec):
    """What ansible-galaxy installs before a playbook runs."""

    galaxy_file: str | None = None
    """What ansible-galaxy installs: roles, collections, or both."""
    galaxy_command: str = "ansible-galaxy"
    """How it is called."""
    galaxy_force_install: bool = False
    """Whether it installs again what is there."""
    galaxy_force_with_deps: bool = False
    """The same with all that those need."""


class AnsibleProvisioner(_Galaxy):
    """Runs a playbook on this machine, against the guest through the chroot connection."""

    type: Literal["ansible"] = "ansible"
    wrap: Wrap = Wrap()
    playbook_file: str
    """The playbook, by its absolute path."""
    command: str = "ansible-playbook"
    """How ansible-playbook is called."""
    extra_arguments: tuple[Delayed, ...] = ()
    """Further arguments for it."""
    ansible_env_vars: tuple[Delayed, ...] = ()
    """Variables for it, each `NAME=VALUE`."""
    groups: tuple[str, ...] = ()
    """The groups that the guest is in."""
    empty_groups: tuple[str, ...] = ()
    """Groups without hosts."""
    host_alias: str = "default"
    """The guest's name in the inventory."""
    user: str | None = None
    """`ansible_user`; commands run as root all the same."""
    limit: str | None = None
    """Hosts that the playbook is limited to (`--limit`)."""
    inventory_file: str | None = None
    """An inventory, by its absolute path; None: one is made."""
    inventory_directory: str | None = None
    """Where the inventory is made, beside `group_vars` and `host_vars`."""
    inventory_file_template: Delayed | None = None
    """The line of the guest in it: `.HostAlias`, `.Host`, `.User`, `.Port`."""
    keep_inventory_file: bool = False
    """Whether it stays afterwards."""
    roles_path: str | None = None
    """Where roles are installed, and looked for first."""
    collections_path: str | None = None
    """The same for collections."""
    skip_version_check: bool = False
    """Accepted; no version is checked."""


class AnsibleLocalProvisioner(_Galaxy):
    """Runs a playbook inside the guest, with the Ansible that is installed there."""

    type: Literal["ansible-local"] = "ansible-local"
    wrap: Wrap = Wrap()
    playbook_file: str | None = None
    """The playbook, by its absolute path; goes to the top of the staging directory."""
    playbook_files: tuple[str, ...] = ()
    """Absolute paths, instead of `playbook_file`; they go there under their whole paths, but for those in `playbook_dir`."""
    playbook_dir: str | None = None
    """A directory that is the beginning of the staging directory."""
    command: str = "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook"
    """How ansible-playbook is called there, by a shell."""
    extra_arguments: tuple[str, ...] = ()
    """Further arguments, for a shell."""
    group_vars: str | None = None
    """A directory, put beside the playbook."""
    host_vars: str | None = None
    """A directory, put beside the playbook."""
    playbook_paths: tuple[str, ...] = ()
    """Directories, put into `playbooks`."""
    role_paths: tuple[str, ...] = ()
    """Directories of roles, put into `roles`."""
    collection_paths: tuple[str, ...] = ()
    """Directories, put into `collections`."""
    inventory_file: str | None = None
    """The inventory; one with 127.0.0.1 is made."""
    inventory_groups: tuple[str, ...] = ()
    """The groups that 127.0.0.1 is in."""
    staging_directory: str | None = None
    """Where all is put, in the guest; None: a new one below /tmp/packer-provisioner-ansible-local."""
    clean_staging_directory: bool = False
    """Whether it is removed afterwards."""
    galaxy_roles_path: str | None = None
    """Where roles are installed, in the guest."""
    galaxy_collections_path: str | None = None
    """Where collections are installed, in the guest."""


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
    """The file."""
    strip_path: bool = False
    """Accepted: an image in Azure has no files."""
    strip_time: bool = False
    """Whether the time is left out."""
    custom_data: dict[str, Delayed] = Field(default_factory=dict)
    """Texts by name, for whoever reads it."""
    keep_input_artifact: bool | None = None
    """Accepted; the image is kept."""


class ShellLocalAfter(ShellLocal):
    """Runs scripts on this machine once the image is there."""

    name: str = ""
    """By which -except means it; "": its type."""
    keep_input_artifact: bool | None = None
    """Accepted; the image is kept."""


PostProcessor = Manifest | ShellLocalAfter
