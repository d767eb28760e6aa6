"""How a world comes into being: put together from its parts, and furnished when it is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localarm import groups, plugging, vms
from localarm.actions import ACTIONS
from localarm.capture import WORK
from localarm.clock import Clock
from localarm.devices import Devices
from localarm.parts import Blobs, Images, Workshop, inline_workshop
from localarm.settings import Machine, Settings
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
    """A world with its groups and machines, as it was when it was last closed or killed.

    The machine that this machine plays is always there, and its group. What else the settings name is made in a new world
    only: a machine that a client deleted would else be back after a restart.
    """
    world = World(
        settings, clock=clock, new_id=new_id, state=state, blobs=blobs, devices=devices, catalogue=catalogue,
        actions=ACTIONS, work=WORK, workshop=workshop,
    )  # fmt: skip
    is_new = not world.kinds()
    machines = settings.all_machines if is_new else settings.all_machines[:1]
    for subscription, group, location in _groups(settings, machines, settings.other_groups if is_new else ()):
        group_id = f"/subscriptions/{subscription}/resourceGroups/{group}"
        if world.find(groups.KIND, group_id) is None:
            world.put(groups.made(group_id, location))
    for machine in machines:
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


def _groups(
    settings: Settings, machines: Sequence[Machine], others: Sequence[tuple[str, str, str]]
) -> list[tuple[str, str, str]]:
    own = [(settings.subscription, settings.group, settings.location)]
    theirs = [(each.subscription or settings.subscription, each.group, each.location) for each in machines]
    return [*own, *theirs, *others]
