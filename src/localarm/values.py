"""Laws of single values: what a member of a request may say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from localarm.errors import gateway, invalid

CACHINGS = ("None", "ReadOnly", "ReadWrite")
DELETE_OPTIONS = ("Delete", "Detach")
CREATE_OPTIONS = ("Attach", "Empty", "FromImage", "Copy", "Restore")
DETACH_OPTIONS = ("ForceDetach",)
OS_TYPES = ("Linux", "Windows")
OS_STATES = ("Generalized", "Specialized")
GENERATIONS = ("V1", "V2")
ARCHITECTURES = ("x64", "Arm64")
REPLICATION_MODES = ("Full", "Shallow")
IMAGE_STORAGE = ("Standard_LRS", "StandardSSD_LRS", "Premium_LRS")
VERSION_STORAGE = ("Standard_LRS", "Standard_ZRS", "Premium_LRS", "PremiumV2_LRS")
MOST_REPLICAS = 100
MOST_LUNS = 64


MOST_TAGS = 50
LONGEST_TAG_NAME = 512
LONGEST_TAG = 256
_NOT_IN_TAG_NAMES = re.compile(r"[<>%&\\?/\x00-\x1f\x7f]")
_ANY_TAG_NAME = ("hidden", "link")
"""Beginnings of tag names that may have any character: the portal's own."""


def tags_lawful(tags: Mapping[str, str]) -> None:
    """A resource has at most 50 tags; names are told apart by more than their case, and have no reserved characters."""
    if len(tags) > MOST_TAGS:
        count = f"Requested tag count - '{len(tags)}'. Maximum number of tags allowed - '{MOST_TAGS}'."
        raise gateway(400, "InvalidTags", f"Too many tags specified. {count}")
    if len({name.lower() for name in tags}) < len(tags):
        raise gateway(400, "InvalidTags", "Tag names differ in more than their case.")
    for name, value in tags.items():
        if not 0 < len(name) <= LONGEST_TAG_NAME:
            raise gateway(400, "InvalidTagName", f"A tag's name has 1 to {LONGEST_TAG_NAME} characters: '{name[:99]}'.")
        if _NOT_IN_TAG_NAMES.search(name) and not name.lower().startswith(_ANY_TAG_NAME):
            raise gateway(
                400,
                "InvalidTagNameCharacters",
                f"The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters. These characters "
                "are only allowed for tags that start with the prefix 'hidden, link'.",
            )
        if len(value) > LONGEST_TAG:
            text = f"Tag value too large. Following tag value '{value[:99]}...' exceeded the maximum length."
            raise gateway(
                400,
                "InvalidTagValueLength",
                f"{text} Maximum allowed length for tag value - '{LONGEST_TAG}' characters.",
            )


def one_of(value: Any, allowed: Iterable[str], target: str) -> str:
    """A word is one of those that there are, in any case. Returns it as Azure spells it."""
    found = next((each for each in allowed if each.lower() == str(value).lower()), None)
    if found is None:
        raise invalid(target, f"The value '{value}' of parameter '{target}' is invalid.")
    return found


def luns_lawful(luns: Iterable[Any], target: str) -> None:
    """Every data disk of an image has a LUN of its own, 0 to 63."""
    seen: set[int] = set()
    for lun in luns:
        if lun is None:
            raise invalid(target, f"Required parameter '{target}' is missing (null).")
        if not 0 <= lun < MOST_LUNS:
            raise invalid(target, f"The value '{lun}' of parameter '{target}' is out of range: 0 to {MOST_LUNS - 1}.")
        if lun in seen:
            raise invalid(target, f"A disk at LUN {lun} already exists.")
        seen.add(lun)


def replicas_lawful(count: int, target: str) -> None:
    """An image version has 1 to 100 replicas in a region."""
    if not 1 <= count <= MOST_REPLICAS:
        raise invalid(target, f"The value '{count}' of parameter '{target}' is out of range: 1 to {MOST_REPLICAS}.")


def date_lawful(text: str | None, target: str) -> None:
    """An end of life is a moment (ISO 8601)."""
    if text is None:
        return
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise invalid(target, f"The value '{text}' of parameter '{target}' is no date.") from None
