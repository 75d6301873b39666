"""Number formats: Python and JavaScript give the same texts for the inputs of one table."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from dashboard.components import formatting

TABLE = json.loads((Path(__file__).parents[1] / "number_formats.json").read_text(encoding="utf-8"))
NOT_JSON = {"NaN", "Infinity", "-Infinity"}


@pytest.mark.parametrize("name", TABLE)
def test_formats_are_those_of_the_table(name):
    function = getattr(formatting, name)
    given = [[float(each) if each in NOT_JSON else each for each in arguments] for arguments, _ in TABLE[name]]
    assert [function(*arguments) for arguments in given] == [text for _, text in TABLE[name]]


def test_every_format_of_both_languages_is_in_the_table():
    python = {name for name, _ in inspect.getmembers(formatting, inspect.isfunction) if name.startswith("format_")}
    script = Path(formatting.__file__).parents[1] / "assets" / "js" / "core" / "formatting.mjs"
    exported = {line.split()[2].split("(")[0] for line in script.read_text().splitlines() if line.startswith("export")}
    in_both = {name for name in python if "format" + name.removeprefix("format_").title() in exported}
    assert in_both == set(TABLE)
    assert formatting.format_files(12, 2_800_000) == "12 files (2.8 MB)"
    assert formatting.format_time("2026-01-31T12:00:30.5", seconds=True) == "2026-01-31 12:00:30"
