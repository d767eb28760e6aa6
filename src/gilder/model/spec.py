"""What to build, as frozen values: the options of the azure-chroot builder and of its provisioners.

Names, types and defaults follow the builder's documentation; options that gilder adds are marked so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from gilder.model.base import Delayed as Delayed
from gilder.model.base import Spec as Spec
from gilder.model.deadlines import LIMITED, Deadlines
from gilder.model.ids import ArmId
from gilder.model.provisioners import PostProcessor as PostProcessor
from gilder.model.provisioners import Provisioner as Provisioner
from gilder.model.provisioners import ShellProvisioner as ShellProvisioner
from gilder.model.provisioners import Wrap as Wrap


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """A platform image, `publisher:offer:sku:version`; the version may be `latest`."""

    publisher: str
    offer: str
    sku: str
    version: str

    def __str__(self) -> str:
        return f"{self.publisher}:{self.offer}:{self.sku}:{self.version}"


@dataclass(frozen=True, slots=True)
class ManagedDisk:
    """A managed disk as source, by id."""

    id: ArmId

    def __str__(self) -> str:
        return str(self.id)


@dataclass(frozen=True, slots=True)
class GalleryVersion:
    """A gallery image version as source, by id; the version may be `latest`."""

    id: ArmId

    def __str__(self) -> str:
        return str(self.id)


Source = PlatformImage | ManagedDisk | GalleryVersion


class Caching(StrEnum):
    """Host caching of an attached disk."""

    NONE = "None"
    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class DiskSku(StrEnum):
    """The storage type of a managed disk."""

    STANDARD_LRS = "Standard_LRS"
    STANDARD_SSD_LRS = "StandardSSD_LRS"
    STANDARD_SSD_ZRS = "StandardSSD_ZRS"
    PREMIUM_LRS = "Premium_LRS"
    PREMIUM_ZRS = "Premium_ZRS"
    PREMIUM_V2_LRS = "PremiumV2_LRS"
    ULTRA_SSD_LRS = "UltraSSD_LRS"


class HyperVGeneration(StrEnum):
    """The generation of virtual machine that an image is for."""

    V1 = "V1"
    V2 = "V2"


class ReplicaSku(StrEnum):
    """The storage type of a gallery image version's replicas."""

    STANDARD_LRS = "Standard_LRS"
    STANDARD_ZRS = "Standard_ZRS"
    PREMIUM_LRS = "Premium_LRS"


class ChrootMount(Spec):
    """One extra mount: filesystem type (or `bind`), source, and the directory inside the guest."""

    type: str
    source: str
    target: str


DEFAULT_CHROOT_MOUNTS = (
    ChrootMount(type="proc", source="proc", target="/proc"),
    ChrootMount(type="sysfs", source="sysfs", target="/sys"),
    ChrootMount(type="bind", source="/dev", target="/dev"),
    ChrootMount(type="devpts", source="devpts", target="/dev/pts"),
    ChrootMount(type="binfmt_misc", source="binfmt_misc", target="/proc/sys/fs/binfmt_misc"),
)


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?", re.ASCII)


def moment(text: str) -> datetime:
    """The moment that a text in RFC 3339 names, or the beginning (UTC) of a day; raises ValueError for what is none."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"{text!r} is no date in RFC 3339")
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class TargetRegion(Spec):
    """A region that a gallery image version is replicated to."""

    name: str
    """The region, as `westeurope` or `West Europe`."""
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """How many replicas there."""
    storage_account_type: ReplicaSku = ReplicaSku.STANDARD_ZRS
    """The storage type of the replicas."""
    disk_encryption_set_id: ArmId | None = None
    """Encrypts the replicas of this region; without it, the build's own set does so in the VM's region."""


class GalleryDestination(Spec):
    """The gallery image version to publish."""

    subscription: str | None = None
    """The gallery's subscription; without it `subscription_id`, else that of the VM."""
    resource_group: str
    """The gallery's resource group."""
    gallery_name: str
    """The gallery; it must exist."""
    image_name: str
    """The image definition; it must exist and fit: Linux, generalized, in the VM's region, of the source's generation and
    CPU architecture."""
    image_version: str
    """Three whole numbers; a version that exists is an error unless `-force` replaces it."""
    target_regions: tuple[TargetRegion, ...] = ()
    """Where the version is replicated to; the VM's region is added where it is missing."""
    exclude_from_latest: bool = False
    """Whether `latest` never means this version."""
    replication_mode: Literal["Full", "Shallow"] = "Full"
    """`Shallow` publishes in less than a minute, for tests: no copy, so one replica in the VM's region and no other."""
    end_of_life_date: str | None = None
    """The date from which users are warned, in RFC 3339."""

    @field_validator("end_of_life_date")
    @classmethod
    def _names_a_moment(cls, text: str | None) -> str | None:
        if text is not None:
            moment(text)
        return text

    def model_post_init(self, context: Any) -> None:
        if self.replication_mode == "Shallow" and [r.replicas for r in self.target_regions] not in ([], [1]):
            raise ValueError("with replication_mode Shallow there is one replica in one region")

    @property
    def end_of_life(self) -> datetime | None:
        """The moment from which users are warned."""
        return moment(self.end_of_life_date) if self.end_of_life_date else None

    def version_id(self, subscription: str) -> ArmId:
        """The id of the version; `subscription` counts where the template names none."""
        names = (self.gallery_name, self.image_name, self.image_version)
        types = ("galleries", "images", "versions")
        return ArmId(self.subscription or subscription, self.resource_group, "Microsoft.Compute", types, names)


