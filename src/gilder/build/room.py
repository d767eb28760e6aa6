"""Whether this VM can take one more disk, ever: waiting for a slot is right only when one may come free."""

from __future__ import annotations

from gilder.azure.machines import max_data_disks, vm_view
from gilder.build.site import Site
from gilder.model.errors import Refused


async def checked_room(site: Site) -> None:
    """Raise Refused when no data disk can be attached to this VM, now or when the builds of a gilder that works are done."""
    await site.lookups.get(("room", site.machine.id), lambda: _looked(site))


async def _looked(site: Site) -> bool:
    if await site.writer.free_luns() > 0:
        return True
    vm = await vm_view(site.arm, site.machine.id)
    most = await max_data_disks(site.arm, vm)
    if most < 1:
        raise Refused(
            f"a VM of size {vm.size} takes no data disks, and a build needs one",
            hint="resize this VM: az vm resize --size …",
        )
    if len(vm.disks) < most:
        return True
    if any(entry.leaving for entry in vm.disks) or site.writer.book.leases:
        return True
    if (held := await site.writer.held(vm)).shared:
        return True
    raise Refused(
        f"this VM is full: its size {vm.size} takes {most} data disks and it has {len(vm.disks)}, none of a gilder at work",
        hint=held.advice or "detach one (az vm disk detach), or resize this VM",
    )
