"""null, empty lists and empty texts: where they mean "not given", and where a value."""

from __future__ import annotations

from typing import Any, get_origin

import pytest
from tests.template.reading_aids import errors, read, read_builder, spec

from gilder.model.provisioners import Manifest, ShellLocal, ShellProvisioner
from gilder.model.spec import DEFAULT_CHROOT_MOUNTS, BuildSpec
from gilder.template.annotations import plain_type
from gilder.template.azure_chroot import BUILD_OPTIONS
from gilder.template.provisioners import KINDS


def provisioner(**block: Any) -> Any:
    (found,) = spec(read_builder([block])).provisioners
    return found


@pytest.mark.parametrize("option", sorted(BUILD_OPTIONS.keys() - {"source", "image_resource_id"}))
def test_a_builder_option_that_is_null_has_its_default(option: str) -> None:
    plain = spec(read_builder())
    text = f'"source": "p:o:s:latest", "{option}": null, "image_resource_id": "{plain.image_resource_id}"'
    assert spec(read(f'{{"builders": [{{"type": "azure-chroot", {text}}}]}}')) == plain


@pytest.mark.parametrize("type_", ["shell", "shell-local"])
@pytest.mark.parametrize("empty", [None, "", [], {}], ids=repr)
def test_an_empty_option_of_a_script_has_its_default(type_: str, empty: Any) -> None:
    plain = provisioner(type=type_, inline=["x"])
    for option, annotation in KINDS[type_].shape.options.items():
        takes_lists = get_origin(plain_type(annotation)) is tuple
        if option == "inline" or not (empty is None or takes_lists or (empty == "" and option != "env")):
            continue
        assert provisioner(type=type_, **{"inline": ["x"], option: empty}) == plain, option


def test_a_text_that_a_variable_leaves_empty_is_as_good_as_none() -> None:
    def with_variable(**options: Any) -> BuildSpec:
        return spec(read_builder(root={"variables": {"e": ""}}, **options))

    plain = spec(read_builder())
    for option in ("mount_path", "command_wrapper", "chroot_mounts", "pre_mount_commands", "os_disk_size_gb"):
        assert with_variable(**{option: "{{user `e`}}"}) == plain, option
    script = provisioner(type="shell-local", inline=["x"])
    assert provisioner(type="shell-local", inline=["x"], command="{{if false}}x{{end}}") == script
    assert provisioner(type="shell", inline=["x"], execute_command="{{``}}").execute_command is None
    for block, message in (
        ({"source": "{{``}}", "destination": "/x"}, "one of source, sources and content must be given"),
        ({"source": "/etc/hostname", "destination": "{{``}}"}, "Destination must be specified."),
        ({"sources": [""], "destination": "/x"}, "Bad source '': it is no readable file"),
        ({"sources": [None], "destination": "/x"}, "Bad source '': it is no readable file"),
    ):
        assert errors(read_builder([{"type": "file", **block}])) == [message]


def test_without_exit_codes_the_status_must_be_zero() -> None:
    assert provisioner(type="shell", inline=["x"], valid_exit_codes=[]).valid_exit_codes == (0,)
    assert provisioner(type="shell", inline=["x"], valid_exit_codes=[""]).valid_exit_codes == (0,)
    assert provisioner(type="shell-local", inline=["x"], execute_command=[]).execute_command is None


def test_empty_lists_of_the_builder_mean_nothing_and_null_the_default() -> None:
    def build(**options: Any) -> BuildSpec:
        return spec(
            read({"builders": [{"type": "azure-chroot", "source": "p:o:s:1", "skip_create_image": 1, **options}]})
        )

    assert (build(chroot_mounts=[]).chroot_mounts, build(copy_files=[]).copy_files) == ((), ())
    assert build(chroot_mounts=None).chroot_mounts == DEFAULT_CHROOT_MOUNTS
    assert build(copy_files=None).copy_files == ("/etc/resolv.conf",)


@pytest.mark.parametrize("zero", [0, "0", False])
def test_zero_is_no_size_and_no_number_of_replicas(zero: Any) -> None:
    to = {"resource_group": "rg", "gallery_name": "g", "image_name": "i", "image_version": "1.0.0"}
    regions = [{"name": "a", "replicas": zero}, {"name": "b", "replicas": 2}]
    build = spec(read_builder(os_disk_size_gb=zero, shared_image_destination=to | {"target_regions": regions}))
    assert build.os_disk_size_gb is None
    assert build.shared_image_destination
    assert [region.replicas for region in build.shared_image_destination.target_regions] == [1, 2]


def test_null_among_texts_is_an_empty_text() -> None:
    shell = provisioner(type="shell", inline=["a", None])
    assert isinstance(shell, ShellProvisioner)
    assert [line.render({}) for line in shell.inline or ()] == ["a", ""]
    local = provisioner(type="shell-local", inline=["a"], env={"A": None})
    assert isinstance(local, ShellLocal)
    assert local.env["A"].render({}) == ""
    manifest = {"type": "manifest", "custom_data": {"a": None, "b": 1}}
    ((after,),) = spec(read_builder(root={"post-processors": [manifest]})).post_processors
    assert isinstance(after, Manifest)
    assert {name: text.render({}) for name, text in after.custom_data.items()} == {"a": "", "b": "1"}


@pytest.mark.parametrize(
    "key",
    [
        *("provisioners", "post-processors", "variables", "sensitive-variables"),
        *("error-cleanup-provisioner", "description", "min_packer_version", "comments"),
    ],
)
def test_a_root_key_that_is_null_is_not_there(key: str) -> None:
    assert spec(read_builder(root={key: None})) == spec(read_builder())


def test_null_where_something_is_needed_is_told_as_missing() -> None:
    assert errors(read({"builders": None})) == ["at least one builder must be defined"]
    assert errors(read({"builders": [{"type": None}]})) == ["a builder without a type"]
    assert errors(read_builder([{"type": "shell", "inline": None}])) == [
        "Either a script file or inline script must be specified."
    ]
