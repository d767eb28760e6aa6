"""The data-disk slots of one VM, and the only code that changes attachments."""

from gilder.slots.devices import LunDevices, SlotDevices
from gilder.slots.serving import served
from gilder.slots.slot import Disk, Slot, attached
from gilder.slots.writer import Announcement, SlotWriter

__all__ = ["Announcement", "Disk", "LunDevices", "Slot", "SlotDevices", "SlotWriter", "attached", "served"]
