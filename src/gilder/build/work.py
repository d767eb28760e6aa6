"""What happens on a disk while it is here: mounted, provisioned, unmounted."""

from __future__ import annotations

from pathlib import Path

from gilder.build.plan import BuildPlan
from gilder.build.story import Story, told
from gilder.host.devices import flush, reread_partitions, wait_partition
from gilder.host.guest import Guest, copied_in, occupied, services_denied
from gilder.host.mounts import VOLUMES, extra_mounted, mounted
from gilder.host.sandbox import Sandbox
from gilder.model.events import Stage
from gilder.model.spec import BuildSpec
from gilder.provision.commands import run_commands
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision
from gilder.runtime.release import Ledger
from gilder.slots import Slot


async def work(spec: BuildSpec, plan: BuildPlan, slot: Slot, box: Sandbox, ledger: Ledger, story: Story) -> None:
    """Do what the template asks for on the disk in `slot`; when this returns, the disk is unmounted."""
    device = slot.device
    at = mount_path(spec, device.name)
    context = ProvisionContext(
        build=spec.name,
        run=plan.run,
        device=device.path,
        mount_path=at,
        data={"SourceImageName": plan.source},
        say=story.say,
        on_line=story.output,
    )
    before = {"Device": device.path}
    inside = before | {"MountPath": str(at)}
    await _pre_mount(spec, slot, box, story, context, before)
    manual = spec.manual_mount_command.render(inside) if spec.manual_mount_command else None
    partition = device.path if manual else await wait_partition(device, spec.mount_partition)
    root_mount = mounted(box, partition, at, spec.mount_options, ledger=ledger, manual=manual)
    async with told(story, Stage.MOUNT, Stage.UNMOUNT, root_mount, f"{partition} at {at}") as root:
        if spec.post_mount_commands:
            with story.telling(Stage.POST_MOUNT):
                await run_commands(box, spec.post_mount_commands, inside, context, where="post_mount_commands")
        await _provisioned(spec, Guest(box, root), ledger, story, context)
        if spec.pre_unmount_commands:
            with story.telling(Stage.PRE_UNMOUNT):
                await run_commands(box, spec.pre_unmount_commands, inside, context, where="pre_unmount_commands")


async def _pre_mount(
    spec: BuildSpec, slot: Slot, box: Sandbox, story: Story, context: ProvisionContext, data: dict[str, str]
) -> None:
    if not spec.pre_mount_commands:
        return
    with story.telling(Stage.PRE_MOUNT):
        for command in spec.pre_mount_commands:
            await run_commands(box, [command], data, context, where="pre_mount_commands")
            # Nobody else tells the kernel about a table that a command has just written.
            await reread_partitions(slot.device)
        await flush(slot.device)


async def _provisioned(spec: BuildSpec, guest: Guest, ledger: Ledger, story: Story, context: ProvisionContext) -> None:
    mounts = extra_mounted(guest.box, guest.root, spec.chroot_mounts, ledger)
    async with (
        told(story, Stage.CHROOT, Stage.CHROOT_LEFT, mounts),
        copied_in(guest, spec.copy_files, ledger, say=story.say),
        services_denied(guest, ledger),
        occupied(guest, ledger),
    ):
        with story.telling(Stage.PROVISION):
            await provision(guest, spec.provisioners, context)


def mount_path(spec: BuildSpec, device_name: str) -> Path:
    """Where the root filesystem is mounted, seen from this machine."""
    if spec.mount_path is None:
        return VOLUMES / device_name
    return Path(spec.mount_path.render({"Device": device_name}))
