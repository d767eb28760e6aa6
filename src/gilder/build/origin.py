"""What a build starts from: looked up, and found fit to be worked on by this VM."""

from __future__ import annotations

from dataclasses import dataclass

from gilder.azure.disks import DiskSource, Empty, FromDisk, FromGalleryVersion, FromPlatformImage, disk_facts
from gilder.azure.galleries import VersionFacts, definition_facts, same_region, version_facts
from gilder.azure.images import platform_version
from gilder.build.site import Site
from gilder.model.errors import Refused
from gilder.model.ids import ArmId
from gilder.model.spec import BuildSpec, GalleryVersion, ManagedDisk, PlatformImage


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the disks of a build come from. Texts are "" and numbers 0 where Azure does not say."""

    source: DiskSource
    words: str
    """Exactly what, for people and provisioners."""
    generation: str = ""
    architecture: str = ""
    security: str = ""
    size_gb: int = 0
    data_luns: tuple[int, ...] = ()
    """The LUNs of the source's data disks; only gallery image versions have any."""
    specialized: bool = False


async def origin(spec: BuildSpec, site: Site) -> Origin:
    """Look up the source; raises Refused when it is not there or cannot be worked on here."""
    found = await _found(spec, site)
    _must_fit(found, spec, site)
    return found


async def _found(spec: BuildSpec, site: Site) -> Origin:
    match spec.source:
        case None:
            return Origin(Empty(), "scratch", spec.image_hyperv_generation.value, site.architecture)
        case PlatformImage() as image:
            return await _platform_image(image, site)
        case ManagedDisk() as disk:
            return await _disk(disk.id, site)
        case GalleryVersion() as version:
            return await _version(version.id, site)


async def _platform_image(image: PlatformImage, site: Site) -> Origin:
    here = site.machine
    found = await site.lookups.get(
        image, lambda: platform_version(site.arm, here.id.subscription, here.location, image)
    )
    _must_be_linux(str(image), found.os_type)
    return Origin(FromPlatformImage(found.id), found.id, found.generation, found.architecture, found.security)


async def _disk(disk: ArmId, site: Site) -> Origin:
    facts = await disk_facts(site.arm, disk)
    if facts is None:
        raise Refused(f"the source disk {disk} does not exist", hint="correct `source`")
    here = site.machine.location
    if not same_region(facts.location, here):
        raise Refused(
            f"the source disk {disk.name} is in {facts.location} and this VM in {here}",
            hint="a disk can be copied only within its region: use a disk here, or a gallery image version",
        )
    _must_be_linux(f"the source disk {disk.name}", facts.os_type)
    if facts.state in ("ReadyToUpload", "ActiveUpload"):
        raise Refused(
            f"the source disk {disk.name} waits for its content to be uploaded ({facts.state})",
            hint="finish the upload and end it with: az disk revoke-access",
        )
    gigabytes = facts.size_bytes // 2**30
    return Origin(FromDisk(disk), str(disk), facts.generation, facts.architecture, facts.security, gigabytes)


async def _version(version: ArmId, site: Site) -> Origin:
    facts = await site.lookups.get(version, lambda: version_facts(site.arm, version))
    if facts is None:
        what = "none that `latest` may mean" if version.name.lower() == "latest" else "not this one"
        raise Refused(
            f"the source image version {version} does not exist",
            hint=f"list what there is ({what}): az sig image-version list --help",
        )
    _must_be_usable(facts, site.machine.location)
    definition = await site.lookups.get(version.parent(), lambda: definition_facts(site.arm, version.parent()))
    if definition is None:  # versions cannot be without: it was deleted this moment
        raise Refused(f"the image definition {version.parent()} does not exist", hint="correct `source`")
    _must_be_linux(f"the source image definition {definition.id.name}", definition.os_type)
    return Origin(
        FromGalleryVersion(facts.id),
        str(facts.id),
        definition.generation,
        definition.architecture,
        definition.security,
        facts.os_disk_gb,
        facts.data_luns,
        definition.os_state.lower() == "specialized",
    )


def _must_be_usable(version: VersionFacts, here: str) -> None:
    if version.state in ("Creating", "Failed", "Deleting"):
        raise Refused(
            f"the source image version {version.id} cannot be used: its state is {version.state}",
            hint="wait until it is Succeeded, or use another version",
        )
    if not version.is_in(here):
        there = ", ".join(version.regions) or "nowhere"
        raise Refused(
            f"the source image version {version.id} is not replicated to {here}, where this VM is (it is in: {there})",
            hint=f"add {here} to its target regions: az sig image-version update --add publishingProfile.targetRegions",
        )


def _must_be_linux(what: str, os_type: str) -> None:
    if os_type and os_type.lower() != "linux":
        raise Refused(f"{what} is for {os_type}", hint="gilder builds Linux images only")


def _must_fit(found: Origin, spec: BuildSpec, site: Site) -> None:
    """What can be known of the work before it begins: that this machine can do it, and that Azure will."""
    if found.architecture and not site.runs(found.architecture):
        raise Refused(
            f"the source is for {found.architecture} and this VM is {site.architecture}: its programs do not run here",
            hint="build it on a VM of its architecture, or install qemu-user-static here",
        )
    if found.security.lower().startswith("confidentialvm") and found.security.lower() != "confidentialvmsupported":
        raise Refused(
            f"the source has the security type {found.security}: its disks are encrypted and open only in their own VM",
            hint="use a source with the security type TrustedLaunchSupported, ConfidentialVmSupported or Standard",
        )
    size = spec.os_disk_size_gb
    if size is not None and size < found.size_gb:
        raise Refused(
            f"os_disk_size_gb is {size} and the source has {found.size_gb} GiB: disks can only be enlarged",
            hint=f"write {found.size_gb} or more, or leave it out",
        )
