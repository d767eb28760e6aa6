"""What happens on a disk while it is here: mounted, provisioned, unmounted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gilder.build.plan import BuildPlan
from gilder.build.site import Site
from gilder.build.story import Story, told
from gilder.host.devices import flush, reread_partitions, wait_partition
from gilder.host.growing import grow_filesystem, grow_partition
from gilder.host.guest import Guest, copied_in, occupied, secluded
from gilder.host.lvm import activated
from gilder.host.mounts import VOLUMES, extra_mounted, mounted
from gilder.host.sandbox import Sandbox, sandbox
from gilder.model.errors import GilderError
from gilder.model.events import Stage
from gilder.model.spec import BuildSpec, Delayed
from gilder.provision.commands import run_commands
from gilder.provision.context import ProvisionContext
from gilder.provision.run import provision
from gilder.runtime.locks import Turns
from gilder.runtime.release import Ledger
from gilder.slots import Slot


@dataclass(frozen=True, slots=True)
class Job:
    """One build, and all that its steps need."""

    spec: BuildSpec
    plan: BuildPlan
    site: Site
    ledger: Ledger
    story: Story


LocalWork = Callable[[Job, Slot, Turns], Awaitable[None]]
"""Works on a disk in its slot, taking turns with others where it must; when it returns, the disk is unmounted."""

Workplace = Callable[[BuildSpec, Ledger], AbstractAsyncContextManager[LocalWork]]
"""Has for one build what its work needs while inside, before there is a disk: so it is made ready while that is attached."""


@dataclass(frozen=True, slots=True)
class Bench(Job):
    """Where a job is done, and the disk that it is done on."""

    slot: Slot
    box: Sandbox
    turns: Turns


@asynccontextmanager
async def on_this_machine(spec: BuildSpec, ledger: Ledger) -> AsyncIterator[LocalWork]:
    """Have a sandbox of this machine, in which is done what the template asks for."""
    async with sandbox(spec.name, ledger, wrapper=spec.command_wrapper) as box:

        async def in_box(job: Job, slot: Slot, turns: Turns) -> None:
            await work(Bench(job.spec, job.plan, job.site, job.ledger, job.story, slot, box, turns))

        yield in_box


async def work(bench: Bench) -> None:
    """Do what the template asks for on the disk in the slot; when this returns, the disk is unmounted."""
    spec, device = bench.spec, bench.slot.device
    await _pre_mount(bench)
    async with activated(device, bench.ledger, bench.turns, root_device=spec.lvm_root_device) as volume:
        if spec.grow_root and volume is None:
            await grow_partition(device, spec.mount_partition)
        await _mounted_work(bench, volume)


async def _pre_mount(bench: Bench) -> None:
    commands, device = bench.spec.pre_mount_commands, bench.slot.device
    if not commands:
        return

    async def run() -> None:
        for command in commands:
            await _run(bench, (command,), {"Device": device.path}, "pre_mount_commands")
            # Nobody else tells the kernel about a table that a command has just written.
            await reread_partitions(device)
        await flush(device)

    await bench.story.step(Stage.PRE_MOUNT, run, look=bench.box.enter_hint)


async def _mounted_work(bench: Bench, volume: str | None) -> None:
    spec, device, story = bench.spec, bench.slot.device, bench.story
    at = mount_path(spec, device.name)
    data = {"Device": volume or device.path, "MountPath": str(at)}
    manual = spec.manual_mount_command.render(data) if spec.manual_mount_command else None
    root_device = volume or (device.path if manual else await wait_partition(device, spec.mount_partition))
    root_mount = mounted(
        bench.box,
        root_device,
        at,
        spec.mount_options,
        ledger=bench.ledger,
        manual=manual,
        on_line=story.output,
        turns=bench.turns,
    )
    async with told(story, Stage.MOUNT, Stage.UNMOUNT, root_mount, f"{root_device} at {at}") as root:
        await story.pause(Stage.MOUNT, bench.box.enter_hint)
        if spec.grow_root:
            await grow_filesystem(bench.box, root_device, root, story.say)
        if spec.post_mount_commands:
            run = partial(_run, bench, spec.post_mount_commands, data, "post_mount_commands")
            await story.step(Stage.POST_MOUNT, run, look=bench.box.enter_hint)
        await _in_chroot(bench, Guest(bench.box, root), data)


async def _in_chroot(bench: Bench, guest: Guest, data: dict[str, str]) -> None:
    spec, story = bench.spec, bench.story
    async with told(story, Stage.CHROOT, Stage.CHROOT_LEFT, _prepared(bench, guest)):
        await story.pause(Stage.CHROOT, guest.enter_hint)
        await _provisioned(bench, guest, _context(bench, data))
        if spec.pre_unmount_commands:
            run = partial(_run, bench, spec.pre_unmount_commands, data, "pre_unmount_commands")
            await story.step(Stage.PRE_UNMOUNT, run, look=guest.enter_hint)


@asynccontextmanager
async def _prepared(bench: Bench, guest: Guest) -> AsyncIterator[None]:
    """A root that programs can be run in: with extra mounts, files of this machine, and kept from the rest of it."""
    spec, ledger, say = bench.spec, bench.ledger, bench.story.say
    async with (
        extra_mounted(guest.box, guest.root, spec.chroot_mounts, ledger, minimal_dev=spec.minimal_dev, say=say),
        copied_in(guest, spec.copy_files, ledger, say=say),
        secluded(guest, ledger, say=say),
        occupied(guest, ledger, say=say),
    ):
        yield


async def _provisioned(bench: Bench, guest: Guest, context: ProvisionContext) -> None:
    run = partial(provision, guest, bench.spec.provisioners, context)
    try:
        await bench.story.step(Stage.PROVISION, run, look=guest.enter_hint)
    except GilderError:
        if (last_word := bench.spec.error_cleanup_provisioner) is not None and bench.story.wants_last_word:
            bench.story.say("a provisioner failed: running the error-cleanup-provisioner")
            try:
                await provision(guest, [last_word], context)
            except GilderError as error:  # the first error is the one to tell
                bench.story.say(f"the error-cleanup-provisioner failed too: {error.message}")
        raise


async def _run(bench: Bench, commands: tuple[Delayed, ...], data: dict[str, str], option: str) -> None:
    await run_commands(bench.box, commands, data, _context(bench, data), where=option)


def _context(bench: Bench, data: dict[str, str]) -> ProvisionContext:
    return ProvisionContext(
        build=bench.spec.name,
        run=bench.plan.run,
        device=data["Device"],
        mount_path=Path(data.get("MountPath", "")),
        data={"SourceImageName": bench.plan.source},
        say=bench.story.say,
        on_line=bench.story.output,
        wait_for_person=bench.story.wait_for_person if bench.story.attendance.ask else None,
    )


def mount_path(spec: BuildSpec, device_name: str) -> Path:
    """Where the root filesystem is mounted, seen from this machine."""
    if spec.mount_path is None:
        return VOLUMES / device_name
    # Without links, for the kernel's table of mounts, in which it is looked up, has none.
    return Path(spec.mount_path.render({"Device": device_name})).resolve()
