"""Batches of seeds: run in several processes, with results in a file that a later run goes on with."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tests.reliability.families import FAMILIES, Family
from tests.reliability.results import SeedResult

BATCH_SEEDS = 20
SEEDS_AT_ONCE = 3
"""Histories of one process: while one waits for its provider, another uses the processor."""


@frozen(kw_only=True)
class Batch:
    """The seeds ``first`` to ``last`` of a family."""

    family: str
    first: int
    last: int


@frozen(kw_only=True)
class BatchResult:
    """What a batch found; ``losses`` has an item for each lost seed: ``seed``, ``losses`` and ``history``."""

    family: str
    first: int
    last: int
    tried: int
    lost: int
    seconds: float
    losses: Sequence[Mapping[str, Any]]


def list_batches(names: Sequence[str], share: tuple[int, int] = (1, 1)) -> list[Batch]:
    """Return the batches of a whole night, or of one of ``share[1]`` equal parts of it."""
    found = [batch for name in names for batch in _split(FAMILIES[name])]
    return found[share[0] - 1 :: share[1]]


def _split(family: Family) -> Iterator[Batch]:
    size = 1 if family.seeds_per_night < BATCH_SEEDS else BATCH_SEEDS
    for first in range(0, family.seeds_per_night, size):
        last = min(first + size, family.seeds_per_night) - 1
        yield Batch(family=family.name, first=first, last=last)


def run_batch(batch: Batch) -> BatchResult:
    """Run a batch in this process."""
    # A client that is killed leaves its requests unfinished, and every server would report that.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    started = time.monotonic()
    found = asyncio.run(_run_seeds(FAMILIES[batch.family], range(batch.first, batch.last + 1)))
    return BatchResult(
        **asdict(batch),
        tried=sum(result.tried for result in found.values()),
        lost=sum(result.lost for result in found.values()),
        seconds=round(time.monotonic() - started, 1),
        losses=[
            {"seed": seed, "losses": [str(loss) for loss in result.losses], "history": list(result.history)}
            for seed, result in found.items()
            if result.losses
        ],
    )


async def _run_seeds(family: Family, seeds: Sequence[int]) -> Mapping[int, SeedResult]:
    slots = asyncio.Semaphore(SEEDS_AT_ONCE)

    async def run(seed: int) -> SeedResult:
        async with slots:
            return await family.run_seed(seed)

    return dict(zip(seeds, await asyncio.gather(*(run(seed) for seed in seeds)), strict=True))


def run_batches(batches: Sequence[Batch], jobs: int) -> Iterator[BatchResult]:
    """Run the batches in ``jobs`` processes and yield each result as soon as it is there."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for future in as_completed([pool.submit(run_batch, batch) for batch in batches]):
            yield future.result()


@frozen
class ResultsFile:
    """A file with a line of JSON for each batch: the commit, the time, and the result.

    ``earlier``: a folder with files of the same kind, from other computers; they are only read.
    """

    path: Path
    earlier: Path | None = None

    def append(self, commit: str, result: BatchResult) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"commit": commit, "at": at, **asdict(result)}, ensure_ascii=False) + "\n")

    def read(self, commit: str) -> list[dict[str, Any]]:
        """Return the results at that commit, those of other computers first. A truncated line is ignored."""
        found = []
        for line in self._iter_lines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["commit"] == commit:
                found.append(entry)
        return found

    def _iter_lines(self) -> Iterator[str]:
        earlier = sorted(self.earlier.glob("*.jsonl")) if self.earlier is not None else []
        for path in (*earlier, self.path):
            if path.exists():
                yield from path.read_text("utf-8").splitlines()

    def list_missing(self, commit: str, batches: Sequence[Batch]) -> list[Batch]:
        """Return the batches that have no result at that commit."""
        done = {(entry["family"], entry["first"], entry["last"]) for entry in self.read(commit)}
        return [batch for batch in batches if (batch.family, batch.first, batch.last) not in done]
