"""Devices whose users are waited for: a person should hear of it, and whom to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from gilder.host.devices import BlockDevice
from gilder.model.errors import Busy
from gilder.slots.devices import SlotDevices

_QUIETLY = 2.0
"""Seconds in which the kernel mostly takes down what a killed build had mounted."""


def telling(devices: SlotDevices, say: Callable[[str], None]) -> SlotDevices:
    """The same devices; `say` hears when one is waited for longer than a moment, and who uses it."""
    return cast("SlotDevices", _Telling(devices, say))


class _Telling:
    def __init__(self, devices: SlotDevices, say: Callable[[str], None]) -> None:
        self._devices = devices
        self._say = say

    def __getattr__(self, name: str) -> Any:
        return getattr(self._devices, name)

    async def wait_free(self, device: BlockDevice, within: float) -> None:
        """As theirs. Without a word, half a minute looked like a program that hangs."""
        quietly = min(_QUIETLY, within)
        try:
            await self._devices.wait_free(device, within=quietly)
        except Busy as busy:
            if within <= quietly:
                raise
            self._say(f"{busy.message}: waiting for it for up to {within:g} s")
            await self._devices.wait_free(device, within=within - quietly)
