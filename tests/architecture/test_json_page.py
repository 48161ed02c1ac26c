"""The page on the JSON output lists every error code with its exit code, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gpurent.errors import GpurentError

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8")


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
