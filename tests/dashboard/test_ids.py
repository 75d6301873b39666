"""Elements that scripts find by id are those of `dashboard.ids`."""

from __future__ import annotations

import re
from pathlib import Path

from dashboard import ids
from dashboard.components import shell

SCRIPTS = Path(ids.__file__).parent / "assets" / "js"
OWN_IDS = {"page-constants", "replay-data"}
"""Elements that are no part of Dash's layout: the JSON of the constants, and that of the offline replay."""


def test_scripts_look_for_ids_that_the_pages_have():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS.rglob("*.*js"))
    found = set(re.findall(r'getElementById\("([^"]+)"\)', text))
    found |= set(re.findall(r'querySelector\("#([\w-]+)', text)) | set(re.findall(r'closest\("#([\w-]+)', text))
    found |= set(re.findall(r'(?:plotlyElement|getApi)\("([^"]+)"\)', text))
    known = {value for name, value in vars(ids).items() if name.isupper()}
    known |= {ids.nav_link(path) for path, _ in shell.PAGES}
    assert len(found) >= 8
    assert found - known - OWN_IDS == set()
    lists = re.findall(r"const (?:CHART_IDS|HEATMAP_IDS|PAGE_CLASSES|NAVIGATION_LINKS) = [\[{]([^\]}]+)[\]}]", text)
    assert len(lists) == 4
    quoted = {name for each in lists for name in re.findall(r'"([\w-]+)"', each)}
    assert quoted == {
        *(ids.chart(index) for index in range(4)), ids.ANGLES_GRAPH, ids.LARGE_ANGLES_GRAPH, ids.RUN_PAGE,
        ids.COMPARE_PAGE, ids.RUNS_PAGE, *(ids.nav_link(path) for path, _ in shell.PAGES),
    }  # fmt: skip
