"""What Azure allows in names (learn.microsoft.com, "Naming rules and restrictions for Azure resources")."""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RULES: dict[str, tuple[re.Pattern[str], str]] = {
    "image": (
        re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?"),
        "1 to 80 letters, digits, _, . and -; first a letter or digit, last a letter, digit or _",
    ),
    "gallery": (
        re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.]{0,78}[A-Za-z0-9])?"),
        "1 to 80 letters, digits, _ and .; first and last a letter or digit",
    ),
    "image definition": (
        re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9])?"),
        "1 to 80 letters, digits, _, . and -; first and last a letter or digit",
    ),
    "resource group": (
        re.compile(r"(?:[\w().-]{0,89}[\w()-])"),
        "1 to 90 letters, digits, _, -, . and parentheses; not . at the end",
    ),
    "image version": (
        re.compile(r"[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}"),
        "three whole numbers joined by dots, such as 1.0.3, each at most 2147483647",
    ),
    "subscription": (_GUID, "a GUID, such as 00000000-0000-0000-0000-000000000000"),
}
_RULES["disk"] = _RULES["snapshot"] = _RULES["image"]


def complaint(what: str, name: str) -> str | None:
    """The rule that a name breaks, or None. `what` is image, disk, snapshot, gallery, image definition …"""
    pattern, rule = _RULES[what]
    legal = pattern.fullmatch(name) is not None
    if legal and what == "image version":
        legal = all(int(part) <= 2147483647 for part in name.split("."))
    return None if legal else rule
