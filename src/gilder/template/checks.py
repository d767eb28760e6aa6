"""What the options of one build must fulfil together, and what single values must be beyond their type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gilder.model import clouds
from gilder.model.diagnostics import Span
from gilder.model.ids import ArmId
from gilder.model.spec import Auth, moment
from gilder.template.decode import Decoded
from gilder.template.naming import complaint
from gilder.template.reading import Notes

_MAX_OS_DISK_GB = 4095
"""Limit of Azure for OS disks (learn.microsoft.com, "Scalability and performance targets for VM disks")."""
_ID_TYPES: Mapping[str, tuple[str, str]] = {
    "image_resource_id": ("images", "image"),
    "temporary_os_disk_id": ("disks", "disk"),
    "temporary_os_disk_snapshot_id": ("snapshots", "snapshot"),
}
_ID_PREFIXES: Mapping[str, tuple[str, str]] = {
    "temporary_data_disk_id_prefix": ("disks", "disk"),
    "temporary_data_disk_snapshot_id": ("snapshots", "snapshot"),
}


def check_build(
    values: Mapping[str, Any], decoded: Decoded, notes: Notes, at: Span, environment: Mapping[str, str]
) -> None:
    """Note what is wrong with the options of a build; `at` is where to point when nothing better is known."""
    checks = _Checks(values, decoded, notes, at)
    checks.destination()
    checks.origin()
    checks.ids()
    checks.gallery()
    checks.disk()
    checks.mounting()
    checks.cloud(environment)
    checks.auth()
    checks.tags()


class _Checks:
    def __init__(self, values: Mapping[str, Any], decoded: Decoded, notes: Notes, at: Span) -> None:
        self.values, self.decoded, self.notes, self.at = values, decoded, notes, at

    def wrong(self, summary: str, hint: str = "", *path: object) -> None:
        if not self.decoded.doubts(*path):
            self.notes.error(summary, self.decoded.place(*path) or self.at, hint)

    def written(self, option: str) -> bool:
        """Whether the option is there, though its value may be wrong, which is noted already, or not be known."""
        return option in self.values or self.decoded.doubts(option)

    def destination(self) -> None:
        if self.values.get("skip_create_image") or self.written("image_resource_id"):
            return
        if not self.written("shared_image_destination"):
            hint = "image_resource_id makes a managed image, shared_image_destination a gallery image version; both are fine"
            self.wrong("one of image_resource_id and shared_image_destination must be given", hint)

    def origin(self) -> None:
        if not self.values.get("from_scratch"):
            if not self.written("source") and not self.decoded.doubts("from_scratch"):
                self.wrong("source is missing", "give a source, or from_scratch: true for an empty disk")
            return
        if self.written("source"):
            self.wrong("source and from_scratch exclude each other", "remove one of them", "source")
        for option, purpose in (
            ("os_disk_size_gb", "the size of the empty disk"),
            ("pre_mount_commands", "commands that partition and format the empty disk"),
        ):
            if not self.written(option) or self.values.get(option) == ():
                self.wrong(f"from_scratch needs {option}: {purpose}", "", "from_scratch")

    def ids(self) -> None:
        for option, (type_, what) in _ID_TYPES.items():
            id_ = self.values.get(option)
            if isinstance(id_, ArmId):
                self.id(option, id_, type_, what)
        for option, (type_, what) in _ID_PREFIXES.items():
            prefix = self.values.get(option)
            if isinstance(prefix, str):
                try:
                    self.id(option, ArmId.parse(prefix + "0"), type_, what)
                except ValueError as error:
                    self.wrong(f"{option}: {error}", f"the prefix of an id of type {type_}", option)
        encryption = self.values.get("disk_encryption_set_id")
        if isinstance(encryption, ArmId) and not encryption.is_type("diskEncryptionSets"):
            self.wrong(
                "disk_encryption_set_id: not a disk encryption set",
                "…/diskEncryptionSets/NAME",
                "disk_encryption_set_id",
            )

    def id(self, option: str, id_: ArmId, type_: str, what: str) -> None:
        if not id_.is_type(type_):
            hint = f"expected …/providers/Microsoft.Compute/{type_}/NAME"
            if option == "image_resource_id" and id_.is_type("galleries", "images", "versions"):
                hint += "\nfor a gallery image version, use shared_image_destination"
            self.wrong(f"{option}: a resource of type {id_.type} will not do", hint, option)
            return
        self.name(option, what, id_.name, option)
        self.name(option, "resource group", id_.resource_group, option)

    def name(self, option: str, what: str, name: str, *path: object) -> None:
        if rule := complaint(what, name):
            article = "an" if what[0] in "aeiou" else "a"
            self.wrong(f'{option}: "{name}" cannot be the name of {article} {what}', f"allowed: {rule}", *path)

    def gallery(self) -> None:
        option = "shared_image_destination"
        destination = self.decoded.tables.get(option, {})
        for key, what in (
            ("subscription", "subscription"),
            ("resource_group", "resource group"),
            ("gallery_name", "gallery"),
            ("image_name", "image definition"),
            ("image_version", "image version"),
        ):
            if key in destination:
                self.name(f"{option}.{key}", what, destination[key], option, key)
        seen: dict[str, int] = {}
        for i, region in enumerate(destination.get("target_regions", ())):
            name = str(region.get("name", i)).replace(" ", "").lower()
            if name in seen:
                self.wrong(f"{option}: the region {region['name']} is named twice", "", option, "target_regions", i)
            seen[name] = i
        self.end_of_life(destination.get("end_of_life_date"))
        replicas = [region.get("replicas", 1) for region in destination.get("target_regions", ())]
        if destination.get("replication_mode") == "Shallow" and replicas not in ([], [1]):
            hint = "nothing is copied: leave target_regions out, or replication_mode"
            summary = f"{option}: with replication_mode Shallow there is one replica in one region"
            self.wrong(summary, hint, option, "target_regions")

    def end_of_life(self, date: str | None) -> None:
        try:
            if date is not None:
                moment(date)
        except ValueError:
            path = ("shared_image_destination", "end_of_life_date")
            self.wrong(f'{".".join(path)}: "{date}" is no date', "write it as RFC 3339: 2030-01-31T00:00:00Z", *path)

    def disk(self) -> None:
        size = self.values.get("os_disk_size_gb")
        if isinstance(size, int) and size > _MAX_OS_DISK_GB:
            hint = f"allowed: 1 to {_MAX_OS_DISK_GB} GiB"
            self.wrong(f"os_disk_size_gb: an OS disk cannot have {size} GiB", hint, "os_disk_size_gb")
        for kind in ("os", "data"):
            option, cache = f"{kind}_disk_storage_account_type", f"{kind}_disk_cache_type"
            if self.values.get(option) in ("UltraSSD_LRS", "PremiumV2_LRS"):
                if kind == "os":
                    hint = "Azure has no OS disks of this type; use Premium_LRS, StandardSSD_LRS or Standard_LRS"
                    self.wrong(f"{option}: {self.values[option]} will not do for an OS disk", hint, option)
                elif self.values.get(cache, "ReadOnly") != "None" and not self.decoded.doubts(cache):
                    self.wrong(f"{option}: {self.values[option]} allows no caching", f"set {cache} to None", option)

    def mounting(self) -> None:
        partition = self.values.get("mount_partition")
        if partition is not None and not re.fullmatch(r"0*[1-9][0-9]{0,2}", partition):
            hint = "write the number of the root partition, such as 1"
            self.wrong(f'mount_partition: "{partition}" is no partition number', hint, "mount_partition")
        path = self.values.get("mount_path")
        if path is not None and not path.text.lstrip().startswith(("/", "{{")):
            self.wrong(f'mount_path: "{path.text}" is not an absolute path', "start it with /", "mount_path")
        for i, mount in enumerate(self.values.get("chroot_mounts", ())):
            if not mount["target"].startswith("/"):
                where = ("chroot_mounts", i)
                self.wrong(f'chroot_mounts: "{mount["target"]}" is not an absolute path', "start it with /", *where)
        for i, file in enumerate(self.values.get("copy_files", ())):
            if not file.startswith("/"):
                self.wrong(f'copy_files: "{file}" is not an absolute path', "start it with /", "copy_files", i)

    def cloud(self, environment: Mapping[str, str]) -> None:
        name = self.values.get("cloud_environment_name") or ""
        described = self.values.get("metadata_host") or any(environment.get(host) for host in clouds.METADATA_HOSTS)
        option = "cloud_environment_name"
        if described and clouds.known_cloud(name) is None:
            return  # the name is one of the host's list
        if clouds.is_closed(name):
            self.wrong(f'{option}: the cloud "{name}" {clouds.CLOSED}', clouds.INSTEAD_OF_CLOSED, option)
        elif clouds.known_cloud(name) is None:
            self.wrong(f'{option}: "{name}" is not allowed', clouds.INSTEAD_OF_UNKNOWN, option)

    def auth(self) -> None:
        # An empty text is what an unset variable leaves: as good as no option.
        if self.values.get("subscription_id"):
            self.name("subscription_id", "subscription", self.values["subscription_id"], "subscription_id")
        if self.values.get("use_azure_cli_auth") or any(map(self.decoded.doubts, Auth.model_fields)):
            return
        proofs = ("client_secret", "client_cert_path", "client_jwt")
        given = [p for p in proofs if self.values.get(p)]
        if len(given) > 1:
            self.wrong(f"{' and '.join(given)} exclude each other", "give one of them", given[1])
        client = self.values.get("client_id")
        if given and not client:
            self.wrong(f"{given[0]} needs client_id", "the application id of the service principal", given[0])
        named = [p for p in (*proofs, "oidc_request_url") if p in self.values]
        if client and self.values.get("tenant_id") and not named:
            hint = "without one, client_id names a user-assigned identity of the VM, and tenant_id has no use"
            self.wrong(f"client_id with tenant_id needs one of {', '.join(proofs)}", hint, "client_id")

    def tags(self) -> None:
        tags = self.values.get("tags", {})
        if len(tags) > 50:
            self.wrong(f"tags: {len(tags)} are too many", "Azure allows 50", "tags")
        seen: dict[str, str] = {}
        for key, value in tags.items():
            if (other := seen.setdefault(key.lower(), key)) != key:
                self.wrong(f'tags: "{other}" and "{key}" are one name', "Azure takes no notice of case", "tags", key)
            if not 1 <= len(key) <= 512 or re.search(r"[<>%&\\?/]", key):
                self.wrong(
                    f'tags: "{key}" cannot be a name', "1 to 512 characters, without < > % & \\ ? /", "tags", key
                )
            if len(value) > 256:
                self.wrong(f'tags: the value of "{key}" is too long', "256 characters at most", "tags", key)
