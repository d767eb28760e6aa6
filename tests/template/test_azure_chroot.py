"""Every option of the builder: its type, its default, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.template.reading_aids import BUILDER, COMPUTE, IMAGE, INPUTS, errors, read, read_builder, spec, warnings

from gilder.model.deadlines import Deadlines
from gilder.model.events import Stage
from gilder.model.ids import ArmId
from gilder.model.spec import (
    DEFAULT_CHROOT_MOUNTS,
    Caching,
    ChrootMount,
    DiskSku,
    GalleryDestination,
    GalleryVersion,
    HyperVGeneration,
    ManagedDisk,
    PlatformImage,
    ReplicaSku,
    TargetRegion,
)
from gilder.template import differing, load

DISK = f"{COMPUTE}/disks/d"
VERSION = f"{COMPUTE}/galleries/g/images/i/versions/1.0.0"
GALLERY = {"resource_group": "rg", "gallery_name": "gal", "image_name": "img", "image_version": "1.2.3"}


def test_defaults_are_the_documented_ones() -> None:
    build = spec(read_builder())
    assert build.name == "azure-chroot"
    assert build.source == PlatformImage("p", "o", "s", "latest")
    assert build.image_resource_id == ArmId.parse(IMAGE)
    assert build.chroot_mounts == DEFAULT_CHROOT_MOUNTS
    assert build.copy_files == ("/etc/resolv.conf",)
    assert (build.mount_partition, build.mount_path, build.command_wrapper) == ("1", None, None)
    assert (build.os_disk_cache_type, build.os_disk_storage_account_type) == (Caching.READ_ONLY, DiskSku.STANDARD_LRS)
    assert build.image_hyperv_generation is HyperVGeneration.V1
    assert not build.skip_cleanup


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a:b:c:1.2.3", PlatformImage),
        (DISK, ManagedDisk),
        (VERSION, GalleryVersion),
        (VERSION[:-5] + "latest", GalleryVersion),
    ],
)
def test_sources(text: str, kind: type) -> None:
    source = spec(read_builder(source=text)).source
    assert isinstance(source, kind)
    assert str(source) == text


@pytest.mark.parametrize(
    "text",
    [
        "a:b:c",
        "a:b:c:",
        "a:b c:d:e",
        IMAGE,
        f"{COMPUTE}/galleries/g/images/i",
        "/subscriptions/x",
        "a:b:c:d:e",
        "nothing",
    ],
)
def test_bad_sources(text: str) -> None:
    loaded = read_builder(source=text)
    (mistake,) = loaded.diagnostics
    assert mistake.summary.startswith("source: ")
    assert mistake.detail
    assert loaded.builds == ()


@pytest.mark.parametrize(
    ("option", "written", "value"),
    [
        ("os_disk_size_gb", "30", 30),
        ("os_disk_size_gb", 30, 30),
        ("mount_partition", 2, "2"),
        ("skip_cleanup", "true", True),
        ("skip_cleanup", 1, True),
        ("skip_create_image", "F", False),
        ("mount_options", "nouuid", ("nouuid",)),
        ("mount_options", "a,b", ("a", "b")),
        ("mount_options", [], ()),
        ("mount_options", [3, True], ("3", "1")),
        ("copy_files", [], ()),
        ("copy_files", ["/etc/hosts"], ("/etc/hosts",)),
        ("chroot_mounts", [], ()),
        ("chroot_mounts", [["bind", "/a", "/b"]], (ChrootMount(type="bind", source="/a", target="/b"),)),
        ("os_disk_cache_type", "readonly", Caching.READ_ONLY),
        ("os_disk_cache_type", "", Caching.READ_ONLY),
        ("os_disk_storage_account_type", "premium_lrs", DiskSku.PREMIUM_LRS),
        ("image_hyperv_generation", "v2", HyperVGeneration.V2),
        ("tags", {"a": 1, "{{vm `name`}}": "x"}, {"a": "1", "builder-1": "x"}),
        ("tags", [{"a": "1"}, {"b": "2"}], {"a": "1", "b": "2"}),
        ("temporary_os_disk_id", DISK, ArmId.parse(DISK)),
        ("temporary_data_disk_id_prefix", DISK, DISK),
        ("lvm_root_device", "/dev/vg/root", "/dev/vg/root"),
        ("command_wrapper", "{{ .Command }}", None),
    ],
)
def test_values_are_taken_as_packer_takes_them(option: str, written: Any, value: object) -> None:
    assert getattr(spec(read_builder(**{option: written})), option) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_resource_id": None}, "one of image_resource_id and shared_image_destination must be given"),
        ({"source": None}, "source is missing"),
        ({"source": ""}, "source is missing"),
        ({"from_scratch": True}, "source and from_scratch exclude each other"),
        ({"from_scratch": True, "source": None, "os_disk_size_gb": 1}, "from_scratch needs pre_mount_commands"),
        ({"from_scratch": True, "source": None, "pre_mount_commands": ["x"]}, "from_scratch needs os_disk_size_gb"),
        ({"image_resource_id": DISK}, "a resource of type Microsoft.Compute/disks will not do"),
        ({"image_resource_id": IMAGE + "-"}, "cannot be the name of an image"),
        ({"image_resource_id": "/subscriptions/x"}, "is not a resource id"),
        ({"temporary_os_disk_snapshot_id": DISK}, "will not do"),
        ({"temporary_data_disk_snapshot_id": "x"}, "is not a resource id"),
        ({"os_disk_size_gb": -1}, "os_disk_size_gb: -1 is not allowed"),
        (
            {"os_disk_size_gb": 0, "from_scratch": True, "source": None, "pre_mount_commands": ["x"]},
            "from_scratch needs os_disk_size_gb",
        ),
        ({"os_disk_size_gb": 5000}, "cannot have 5000 GiB"),
        ({"os_disk_size_gb": "big"}, '"big" is not a whole number'),
        ({"os_disk_size_gb": 1.5}, "expected a whole number"),
        ({"os_disk_cache_type": "Never"}, '"Never" is not allowed'),
        ({"os_disk_storage_account_type": "UltraSSD_LRS"}, "will not do for an OS disk"),
        ({"skip_cleanup": "yes"}, "neither true nor false"),
        ({"mount_partition": "a"}, "no partition number"),
        ({"mount_path": "mnt"}, "is not an absolute path"),
        ({"chroot_mounts": [["proc", "proc"]]}, "found a list of 2"),
        ({"chroot_mounts": ["proc", "proc", "/proc"]}, "found a text"),
        ({"chroot_mounts": "proc"}, "expected a list"),
        ({"chroot_mounts": [["bind", "/a", "b"]]}, '"b" is not an absolute path'),
        ({"copy_files": ["etc/hosts"]}, "is not an absolute path"),
        ({"mount_options": {"a": 1}}, "expected a text, found an object"),
        ({"tags": {"a/b": "c"}}, "cannot be a name"),
        ({"tags": {"Team": "x", "team": "x"}}, 'tags: "Team" and "team" are one name'),
        ({"tags": ["a"]}, "expected an object of texts"),
        ({"cloud_environment_name": "Mars"}, '"Mars" is not allowed'),
        ({"cloud_environment_name": "Germany"}, 'the cloud "Germany" was closed in October 2021'),
        ({"cloud_environment_name": "AzureGermanCloud"}, "was closed in October 2021"),
        ({"subscription_id": "x"}, "cannot be the name of a subscription"),
        ({"client_secret": "s"}, "client_secret needs client_id"),
        ({"client_id": "c", "client_secret": "s", "client_jwt": "j"}, "exclude each other"),
        ({"mount_optoins": []}, "there is no option 'mount_optoins'"),
        ({"pre_mount_commands": ["{{.MountPath}}"]}, "there is no .MountPath here"),
        ({"command_wrapper": "sudo {{.Comand}}"}, "there is no .Comand here"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    loaded = read_builder(**options)
    assert any(message in e for e in errors(loaded)), errors(loaded)
    assert all(d.where for d in loaded.diagnostics)
    assert loaded.builds == ()


def test_run_time_texts_get_their_data_when_they_are_rendered() -> None:
    build = spec(
        read_builder(
            command_wrapper="sudo {{.Command}}",
            pre_mount_commands=["mkfs {{.Device}} # {{vm `name`}}"],
            mount_path="/mnt/{{.Device}}",
            manual_mount_command="mount {{.Device}} -o x",
            post_mount_commands=["echo {{.MountPath}} {{timestamp}}"],
        )
    )
    assert build.command_wrapper
    assert build.mount_path
    assert build.command_wrapper.render({"Command": "a {{b"}) == "sudo a {{b"
    assert build.pre_mount_commands[0].render({"Device": "/dev/sdc"}) == "mkfs /dev/sdc # builder-1"
    assert build.post_mount_commands[0].render({"Device": "d", "MountPath": "/m"}) == "echo /m 1709647629"


def test_gallery_destination() -> None:
    regions = [{"name": "westeurope", "replicas": "2", "storage_account_type": "standard_zrs"}, {"name": "northeurope"}]
    options = {"image_resource_id": None, "shared_image_destination": GALLERY | {"target_regions": regions}}
    destination = spec(read_builder(**options)).shared_image_destination
    assert destination
    assert [r.replicas for r in destination.target_regions] == [2, 1]
    assert destination.target_regions[0].storage_account_type is ReplicaSku.STANDARD_ZRS
    assert not destination.exclude_from_latest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_version": "1.2"}, "cannot be the name of an image version"),
        ({"image_version": "1.2.99999999999"}, "cannot be the name of an image version"),
        ({"gallery_name": "a-b"}, "cannot be the name of a gallery"),
        ({"image_name": ""}, "image_name is empty"),
        ({"subscription": "mine"}, "cannot be the name of a subscription"),
        ({"target_regions": [{"name": "a", "replicas": -1}]}, "target_regions[0].replicas: -1 is not allowed"),
        ({"target_regions": [{"name": "a", "replicas": 101}]}, "target_regions[0].replicas: 101 is not allowed"),
        ({"target_regions": [{"replicas": 1}]}, "target_regions[0]: name is missing"),
        ({"target_regions": [{"name": "West Europe"}, {"name": "westeurope"}]}, "is named twice"),
        ({"target_region": []}, "there is no option 'target_region'"),
        *(
            ({"end_of_life_date": date}, f'"{date}" is no date')
            for date in (
                "soon",
                "2031-02-30",
                "2031-02-03T25:00:00Z",
                "2031-02-03T04:05:06",
                "2031-02-03T04:05:06+25:00",
            )
        ),
        (
            {"replication_mode": "shallow", "target_regions": [{"name": "a"}, {"name": "b"}]},
            "one replica in one region",
        ),
        (
            {"replication_mode": "Shallow", "target_regions": [{"name": "a", "replicas": 3}]},
            "one replica in one region",
        ),
        ({"replication_mode": "Deep"}, '"Deep" is not allowed'),
    ],
)
def test_gallery_mistakes(change: dict[str, Any], message: str) -> None:
    loaded = read_builder(shared_image_destination=GALLERY | change)
    assert any(message in e for e in errors(loaded)), errors(loaded)


@pytest.mark.parametrize("date", ["2031-02-03", "2031-02-03T04:05:06Z", "2031-02-03T04:05:06.1234567-08:00"])
def test_dates_of_a_gallery_version(date: str) -> None:
    options = {
        "end_of_life_date": date,
        "replication_mode": "Shallow",
        "target_regions": [{"name": "a", "replicas": 1}],
    }
    destination = spec(read_builder(shared_image_destination=GALLERY | options)).shared_image_destination
    assert destination
    assert destination.end_of_life
    assert destination.end_of_life.tzinfo
    assert destination.end_of_life.isoformat().startswith(date[:19])


def test_who_uses_the_api_is_told_too() -> None:
    """The same mistakes, of a destination that no template wrote."""
    one, other = TargetRegion(name="a"), TargetRegion(name="b")
    for options in (
        {"end_of_life_date": "2031-02-30"},
        {"replication_mode": "Shallow", "target_regions": (one, other)},
    ):
        with pytest.raises(ValidationError, match=r"no date|day is out of range|one replica in one region"):
            GalleryDestination(**GALLERY, **options)  # type: ignore[arg-type]


def test_every_option_that_is_missing_is_named() -> None:
    assert errors(read_builder(shared_image_destination={})) == [
        f"shared_image_destination: {option} is missing"
        for option in ("resource_group", "gallery_name", "image_name", "image_version")
    ]


def test_from_scratch() -> None:
    options = {"source": None, "from_scratch": True, "os_disk_size_gb": 10, "pre_mount_commands": ["mkfs {{.Device}}"]}
    build = spec(read_builder(**options))
    assert build.source is None
    assert build.copy_files == ()


def test_all_mistakes_of_a_file_come_in_one_go_and_in_order() -> None:
    text = """{
  "builders": [{
    "type": "azure-chroot",
    "source": "credativ:Debian",
    "os_disk_cache_type": "Sometimes",
    "mount_optoins": ["nouuid"],
    "image_resource_id": "IMAGE"
  }]
}""".replace("IMAGE", IMAGE)
    loaded = read(text)
    places = [(d.where.file, d.where.line, d.where.column) for d in loaded.diagnostics if d.where]
    assert places == [("t.json", 4, 15), ("t.json", 5, 27), ("t.json", 6, 5)]
    hints = [d.detail for d in loaded.diagnostics]
    assert "publisher:offer:sku:version" in hints[0]
    assert "None, ReadOnly or ReadWrite" in hints[1]
    assert hints[2] == 'did you mean "mount_options"?'


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"builder": []}, "Unknown root level key in template: 'builder'"),
        ({"builders": []}, "at least one builder must be defined"),
        ({"builders": {}}, "builders: expected a list"),
        ({"builders": [3]}, "a builder is an object"),
        ({"builders": [{}]}, "a builder without a type"),
        ({"builders": [BUILDER | {"type": "azure-arm"}]}, "gilder builds azure-chroot only"),
        ({"builders": [BUILDER, BUILDER]}, 'a second builder with the name "azure-chroot"'),
        ({"builders": [BUILDER | {"name": "a{{timestamp}}"}, BUILDER | {"name": "a1709647629"}]}, "two builds end up"),
        ({"min_packer_version": "2.0"}, "wants Packer 2.0"),
        ({"provisioners": {}}, "provisioners: expected a list"),
        ({"variables": []}, "variables: expected an object"),
        ({"description": 1}, "description: expected a text"),
    ],
)
def test_root_mistakes(root: dict[str, Any], message: str) -> None:
    loaded = read({"builders": [BUILDER], **root})
    assert any(message in e for e in errors(loaded)), errors(loaded)


def test_comments_and_obsolete_keys_do_no_harm() -> None:
    loaded = read(
        {"_comment": "x", "description": "d", "push": {}, "min_packer_version": "1.6.6", "builders": [BUILDER]}
    )
    assert errors(loaded) == []
    assert warnings(loaded) == ["push is ignored"]
    assert loaded.description == "d"


def test_two_builds_have_their_own_names_and_places() -> None:
    loaded = read({"builders": [BUILDER, BUILDER | {"name": "other-{{vm `name`}}"}]})
    assert [b.name for b in loaded.builds] == ["azure-chroot", "other-builder-1"]
    assert set(loaded.origins["other-builder-1"]) == {"source", "image_resource_id"}
    assert loaded.origins["other-builder-1"]["source"].line > loaded.origins["azure-chroot"]["source"].line


def test_a_text_that_is_no_object_is_one_mistake() -> None:
    assert errors(read("[]")) == ["a template is an object, found a list"]
    assert len(errors(read('{"builders": ['))) == 1


@pytest.mark.parametrize("file", ["t.pkr.hcl", "T.HCL", "t.pkr.json"])
def test_hcl_is_refused_as_that(file: str) -> None:
    loaded = load('source "azure-chroot" "x" {}', file=file, inputs=INPUTS)
    assert errors(loaded) == ["this is HCL2, which gilder does not read"]
    assert "JSON" in loaded.diagnostics[0].detail


@pytest.mark.parametrize("name", ["quickstart.json", "from-scratch.json"])
def test_the_examples_have_no_mistakes(name: str) -> None:
    path = Path(__file__).parents[2] / "examples" / name
    loaded = load(path.read_text(), file=str(path), inputs=INPUTS)
    assert loaded.diagnostics == ()
    assert len(loaded.builds) == 1


GUID = "00000000-0000-4000-8000-000000000000"
WHO: dict[str, dict[str, Any]] = {
    "cloud_environment_name": {"cloud_environment_name": "AzureUSGovernmentCloud"},
    "metadata_host": {"metadata_host": "management.local"},
    "client_id": {"client_id": GUID},
    "client_secret": {"client_secret": "s3cret", "client_id": GUID},
    "client_cert_path": {"client_cert_path": __file__, "client_id": GUID},
    "client_cert_password": {"client_cert_password": "s3cret", "client_cert_path": __file__, "client_id": GUID},
    "client_jwt": {"client_jwt": "s3cret", "client_id": GUID},
    "object_id": {"object_id": GUID},
    "tenant_id": {"tenant_id": GUID},
    "subscription_id": {"subscription_id": GUID},
    "oidc_request_url": {"oidc_request_url": "https://ci", "client_id": GUID},
    "oidc_request_token": {"oidc_request_token": "s3cret", "oidc_request_url": "https://ci", "client_id": GUID},
    "use_azure_cli_auth": {"use_azure_cli_auth": True},
}


@pytest.mark.parametrize("option", WHO)
def test_texts_that_unset_variables_leave_empty_are_no_options(option: str) -> None:
    empty = {name: "" for name, value in WHO.items() if isinstance(value[name], str)}
    build = spec(read_builder(**empty | WHO[option]))
    assert getattr(build.auth, option) == WHO[option][option]
    assert "" not in build.sensitive


@pytest.mark.parametrize("option", WHO)
def test_who_gilder_is(option: str) -> None:
    """Each option arrives where credentials are made, and a secret among the values that are hidden."""
    build = spec(read_builder(**WHO[option]))
    value = WHO[option][option]
    assert getattr(build.auth, option) == value
    assert (value in build.sensitive) == (value == "s3cret")
    assert "s3cret" not in repr(build)


def test_a_certificate_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("x")
    for path, found in (("c.pem", True), (f"{tmp_path}/c.pem", True), ("d.pem", False), (str(tmp_path), False)):
        for more in ({}, {"use_azure_cli_auth": True}):
            builder = BUILDER | {"client_id": GUID, "client_cert_path": path} | more
            told = errors(read({"builders": [builder]}, cwd=str(tmp_path)))
            wrong = [] if found or more else [f"client_cert_path: there is no readable file {path}"]
            assert told == wrong, (path, more)


SECRET = {"client_id": GUID, "client_secret": "s3cret"}


@pytest.mark.parametrize(
    ("one", "other", "options"),
    [
        ({}, {"subscription_id": GUID}, []),
        (SECRET, SECRET | {"subscription_id": GUID}, []),
        ({"use_azure_cli_auth": True}, SECRET | {"use_azure_cli_auth": True}, []),
        (SECRET, SECRET | {"client_secret": "another"}, ["client_secret"]),
        ({}, {"object_id": GUID}, ["object_id"]),
        (SECRET, {}, ["client_id", "client_secret"]),
        ({"use_azure_cli_auth": True}, {}, ["use_azure_cli_auth"]),
    ],
)
def test_builds_of_one_run_log_in_as_one(one: dict[str, Any], other: dict[str, Any], options: list[str]) -> None:
    loaded = read({"builders": [BUILDER | one | {"name": "a"}, BUILDER | other | {"name": "b"}]})
    found = differing(loaded.builds, loaded.origins)
    assert [mistake.summary for mistake in found] == [
        f"{option}: the builds a and b log in in different ways" for option in options
    ]
    assert all(mistake.where for mistake in found)


def test_an_unknown_option_of_many_is_answered_with_where_they_are() -> None:
    (builder,) = read_builder(zzz=1).diagnostics
    (shell,) = read_builder([{"type": "shell", "inline": ["x"], "zzz": 1}]).diagnostics
    (sleep,) = read_builder([{"type": "sleep", "duration": "1s", "zzz": 1}]).diagnostics
    assert builder.detail == "what is known: the options in docs/options.md"
    assert shell.detail == "what is known: the options in docs/provisioners.md"
    assert sleep.detail == "what is known: continue_on_error, duration, max_retries, pause_before or timeout"


def test_deadlines_are_durations() -> None:
    build = spec(read_builder(deadline="2h", stage_deadlines={"provision": "30m", "create-disk": "90s"}))
    assert build.deadlines == Deadlines(7200.0, {Stage.PROVISION: 1800.0, Stage.CREATE_DISK: 90.0})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"deadline": "long"}, '"long" is not a duration'),
        ({"deadline": 7}, "expected a duration"),
        ({"stage_deadlines": {"provison": "1h"}}, 'there is no stage "provison"'),
        ({"stage_deadlines": {"unmount": "1h"}}, 'there is no stage "unmount"'),
        ({"stage_deadlines": {"mount": "soon"}}, '"soon" is not a duration'),
        ({"stage_deadlines": {"mount": "soon", "provison": "1h"}}, 'there is no stage "provison"'),
        ({"stage_deadlines": {"provison": "soon"}}, 'there is no stage "provison"'),
        ({"stage_deadlines": {"mount": "soon", "provision": "late"}}, '"late" is not a duration'),
    ],
)
def test_deadlines_that_cannot_be_read(options: dict[str, Any], error: str) -> None:
    assert error in " ".join(errors(read_builder(**options)))