_PATH = re.compile(r"(?!eyJ)(?:\.{0,2}/.*|[\w.-]+/[\w./ -]*|[\w.-]+\.(?:jwt|token|txt))")
"""What looks like a file's name and not like a token: those begin with `eyJ`, and have no slash (RFC 7515)."""


LONGEST_PATH = 4096
"""Characters; what is longer is no path, but a token."""


def is_path(client_jwt: str) -> bool:
    """Whether this names a file. What is neither sure to be a path nor a token is taken for a secret."""
    return _PATH.fullmatch(client_jwt) is not None


class Auth(Spec):
    """Who gilder is towards Azure; everything empty means the managed identity of the VM."""

    cloud_environment_name: str = "Public"
    """The cloud: Public, China or USGovernment, also in long forms such as AzureUSGovernmentCloud; with `metadata_host`, the
    name that the host gives it."""
    metadata_host: str | None = None
    """The host that describes another cloud: `https://HOST/metadata/endpoints`."""
    client_id: str | None = None
    """The application id of a service principal; alone, the client id of a user-assigned identity of the VM."""
    client_secret: str | None = Field(default=None, repr=False)
    """The service principal's secret."""
    client_cert_path: str | None = None
    """The file with the service principal's certificate and its RSA key, in PEM or PKCS#12."""
    client_cert_password: str | None = Field(default=None, repr=False)
    """What opens that file."""
    client_jwt: str | None = Field(default=None, repr=False)
    """A signed assertion in place of a secret (RFC 7523), or the path of a file with one, read again for each token."""
    object_id: str | None = None
    """Where there is no `client_id`, the object id of a user-assigned identity; else compared with what tokens say."""
    tenant_id: str | None = None
    """The tenant of the service principal and the subscription; without it, looked up from the subscription."""
    subscription_id: str | None = None
    """The subscription of a gallery that names none; without it the VM's, in which all else is made."""
    oidc_request_url: str | None = None
    """Where a CI system gives tokens for federated credentials."""
    oidc_request_token: str | None = Field(default=None, repr=False)
    """The right to ask there."""
    use_azure_cli_auth: bool = False
    """Whether the login of the Azure CLI is used, and every other option of this section ignored."""

    def differences(self, other: Auth) -> list[str]:
        """The options that make `other` another login; subscription_id is but the default of a gallery's subscription."""
        if self.use_azure_cli_auth and other.use_azure_cli_auth:
            return []  # everything else is ignored
        names = (name for name in type(self).model_fields if name != "subscription_id")
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    @property
    def secrets(self) -> dict[str, str]:
        """The values that must never be shown, by option. The path of a file with an assertion is none of them."""
        hidden = [name for name, field in type(self).model_fields.items() if not field.repr]
        found = {name: value for name in hidden if (value := getattr(self, name))}
        if is_path(found.get("client_jwt", "")):
            del found["client_jwt"]
        return found


