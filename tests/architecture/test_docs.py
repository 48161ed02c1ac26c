"""Every file and folder that the architecture page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
CORE = ROOT / "core" / "gpurent"
OLD_PATH_ROW = re.compile(r"^\| `[^|]*` \| (.*) \|$", re.MULTILINE)
BASE_FOLDERS = ("", "core/gpurent", "core/gpurent/workflow")


def find_paths(text: str) -> list[str]:
    """Return the paths in code marks; ``a/{b,c}.py`` counts as two."""
    found = []
    for part in (word for mark in re.findall(r"`([^`\n]+)`", text) for word in re.split(r",\s+", mark)):
        braced = re.fullmatch(r"(.*)\{(.*)\}(.*)", part)
        parts = [f"{braced[1]}{one}{braced[3]}" for one in braced[2].split(",")] if braced else [part]
        found += [part for part in parts if re.fullmatch(r"[\w./-]+(\.py|/)", part)]
    return found


@pytest.mark.parametrize("path", sorted(set(find_paths(PAGE.partition("## Where earlier files went")[0]))))
def test_names_on_the_page_exist(path: str) -> None:
    assert any((ROOT / base / path).exists() for base in BASE_FOLDERS), path


@pytest.mark.parametrize(
    "path",
    sorted({path for now in OLD_PATH_ROW.findall(PAGE.partition("| then |")[2]) for path in find_paths(now)}),
)
def test_new_places_of_moved_files_exist(path: str) -> None:
    assert (CORE / path).exists(), path
