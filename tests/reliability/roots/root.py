"""A root of losses as edits of the source, and a copy of the tree in which it is put back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from tests.command_line import ROOT

_PARTS = ("core/gpurent", "tests", *(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/src")))


class RootOutdated(Exception):
    """The source does not contain the text that an edit replaces exactly once."""


@frozen
class Edit:
    """In the file ``path``, below the top of the tree, ``mended`` stands exactly once; the root is ``faulty``."""

    path: str
    mended: str
    faulty: str

    def put_back(self, text: str) -> str:
        """Return the file's ``text`` with the root. Raises `RootOutdated`."""
        if text.count(self.mended) != 1:
            raise RootOutdated(f"{self.path} has {self.mended!r} {text.count(self.mended)} times")
        return text.replace(self.mended, self.faulty)


@frozen(kw_only=True)
class Root:
    """A mechanism that loses something.

    ``kind``: of `docs/reliability.md`; ``family`` catches it within ``seeds``, which were found by ``--search``.
    """

    name: str
    kind: str
    summary: str
    edits: tuple[Edit, ...]
    family: str
    seeds: tuple[int, ...]

    def edit_sources(self, top: Path = ROOT) -> dict[Path, str]:
        """Return the new text of each edited file. Raises `RootOutdated`."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = top / edit.path
            texts[path] = edit.put_back(texts.get(path) or path.read_text("utf-8"))
        return texts


def copy_tree(top: Path) -> Mapping[str, str]:
    """Copy the sources and the tests to ``top``; return the environment of a process that uses the copy."""
    for part in _PARTS:
        shutil.copytree(ROOT / part, top / part, ignore=shutil.ignore_patterns("__pycache__"))
    sources = [top / "core", *(top / part for part in _PARTS if part.startswith("plugins/"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))}
