"""Tests of the tree that are members of a family: run by pytest, and counted with the cases that each goes through."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping

from attrs import frozen

from tests.command_line import ROOT
from tests.reliability.judge import Loss
from tests.reliability.results import SeedResult

_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) (\S+?)(?:\[(.*)\])?(?: - (.*))?$", re.MULTILINE)
TAIL_CHARACTERS = 2000


@frozen
class PytestMembers:
    """``cases_by_path``: how many cases each test goes through, by its file or its node without parameters.

    A seed is one of the paths.
    """

    cases_by_path: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.cases_by_path)

    async def run_seed(self, seed: int) -> SeedResult:
        path, cases = list(self.cases_by_path.items())[seed]
        arguments = ["-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-m", "", "--tb=short", path]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode("utf-8", "replace")
        found = _OUTCOME.findall(output)
        losses = [
            Loss(kind="broken", text=f"{name}[{parameters}]: {why}")
            for outcome, name, parameters, why in found
            if outcome != "PASSED"
        ]
        if process.returncode != 0 and not losses:
            losses = [Loss(kind="broken", text=f"pytest {path} ends with {process.returncode}")]
        history = (output[-TAIL_CHARACTERS:],) if losses else ()
        return SeedResult(
            tried=cases * max(1, len(found)), lost=cases * len(losses), losses=tuple(losses), history=history
        )