class BuildSpec(Spec):
    """One image to build: every option of the azure-chroot builder, checked and with its defaults filled in."""

    name: str
    """The one name of this build, used everywhere."""
    auth: Auth = Auth()

    source: Source | None = None
    """What the image is built from: `publisher:offer:sku:version` (the version may be `latest`), the id of a managed disk of
    the VM's region, or the id of a gallery image version (of any subscription; `latest`; its data disks go along)."""
    from_scratch: bool = False
    """Whether to start with an empty disk; needs os_disk_size_gb and pre_mount_commands."""

    command_wrapper: Delayed | None = None
    """How commands are run on this machine; `{{.Command}}` is the command."""
    pre_mount_commands: tuple[Delayed, ...] = ()
    """Commands on this machine once the disk is attached, such as partitioning; `{{.Device}}` is the disk."""
    mount_options: tuple[str, ...] = ()
    """Options of mount(8) for the root filesystem."""
    mount_partition: str = "1"
    """The number of the root partition."""
    mount_path: Delayed | None = None
    """Where the root is mounted, seen by the build alone; `{{.Device}}` is the base name of the disk."""
    manual_mount_command: Delayed | None = None
    """Mounts the root in place of mount(8), which gets the mount path as last word; `{{.Device}}`, `{{.MountPath}}`."""
    post_mount_commands: tuple[Delayed, ...] = ()
    """Commands on this machine once the root is mounted, such as filling it; `{{.Device}}`, `{{.MountPath}}`."""
    pre_unmount_commands: tuple[Delayed, ...] = ()
    """Commands on this machine before the root is unmounted; `{{.Device}}`, `{{.MountPath}}`."""
    chroot_mounts: tuple[ChrootMount, ...] = DEFAULT_CHROOT_MOUNTS
    """What is mounted inside the root: lists of type (or `bind`), source and directory; an empty list means nothing."""
    copy_files: tuple[str, ...] = ()
    """Files of this machine that are in the root while it is provisioned; what was there comes back, unless a provisioner
    replaces, rewrites or removes such a file itself. The default is /etc/resolv.conf, and nothing with from_scratch."""
    lvm_root_device: str | None = None
    """The logical volume with the root; without it, a volume named like a root is found on a disk with LVM."""

    os_disk_size_gb: Annotated[int | None, Field(ge=1)] = None
    """Size of the OS disk in GiB, not below that of the source; without it as the source. Required with from_scratch."""
    os_disk_storage_account_type: DiskSku = DiskSku.STANDARD_LRS
    """Storage type of the temporary OS disk, and of the OS disk in a managed image."""
    os_disk_cache_type: Caching = Caching.READ_ONLY
    """Host caching of the OS disk while attached and in the image. With `ReadWrite` it is detached before it is captured."""
    data_disk_storage_account_type: DiskSku = DiskSku.STANDARD_LRS
    """Storage type of the temporary data disks, and of the data disks in a managed image."""
    data_disk_cache_type: Caching = Caching.READ_ONLY
    """Host caching of the data disks in the image."""
    image_hyperv_generation: HyperVGeneration = HyperVGeneration.V1
    """The generation of a managed image, and of a disk from scratch."""

    temporary_os_disk_id: ArmId | None = None
    """The id of the temporary OS disk, which must not exist and be in the VM's subscription; without it, one is made up."""
    temporary_os_disk_snapshot_id: ArmId | None = None
    """The id of the temporary snapshot of the OS disk, which must not exist; without it, one is made up."""
    temporary_data_disk_id_prefix: str | None = None
    """What the ids of temporary data disks begin with, followed by the LUN; none may exist."""
    temporary_data_disk_snapshot_id: str | None = None
    """What the ids of their temporary snapshots begin with, followed by the LUN; none may exist."""
    skip_cleanup: bool = False
    """Whether temporary disks and snapshots stay."""
    skip_create_image: bool = False
    """Whether to end after the provisioners, without an image."""

    image_resource_id: ArmId | None = None
    """The managed image to make; one that exists is an error unless `-force` replaces it."""
    shared_image_destination: GalleryDestination | None = None
    """The gallery image version to publish, also beside a managed image."""

    tags: dict[str, str] = Field(default_factory=dict)
    """Tags of the managed image and the image version."""
    disk_encryption_set_id: ArmId | None = None
    """The disk encryption set that encrypts temporary disks and snapshots, the managed image, and the version's replicas in
    the VM's region."""
    snapshot_incremental: bool = False
    """Whether snapshots are incremental."""
    grow_root: bool = False
    """Whether the root partition and filesystem grow to the disk's size; ext4, XFS and btrfs."""
    minimal_dev: bool = False
    """Whether the guest gets, in place of this machine's /dev, one with only null, zero, full, random, urandom, tty,
    pseudo-terminals and shm."""

    deadline: float | None = None
    """How long the build may take, from its place on the VM to its image, before it fails and is cleaned up."""
    stage_deadlines: dict[str, float] = Field(default_factory=dict)
    """How long stages may take, by the names that docs/cli.md lists for events; of those that clean up, none."""

    provisioners: tuple[Provisioner, ...] = ()
    error_cleanup_provisioner: Provisioner | None = None
    """Runs when a provisioner failed, before anything is cleaned up."""
    post_processors: tuple[tuple[PostProcessor, ...], ...] = ()
    """Chains: each runs in order, once the image is there."""
    sensitive: tuple[str, ...] = Field(default=(), repr=False)
    """Values that must never be shown."""

    def model_post_init(self, context: Any) -> None:
        if (self.source is None) != self.from_scratch:
            raise ValueError("exactly one of source and from_scratch must be given")
        if unknown := sorted(set(self.stage_deadlines) - set(LIMITED)):
            raise ValueError(f"stage_deadlines: {unknown[0]} is none of {', '.join(LIMITED)}")

    @property
    def deadlines(self) -> Deadlines:
        """How long it and its stages may take."""
        return Deadlines(self.deadline, {LIMITED[name]: seconds for name, seconds in self.stage_deadlines.items()})
