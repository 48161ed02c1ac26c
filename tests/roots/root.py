"""A root as edits of the source; what is to catch it says each of the two kinds, `FamilyRoot` and `TestedRoot`."""

from __future__ import annotations

import json
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tests.command_line import ROOT
from tests.roots.tree_copy import TreeCopy

_FAILED = re.compile(r"^FAILED (?P<test>\S+?)(?:\[.*?\])?(?: - (?P<why>.*))?$", re.MULTILINE)

FIRST_PROVIDERS = ("1024gpu", "dbc-chain", "mistgpu")


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


@frozen
class Catch:
    """What caught a root: a seed of a family, or tests; ``where`` is empty if it was not caught. ``what``: one line."""

    where: str
    what: str


@frozen(kw_only=True)
class Root(ABC):
    """A mechanism that lost something, or let somebody in. ``kind``: the finding that it belongs to."""

    name: str
    kind: str
    summary: str
    edits: tuple[Edit, ...]

    def edit_sources(self, top: Path = ROOT) -> dict[Path, str]:
        """Return the new text of each edited file. Raises `RootOutdated`."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = top / edit.path
            texts[path] = edit.put_back(texts.get(path) or path.read_text("utf-8"))
        return texts

    @property
    @abstractmethod
    def watcher(self) -> str:
        """What is to catch it, as the table shows it."""

    @abstractmethod
    def find_catch(self, tree: TreeCopy) -> Catch:
        """Return what catches the root that was put back in ``tree``."""


@frozen(kw_only=True)
class FamilyRoot(Root):
    """``kind``: of `docs/reliability.md`; ``family`` catches it within ``seeds``, which were found by ``--search``.

    ``providers``: those that the seeds were given to by turns when they were found: a new provider wears no seed out.
    """

    family: str
    seeds: tuple[int, ...]
    providers: tuple[str, ...] = FIRST_PROVIDERS

    @property
    def watcher(self) -> str:
        return self.family

    def find_catch(self, tree: TreeCopy) -> Catch:
        return next(iter(self.find_losses(tree, self.seeds, 1)), Catch("", "not caught"))

    def find_losses(self, tree: TreeCopy, seeds: Sequence[int], limit: int) -> list[Catch]:
        """Return what the seeds of the family lose with the root, of at most ``limit`` seeds."""
        command = ["-m", "tests.reliability.roots.lost_seeds", self.family, *map(str, seeds)]
        ran = tree.run_python(*command, "--limit", str(limit), "--providers", ",".join(self.providers))
        if ran.returncode:
            raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout)
        found = [json.loads(line) for line in ran.stdout.splitlines()]
        return [Catch(str(one["seed"]), "; ".join(one["losses"])) for one in found if one["losses"]]


@frozen(kw_only=True)
class TestedRoot(Root):
    """``kind``: a number of the attacks, of the losses, or of odd machines (B1 to B14).

    Each of ``tests``, by its pytest id, must fail.
    """

    __test__ = False  # no class of tests, for pytest

    tests: tuple[str, ...]

    @property
    def watcher(self) -> str:
        return ", ".join(f"`{test.rpartition('/')[2]}`" for test in self.tests)

    def find_catch(self, tree: TreeCopy) -> Catch:
        """All of the tests have to fail. One that cannot run at all, since a module is broken, has caught nothing."""
        failed = {}
        for test in self.tests:
            found = _FAILED.search(tree.run_tests(test).stdout)
            if found is None:
                return Catch("", f"not caught by {test.rpartition('::')[2]}")
            failed[found["test"].rpartition("::")[2]] = found["why"] or ""
        return Catch(", ".join(failed), next(iter(failed.values())))
