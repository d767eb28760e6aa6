"""What is made of something unknown is no mistake: facts about the VM before it is asked, variables without a value."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import pytest
from tests.template.reading_aids import BUILDER, COMPUTE, errors, read, read_builder
from tests.template.test_azure_chroot import GALLERY
from tests.template.test_native import read as read_native

from gilder.model.spec import ChrootMount, GalleryDestination, Spec, TargetRegion
from gilder.template import post_processors, provisioners
from gilder.template.annotations import plain_type
from gilder.template.azure_chroot import SHAPE
from gilder.template.decode import options_of

UNFIT = "{{split (vm `name`) `-` 7}}"
"""offline-vm has no such part, and neither has the VM of these tests."""
ON_VM: list[tuple[dict[str, Any], str]] = [
    ({"tags": {"env": UNFIT}}, "the substring 7 was unavailable"),
    ({"image_resource_id": f"{COMPUTE}/images/x-{{{{slice (vm `zone`) 1}}}}"}, "cannot be the name of an image"),
    ({"image_resource_id": "{{vm `name`}}"}, "is not a resource id"),
    ({"os_disk_size_gb": "{{vm `zone`}}0000"}, "an OS disk cannot have 20000 GiB"),
    ({"os_disk_cache_type": "{{vm `zone`}}"}, '"2" is not allowed'),
    ({"source": "{{vm `name`}}"}, "is not a source"),
    ({"source": "{{if eq (vm `zone`) `2`}}{{else}}p:o:s:latest{{end}}"}, "source is missing"),
    ({"source": UNFIT}, "the substring 7 was unavailable"),
    ({"mount_partition": "{{vm `location`}}"}, "is no partition number"),
    ({"copy_files": ["{{vm `name`}}"]}, "is not an absolute path"),
    ({"mount_path": f"/mnt/{UNFIT}"}, "the substring 7 was unavailable"),
    ({"subscription_id": "{{vm `name`}}"}, "cannot be the name of a subscription"),
    ({"shared_image_destination": GALLERY | {"gallery_name": "{{vm `name`}}"}}, "cannot be the name of a gallery"),
    ({"shared_image_destination": GALLERY | {"image_name": "{{slice (vm `zone`) 1}}"}}, "image_name is empty"),
    ({"stage_deadlines": {"mount": "{{vm `name`}}"}}, "is not a duration"),
]


@pytest.mark.parametrize(("options", "mistake"), ON_VM, ids=[str(options) for options, _ in ON_VM])
def test_only_who_knows_the_vm_judges_what_is_made_of_it(options: dict[str, Any], mistake: str) -> None:
    offline = read({"builders": [BUILDER | options]}, vm=None)
    assert offline.diagnostics == ()
    assert len(offline.builds) == 1
    assert offline.needs_vm
    assert any(mistake in e for e in errors(read({"builders": [BUILDER | options]}))), options


def test_what_is_wrong_on_any_vm_is_told_offline() -> None:
    for options in (
        {"tags": {"a": "{{vm `nmae`}}"}},
        {"tags": {"a": "{{vm `name` | uppr}}"}},
        {"tags": {"a": "{{vm `name`"}},
        {"tags": {"a/b": "x", "c": "{{vm `name`}}"}},
        {"mount_path": "/{{.MuontPath}}/{{vm `name`}}"},
        {"shared_image_destination": {"gallery_name": "{{vm `name`}}"}},
        {"image_resource_id": None},
    ):
        builder = {key: value for key, value in (BUILDER | options).items() if value is not None}
        assert errors(read({"builders": [builder]}, vm=None)), options


def test_lines_of_a_script_may_hang_on_the_vm() -> None:
    lines = {"type": "shell", "inline": f"echo {UNFIT},x", "environment_vars": [UNFIT]}
    assert read_builder([lines]).ok is False
    assert read({"builders": [BUILDER], "provisioners": [lines]}, vm=None).ok


def test_variables_may_be_made_of_facts_about_the_vm() -> None:
    template = {"variables": {"a": UNFIT, "b": "x-{{vm `zone`}}"}, "builders": [BUILDER]}
    template["builders"] = [BUILDER | {"tags": {"t": "{{user `a`}}"}, "mount_partition": "{{user `b`}}"}]
    offline = read(template, vm=None)
    assert offline.diagnostics == ()
    assert offline.needs_vm
    assert [e.partition(":")[0] for e in errors(read(template))] == ["variable a", "mount_partition"]


def test_names_of_builds_may_be_made_of_facts_about_the_vm() -> None:
    name = "name: '{{.Matrix.a}}-{{slice (vm `zone`) 0}}'"
    text = name + "\nmatrix: {a: [x]}\ndefaults: {source: 'p:o:s:1', skip_create_image: 1}"
    assert read_native(text, vm=None).ok
    assert read_native(text.replace("`zone`", "`name`"), vm=None).ok


# --- variables


def of(annotation: Any) -> Any:
    """A value of a type whose content is a variable that nobody gave."""
    wanted = plain_type(annotation)
    if get_origin(wanted) is dict:
        return {"mount": "{{user `a`}}"}
    if wanted is ChrootMount:
        return ["{{user `a`}}"] * 3
    if isinstance(wanted, type) and issubclass(wanted, Spec):
        return {name: of(a) for name, a in options_of(wanted).items()}
    return [of(get_args(wanted)[0])] if get_origin(wanted) is tuple else "{{user `a`}}"


def unset(block: dict[str, Any], builder: dict[str, Any] | None = None, key: str = "provisioners") -> list[str]:
    builders = [BUILDER | (builder or {})]
    return errors(read({"variables": {"a": None}, "builders": builders, key: [block] if block else []}))


@pytest.mark.parametrize("option", sorted(SHAPE.options))
def test_an_option_made_of_a_variable_without_value_has_no_mistake(option: str) -> None:
    for value in ("{{user `a`}}", of(SHAPE.options[option])):
        found = unset({}, {option: value})
        assert [e for e in found if "expected an object" not in e and "expected a list" not in e] == [
            "required variable not set: a"
        ]


def test_options_of_a_gallery_made_of_variables_without_values() -> None:
    whole = {name: of(annotation) for name, annotation in options_of(GalleryDestination).items()}
    assert unset({}, {"shared_image_destination": whole}) == ["required variable not set: a"]
    region = {name: of(annotation) for name, annotation in options_of(TargetRegion).items()}
    assert unset({}, {"shared_image_destination": GALLERY | {"target_regions": [region]}}) == [
        "required variable not set: a"
    ]


@pytest.mark.parametrize(
    ("key", "kinds"), [("provisioners", provisioners.KINDS), ("post-processors", post_processors.KINDS)]
)
def test_options_of_provisioners_made_of_a_variable_without_value(key: str, kinds: Any) -> None:
    needed: dict[str, dict[str, Any]] = {
        "shell": {"inline": ["x"]},
        "shell-local": {"inline": ["x"]},
        "sleep": {"duration": "1s"},
    }
    needed["file"] = {"source": "/etc/hostname", "destination": "/x"}
    needed["ansible"] = needed["ansible-local"] = {"playbook_file": "/etc/hostname"}
    instead = {"script", "scripts", "content", "sources", "playbook_files"}
    for type_, kind in kinds.items():
        for option, annotation in kind.shape.options.items():
            alone = option in instead or (type_, option) == ("shell-local", "command")
            more = {} if alone else needed.get(type_, {})
            if option in ("content", "sources"):
                more = {"destination": "/x"}
            found = unset({"type": type_, **more, option: of(annotation)}, key=key)
            assert found == ["required variable not set: a"], (type_, option)


def test_a_mistake_of_a_variable_is_told_once_and_nothing_that_follows_from_it() -> None:
    declared = {"a": "{{user `b`}}-x", "b": "{{uppr `x`}}", "c": None}
    builder = {"source": "{{user `a`}}", "image_resource_id": "{{user `c`}}", "tags": {"{{user `b`}}/": "x"}}
    loaded = read({"variables": declared, "builders": [BUILDER | builder]})
    assert errors(loaded) == ['variable b: function "uppr" not defined', "required variable not set: c"]
    circle = read({"variables": {"a": "{{user `b`}}", "b": "{{user `a`}}"}, "builders": [BUILDER]})
    assert len(errors(circle)) == 1


def test_other_mistakes_are_told_beside_those_of_variables() -> None:
    found = unset({"type": "shell", "inline": ["{{user `a`}}"], "binary": "maybe"}, {"mount_path": "x"})
    assert len(found) == 3


def test_an_unknown_variable_is_empty_and_known() -> None:
    assert read_builder([{"type": "shell", "inline": ["{{user `nobody`}}"]}]).ok
    assert errors(read_builder(mount_partition="x{{user `nobody`}}")) == ['mount_partition: "x" is no partition number']
