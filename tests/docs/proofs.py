"""For each option of a build: an example, and the test that proves what it does."""

from __future__ import annotations

from dataclasses import dataclass

VM = "/subscriptions/…/resourceGroups/images/providers/Microsoft.Compute"


@dataclass(frozen=True, slots=True)
class Proof:
    """`example` is JSON as in a template; `test` is a node id as pytest takes it."""

    example: str
    test: str


def _options(example: str) -> Proof:
    return Proof(example, "tests/e2e/test_options.py::test_what_the_options_for_this_machine_do")


def _arrives(example: str, option: str) -> Proof:
    return Proof(example, f"tests/virtual/test_destinations.py::test_an_option_arrives[{option}]")


_SCRATCH = "tests/e2e/test_contract.py::test_disks_from_scratch_are_partitioned_formatted_filled_and_published"
_EXAMPLES = "tests/e2e/test_contract.py::test_the_documented_examples_build"
_DATA = "tests/virtual/test_destinations.py::test_data_disks_of_a_source_arrive_at_their_luns_of_both_destinations"
_NAMES = "tests/virtual/test_destinations.py::test_data_disks_and_their_snapshots_have_the_names_asked_for"
_VERIFIED = "tests/virtual/test_verification.py::test_an_obstacle_is_told_before_anything_is_created"

_ELSEWHERE = "tests/virtual/test_destinations.py::test_a_version_goes_to_a_gallery_of_another_subscription"
_EVERY = "tests/virtual/test_destinations.py::test_every_source_reaches_every_destination"
_METHODS = "tests/login/test_methods.py::test_each_method_works_or_says_what_is_wrong"
_CLOUDS = "tests/login/test_clouds.py"

