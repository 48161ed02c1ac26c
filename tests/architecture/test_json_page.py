"""The pages on the JSON output and on errors list every error code, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gpurent.errors import GpurentError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "json.md").read_text("utf-8")


def errors(root: type[GpurentError]) -> Iterator[type[GpurentError]]:
    yield root
    for kind in root.__subclasses__():
        yield from errors(kind)


def test_the_page_lists_the_codes() -> None:
    listed = {
        (code, int(number)) for code, number in re.findall(r"^\| `([\w-]+)` \| (\d+) \|", PAGE, re.MULTILINE)
    }
    known = {
        (kind.code, kind.exit_code) for kind in errors(GpurentError) if kind.__module__ == "gpurent.errors"
    }
    assert listed == known


def test_the_page_on_errors_has_a_row_for_each_in_both_languages() -> None:
    english, chinese = (DOCS / "errors.md").read_text("utf-8").split("\n## 错误\n")
    known = sorted({kind.code for kind in errors(GpurentError) if kind.__module__ == "gpurent.errors"})
    for table in (english, chinese):
        rows = re.findall(r"^\| `([\w-]+)` \|([^|]+)\|([^|]+)\|([^|]+)\|$", table, re.MULTILINE)
        assert sorted(row[0] for row in rows) == known
        assert all(cell.strip() for row in rows for cell in row)
