"""docs/matrix.md: each of its files means what the page says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.template.reading_aids import INPUTS
from tests.template.test_schema import complaints

from gilder.cli.inspect import inspection
from gilder.runtime.redaction import Redactor
from gilder.template import load

PAGE = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```(.*?)```text\n(.*?)```", PAGE, re.DOTALL)


def test_every_file_is_followed_by_what_it_means() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == PAGE.count("```text")


@pytest.mark.parametrize(("text", "meaning"), [(text, meaning) for text, _, meaning in EXAMPLES])
def test_a_file_means_what_the_page_says(text: str, meaning: str) -> None:
    """All of its builds, in this order; of each the lines that are shown."""
    inputs = replace(INPUTS, env={"KEY": "hunter2-and-more"})
    loaded = load(text, file="matrix.yaml", inputs=inputs)
    assert loaded.diagnostics == ()
    assert complaints(text) == []
    found = iter(
        [re.sub(r"  \(matrix.yaml:\d+\)$", "", line) for line in inspection(loaded, Redactor(loaded.sensitive).text)]
    )
    for line in meaning.splitlines():
        assert any(" ".join(one.split()) == " ".join(line.split()) for one in found), line
    named = [
        line for line in meaning.splitlines() if re.fullmatch(r"[\w-]+-[\w-]+", line) and line != "post-processors"
    ]
    assert named in ([], [build.name for build in loaded.builds if build.name in named])
    if len(loaded.builds) > 1:
        assert named[0] == loaded.builds[0].name
        assert named[-1] == loaded.builds[-1].name
