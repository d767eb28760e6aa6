"""What to build, as frozen values: the options of the azure-chroot builder and of its provisioners.

Names, types and defaults follow the builder's documentation; options that gilder adds are marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from gilder.model.base import Delayed as Delayed
from gilder.model.base import Spec as Spec
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


class TargetRegion(Spec):
    """A region that a gallery image version is replicated to."""

    name: str
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    storage_account_type: ReplicaSku = ReplicaSku.STANDARD_ZRS
    disk_encryption_set_id: ArmId | None = None
    """gilder's own: encrypts the replicas of this region; None: the build's own set in the VM's region, else none."""


class GalleryDestination(Spec):
    """The gallery image version to publish."""

    subscription: str | None = None
    resource_group: str
    gallery_name: str
    image_name: str
    image_version: str
    target_regions: tuple[TargetRegion, ...] = ()
    exclude_from_latest: bool = False
    replication_mode: Literal["Full", "Shallow"] = "Full"
    """gilder's own."""
    end_of_life_date: str | None = None
    """gilder's own: RFC 3339."""

    def version_id(self, subscription: str) -> ArmId:
        """The id of the version; `subscription` counts where the template names none."""
        names = (self.gallery_name, self.image_name, self.image_version)
        types = ("galleries", "images", "versions")
        return ArmId(self.subscription or subscription, self.resource_group, "Microsoft.Compute", types, names)


class Auth(Spec):
    """Who gilder is towards Azure; everything empty means the managed identity of the VM."""

    cloud_environment_name: str = "Public"
    metadata_host: str | None = None
    client_id: str | None = None
    client_secret: str | None = Field(default=None, repr=False)
    client_cert_path: str | None = None
    client_cert_password: str | None = Field(default=None, repr=False)
    client_jwt: str | None = Field(default=None, repr=False)
    object_id: str | None = None
    tenant_id: str | None = None
    subscription_id: str | None = None
    oidc_request_url: str | None = None
    oidc_request_token: str | None = Field(default=None, repr=False)
    use_azure_cli_auth: bool = False


class BuildSpec(Spec):
    """One image to build: every option of the azure-chroot builder, checked and with its defaults filled in."""

    name: str
    """The one name of this build, used everywhere."""
    auth: Auth = Auth()

    source: Source | None = None
    """None only with `from_scratch`."""
    from_scratch: bool = False

    command_wrapper: Delayed | None = None
    """`.Command`; None: commands are run as they are."""
    pre_mount_commands: tuple[Delayed, ...] = ()
    """`.Device`."""
    mount_options: tuple[str, ...] = ()
    mount_partition: str = "1"
    mount_path: Delayed | None = None
    """`.Device` (the base name); None: /mnt/packer-amazon-chroot-volumes/{{.Device}}."""
    manual_mount_command: Delayed | None = None
    """`.Device`, `.MountPath`; the mount path is appended."""
    post_mount_commands: tuple[Delayed, ...] = ()
    """`.Device`, `.MountPath`."""
    pre_unmount_commands: tuple[Delayed, ...] = ()
    """`.Device`, `.MountPath`."""
    chroot_mounts: tuple[ChrootMount, ...] = DEFAULT_CHROOT_MOUNTS
    copy_files: tuple[str, ...] = ()
    """The template's default is /etc/resolv.conf unless `from_scratch`."""
    lvm_root_device: str | None = None

    os_disk_size_gb: int | None = None
    """GiB; None: as the source."""
    os_disk_storage_account_type: DiskSku = DiskSku.STANDARD_LRS
    os_disk_cache_type: Caching = Caching.READ_ONLY
    data_disk_storage_account_type: DiskSku = DiskSku.STANDARD_LRS
    data_disk_cache_type: Caching = Caching.READ_ONLY
    image_hyperv_generation: HyperVGeneration = HyperVGeneration.V1

    temporary_os_disk_id: ArmId | None = None
    temporary_os_disk_snapshot_id: ArmId | None = None
    temporary_data_disk_id_prefix: str | None = None
    temporary_data_disk_snapshot_id: str | None = None
    skip_cleanup: bool = False
    skip_create_image: bool = False

    image_resource_id: ArmId | None = None
    shared_image_destination: GalleryDestination | None = None

    tags: dict[str, str] = Field(default_factory=dict)
    """gilder's own: put on the resulting image."""
    disk_encryption_set_id: ArmId | None = None
    """gilder's own."""
    snapshot_incremental: bool = False
    """gilder's own."""
    grow_root: bool = False
    """gilder's own: grow the root partition and filesystem to the disk's size."""
    minimal_dev: bool = False
    """gilder's own: in place of this machine's /dev the guest gets one with only null, zero, full, random, urandom, tty,
    pseudo-terminals and shm."""

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