AUTH: dict[str, Proof] = {
    "cloud_environment_name": Proof('"USGovernment"', f"{_CLOUDS}::test_names_and_long_forms"),
    "metadata_host": Proof(
        '"management.local.azurestack.external"', f"{_CLOUDS}::test_a_cloud_that_its_metadata_host_describes"
    ),
    "client_id": Proof('"{{env `ARM_CLIENT_ID`}}"', _METHODS),
    "client_secret": Proof('"{{user `client_secret`}}"', _METHODS),
    "client_cert_path": Proof('"/etc/gilder/principal.pem"', _METHODS),
    "client_cert_password": Proof('"{{user `cert_password`}}"', _METHODS),
    "client_jwt": Proof('"{{user `jwt`}}"', _METHODS),
    "object_id": Proof('"00000000-0000-0000-0000-000000000000"', _METHODS),
    "tenant_id": Proof(
        '"00000000-0000-0000-0000-000000000000"',
        "tests/login/test_tenants.py::test_the_tenant_of_a_subscription_is_asked_of_the_cloud",
    ),
    "subscription_id": Proof('"{{vm `subscription_id`}}"', f"{_ELSEWHERE}[subscription_id]"),
    "oidc_request_url": Proof('"{{user `oidc_url`}}"', _METHODS),
    "oidc_request_token": Proof('"{{user `oidc_token`}}"', _METHODS),
    "use_azure_cli_auth": Proof("true", "tests/login/test_azure_cli.py::test_the_azure_cli_is_asked"),
}
SOURCE: dict[str, Proof] = {
    "source": Proof('"Debian:debian-13:13-gen2:latest"', _EVERY),
    "from_scratch": Proof("true", _SCRATCH),
}
HERE: dict[str, Proof] = {
    "command_wrapper": _options('"sudo {{.Command}}"'),
    "pre_mount_commands": Proof('["mkfs.ext4 -q {{.Device}}1"]', _SCRATCH),
    "mount_options": _options('["noatime"]'),
    "mount_partition": _options("2"),
    "mount_path": _options('"/mnt/{{.Device}}"'),
    "manual_mount_command": _options('"mount -o noatime {{.Device}}1"'),
    "post_mount_commands": Proof('["mmdebstrap trixie {{.MountPath}}"]', _SCRATCH),
    "pre_unmount_commands": _options('["fstrim {{.MountPath}}"]'),
    "chroot_mounts": _options('[["proc", "proc", "/proc"], ["bind", "/dev", "/dev"]]'),
    "copy_files": _options('["/etc/resolv.conf", "/etc/apt/keys.gpg"]'),
    "lvm_root_device": Proof('"/dev/rootvg/rootlv"', "tests/host/test_lvm.py::test_the_root_volume_may_be_named"),
    "minimal_dev": Proof("true", "tests/host/test_filesystems.py::test_a_guest_may_have_a_dev_of_its_own"),
    "grow_root": _options("true"),
    "deadline": Proof(
        '"2h"', "tests/virtual/test_deadlines.py::test_a_deadline_missed_fails_the_build_and_leaves_nothing"
    ),
    "stage_deadlines": Proof(
        '{"provision": "30m", "publish": "1h30m"}',
        "tests/virtual/test_deadlines.py::test_a_deadline_missed_fails_the_build_and_leaves_nothing",
    ),
}
DISKS: dict[str, Proof] = {
    "os_disk_size_gb": _arrives("64", "os_disk_size_gb"),
    "os_disk_storage_account_type": _arrives('"Premium_LRS"', "os_disk_storage_account_type"),
    "os_disk_cache_type": _arrives('"None"', "os_disk_cache_type"),
    "data_disk_storage_account_type": Proof('"StandardSSD_LRS"', _DATA),
    "data_disk_cache_type": Proof('"None"', _DATA),
    "disk_encryption_set_id": _arrives(f'"{VM}/diskEncryptionSets/keys"', "disk_encryption_set_id"),
}
TEMPORARY: dict[str, Proof] = {
    "temporary_os_disk_id": Proof(f'"{VM}/disks/building"', _NAMES),
    "temporary_os_disk_snapshot_id": Proof(f'"{VM}/snapshots/building"', _NAMES),
    "temporary_data_disk_id_prefix": Proof(f'"{VM}/disks/building-data"', _NAMES),
    "temporary_data_disk_snapshot_id": Proof(f'"{VM}/snapshots/building-data"', _NAMES),
    "snapshot_incremental": _arrives("true", "snapshot_incremental"),
    "skip_cleanup": _options("true"),
}
DESTINATION: dict[str, Proof] = {
    "image_resource_id": Proof(f'"{VM}/images/debian-{{{{timestamp}}}}"', _EXAMPLES),
    "shared_image_destination": Proof("see below", _EXAMPLES),
    "image_hyperv_generation": _arrives('"V2"', "image_hyperv_generation"),
    "tags": _arrives('{"team": "images"}', "tags"),
    "skip_create_image": Proof("true", "tests/virtual/test_destinations.py::test_without_an_image_nothing_is_captured"),
}
GALLERY: dict[str, Proof] = {
    "subscription": Proof(
        '"00000000-0000-0000-0000-000000000000"',
        f"{_ELSEWHERE}[subscription]",
    ),
    "resource_group": Proof('"{{vm `resource_group`}}"', _EXAMPLES),
    "gallery_name": Proof('"gallery"', _EXAMPLES),
    "image_name": Proof('"debian-13"', f"{_VERIFIED}[definition-missing]"),
    "image_version": Proof('"1.0.{{timestamp}}"', f"{_VERIFIED}[version-exists]"),
    "target_regions": _arrives('[{"name": "westeurope"}, {"name": "eastus", "replicas": 2}]', "target_regions"),
    "exclude_from_latest": _arrives("true", "exclude_from_latest"),
    "replication_mode": Proof(
        '"Shallow"', "tests/virtual/test_destinations.py::test_a_shallow_version_is_one_replica_here"
    ),
    "end_of_life_date": _arrives('"2031-02-03T04:05:06Z"', "end_of_life_date"),
}
REGION: dict[str, Proof] = {
    "name": _arrives('"West Europe"', "target_regions"),
    "replicas": _arrives("2", "target_regions"),
    "storage_account_type": _arrives('"Standard_LRS"', "target_regions"),
    "disk_encryption_set_id": _arrives(f'"{VM}/diskEncryptionSets/keys"', "target_regions.disk_encryption_set_id"),
}
