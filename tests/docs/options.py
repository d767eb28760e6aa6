"""Makes docs/options.md from the models: `python -m tests.docs.options`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from tests.docs.proofs import AUTH, DESTINATION, DISKS, GALLERY, HERE, REGION, SOURCE, TEMPORARY, Proof

from gilder.model.described import described
from gilder.model.ids import ArmId
from gilder.model.spec import Auth, BuildSpec, ChrootMount, Delayed, GalleryDestination, Spec, TargetRegion
from gilder.template.annotations import plain_type

FILE = Path(__file__).parents[2] / "docs" / "options.md"
OWN = (
    "tags", "disk_encryption_set_id", "snapshot_incremental", "grow_root", "minimal_dev", "replication_mode",
    "end_of_life_date", "deadline", "stage_deadlines",
)  # fmt: skip
"""Options that the reference builder does not have."""

INTRODUCTION = """\
# The options of a build

Every option of the `azure-chroot` builder, and gilder's own (marked +). Templates for Packer work as they are; in a matrix
file the same options stand under `defaults` and `overrides`. Each row names the test, below `tests/`, that proves it. This
file is made from the models by `python -m tests.docs.options`; a test compares them.

Everything that can be looked up is checked before anything is created: that the source exists, is for Linux, in the VM's
region, of a CPU architecture that runs here and of a security type that can be opened; that the destination does not exist
yet (or `-force` was given), that the image definition exists and fits, that chosen temporary names are free, and that the
VM has room for a disk.
"""
NAMES = (
    "Names are made up where none are given: `gilder-RUN-BUILD-NUMBER-osdisk`, `…-snapshot`, `…-datadisk-LUN`, "
    "`…-datasnapshot-LUN`."
)
SECTIONS: tuple[tuple[str, str, type[Spec], Mapping[str, Proof]], ...] = (
    ("Who gilder is", "Without any of these: the managed identity of the VM.", Auth, AUTH),
    ("Where an image comes from", "Exactly one of the two.", BuildSpec, SOURCE),
    ("On this machine", "", BuildSpec, HERE),
    ("Disks", "", BuildSpec, DISKS),
    ("Temporary resources", NAMES, BuildSpec, TEMPORARY),
    ("What is made", "At least one destination; both are made side by side from one snapshot.", BuildSpec, DESTINATION),
    ("`shared_image_destination`", "", GalleryDestination, GALLERY),
    ("`target_regions`", "", TargetRegion, REGION),
)
DEFAULTS = {
    "chroot_mounts": "/proc, /sys, /dev, /dev/pts, binfmt_misc",
    "copy_files": "/etc/resolv.conf",
    "mount_path": "`/mnt/packer-amazon-chroot-volumes/{{.Device}}`",
    "command_wrapper": "`{{.Command}}`",
}


def page() -> str:
    """The text of docs/options.md."""
    return INTRODUCTION + "".join(line + "\n" for line in _sections())


def _sections() -> Iterator[str]:
    for title, remark, model, proofs in SECTIONS:
        yield ""
        yield f"## {title}"
        if remark:
            yield from ("", remark)
        yield from ("", "| option | type | default | meaning | example | proved by |", "|---|---|---|---|---|---|")
        for option, proof in proofs.items():
            yield _row(model, option, proof)


def _row(model: type[Spec], option: str, proof: Proof) -> str:
    field = model.model_fields[option]
    mark = " +" if option in OWN else ""
    example = proof.example if proof.example == "see below" else _code(proof.example)
    cells = [
        f"`{option}`{mark}",
        _words(option, field),
        DEFAULTS.get(option) or _default(field),
        described(model)[option],
        example,
        f"`{proof.test.removeprefix('tests/')}`",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _words(option: str, field: FieldInfo) -> str:
    return "text" if option == "source" else _type(field.annotation)


def _type(annotation: Any) -> str:
    wanted = plain_type(annotation)
    origin = get_origin(wanted)
    if origin is tuple:
        return f"list of {_type(get_args(wanted)[0])}"
    if origin is dict:
        return "durations by name" if get_args(wanted)[1] is float else "texts by name"
    if origin is Literal:
        return ", ".join(str(choice) for choice in get_args(wanted))
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return ", ".join(str(member.value) for member in wanted)
    if isinstance(wanted, type) and issubclass(wanted, Spec) and wanted is not ChrootMount:
        return "object"
    return {
        bool: "true, false",
        int: "whole number",
        float: "duration, such as 90s or 1h30m",
        str: "text",
        ArmId: "resource id",
        ChrootMount: "three texts",
    }.get(wanted, "text for run time" if wanted is Delayed else str(wanted))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined or value is None or value == ():
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value) if isinstance(value, Enum) else str(value)


if __name__ == "__main__":
    FILE.write_text(page())
