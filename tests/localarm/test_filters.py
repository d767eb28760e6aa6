"""`$filter`: what it says counts, and what is not understood is refused."""

from __future__ import annotations

import pytest
from tests.localarm.conftest import Local


@pytest.fixture
def filled(local: Local) -> Local:
    for name, tags in (("one", {"run": "7"}), ("two", {"run": "it's"}), ("three", {"other": "7"})):
        local.disk(name, tags=tags)
    return local


FOUND = {
    "tagName eq 'run'": ["one", "two"],
    "tagname EQ 'run' AND tagvalue eq '7'": ["one"],
    "tagName eq 'run' and tagValue eq 'it''s'": ["two"],
    "resourceType eq 'Microsoft.Compute/disks' and name eq 'three'": ["three"],
    "name eq 'one' and location eq 'westeurope' and resourceGroup eq 'gilder-local'": ["one"],
    "name eq 'a and b'": [],
}

REFUSED = {
    "tagName eq 'run' or name eq 'three'": 501,
    "name ne 'one'": 501,
    "substringof('o', name)": 501,
    "startswith(tagName, 'r')": 501,
    "colour eq 'red'": 400,
    "tagName eq 'run' and colour eq 'red'": 400,
    "tagName eq 'run' and": 400,
    "tagName eq 'run' name eq 'one'": 400,
    "tagName eq 'it's'": 400,
    "run": 400,
}


@pytest.mark.parametrize("text", FOUND)
def test_resources_are_found_by_what_a_filter_says(filled: Local, text: str) -> None:
    answer = filled.ask("GET", f"{filled.group}/resources?$filter={text}").payload["value"]
    assert [each["name"] for each in answer if each["name"] in ("one", "two", "three")] == FOUND[text]


@pytest.mark.parametrize("path", ["resources", "skus"])
@pytest.mark.parametrize("text", REFUSED)
def test_a_filter_that_is_not_understood_is_refused(filled: Local, text: str, path: str) -> None:
    subscription = filled.group.partition("/resourceGroups/")[0]
    where = f"{filled.group}/resources" if path == "resources" else f"{subscription}/providers/Microsoft.Compute/skus"
    assert filled.ask("GET", f"{where}?$filter={text}").status in (REFUSED[text], 400)
    if path == "resources":
        assert filled.ask("GET", f"{where}?$filter={text}").status == REFUSED[text]


def test_sizes_are_filtered_by_region(local: Local) -> None:
    subscription = local.group.partition("/resourceGroups/")[0]
    path = f"{subscription}/providers/Microsoft.Compute/skus"
    found = local.ask("GET", f"{path}?$filter=location eq 'WestEurope'").payload["value"]
    assert {each["locations"][0] for each in found} == {"westeurope"}
