"""The data-disk slots of one VM, and the only code that changes attachments."""

from gilder.slots.devices import LunDevices, SlotDevices
from gilder.slots.serving import served
from gilder.slots.slot import Disk, Place, Slot, place_for
from gilder.slots.writer import Announcement, SlotWriter

__all__ = ["Announcement", "Disk", "LunDevices", "Place", "Slot", "SlotDevices", "SlotWriter", "place_for", "served"]
