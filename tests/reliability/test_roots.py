"""The table of roots is true: each can still be put back into the sources, and names a family that is to catch it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.reliability.families import FAMILIES
from tests.reliability.roots.__main__ import ROOTS, find_losses
from tests.reliability.roots.root import Edit, Root, RootOutdated


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_every_root_can_be_put_back(root: Root) -> None:
    for path, text in root.edit_sources().items():
        assert text != path.read_text("utf-8")
        compile(text, str(path), "exec")
    assert root.family in FAMILIES
    assert root.seeds


def test_names_are_unique_and_there_are_enough() -> None:
    assert max(Counter(root.name for root in ROOTS).values()) == 1
    assert len(ROOTS) >= 20


@pytest.mark.parametrize("text", ["y = 1\n", "x = 1\nx = 1\n"])
def test_an_edit_whose_text_is_not_there_once_is_an_error(text: str) -> None:
    with pytest.raises(RootOutdated, match=r"core/x\.py"):
        Edit("core/x.py", "x = 1", "x = 2").put_back(text)


@pytest.mark.nightly
def test_a_root_is_caught_in_a_copy_alone() -> None:
    root = next(root for root in ROOTS if root.name == "sold-out-trip-stays-open")
    before = {path: path.read_text("utf-8") for path in root.edit_sources()}
    (loss,) = find_losses(root, root.seeds, 1)
    assert loss.seed in root.seeds
    assert {path: path.read_text("utf-8") for path in before} == before
