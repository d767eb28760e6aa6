"""How a world comes into being: put together from its parts, and furnished when it is new."""

from __future__ import annotations

from collections.abc import Callable

from localarm import groups, plugging, vms
from localarm.actions import ACTIONS
from localarm.capture import WORK
from localarm.clock import Clock
from localarm.devices import Devices
from localarm.parts import Blobs, Images, Workshop, inline_workshop
from localarm.settings import Settings
from localarm.state import State
from localarm.world import World


def born(
    settings: Settings,
    *,
    clock: Clock,
    new_id: Callable[[], str],
    state: State,
    blobs: Blobs,
    devices: Devices,
    catalogue: Images,
    workshop: Workshop = inline_workshop,
) -> World:
    """A world with its groups and machines, as it was when it was last closed or killed."""
    world = World(
        settings, clock=clock, new_id=new_id, state=state, blobs=blobs, devices=devices, catalogue=catalogue,
        actions=ACTIONS, work=WORK, workshop=workshop,
    )  # fmt: skip
    for subscription, group, location in _groups(settings):
        group_id = f"/subscriptions/{subscription}/resourceGroups/{group}"
        if world.find(groups.KIND, group_id) is None:
            world.put(groups.made(group_id, location))
    for machine in settings.all_machines:
        subscription = machine.subscription or settings.subscription
        group_id = f"/subscriptions/{subscription}/resourceGroups/{machine.group}"
        machine_id = f"{group_id}/providers/Microsoft.Compute/virtualMachines/{machine.name}"
        if world.find(vms.KIND, machine_id) is None:
            vms.made(world, machine, settings.subscription)
    world.commit()
    world.before.clear()  # what was there from the start was never seen missing
    plugging.restore_devices(world)
    world.devices.sweep()
    world.resume()
    return world


def _groups(settings: Settings) -> list[tuple[str, str, str]]:
    own = [(settings.subscription, settings.group, settings.location)]
    machines = [
        (each.subscription or settings.subscription, each.group, each.location) for each in settings.all_machines
    ]
    return [*own, *machines, *settings.other_groups]
