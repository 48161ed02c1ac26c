"""A guard beside a test: its policy, its person, and jobs that last as long as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2

from gpurent.domain.events import Event, EventKind
from gpurent.domain.trip import TripSpec
from gpurent.workflow.guard.scheduler import Guard
from gpurent.workflow.trips.operations import Service
from tests.workflow.world import World

PATIENCE = 100.0


def policy(land: World, text: str) -> None:
    """Write ``config.toml`` of the world's user."""
    state = land.home / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "config.toml").write_text(text)


@contextlib.asynccontextmanager
async def guarding(service: Service) -> AsyncIterator[Guard]:
    """A guard for ever, ended with the block; an error in it is the test's."""
    guard = Guard.of(service)
    task = asyncio.create_task(guard.forever())
    try:
        yield guard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    async with asyncio.timeout(patience):
        while not true():  # noqa: ASYNC110 - the world changes by itself
            await asyncio.sleep(0.05)


def project(tmp_path: Path, seconds: float) -> Path:
    """A job that writes a line twice a second, and what it has written so far to ``out.txt``."""
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    text = (
        "import time\n"
        "begun = time.monotonic()\n"
        f"while time.monotonic() - begun < {seconds}:\n"
        "    print(time.monotonic() - begun, flush=True)\n"
        "    open('out.txt', 'a').write('line\\n')\n"
        "    time.sleep(0.5)\n"
        "open('out.txt', 'a').write('done\\n')\n"
    )
    (folder / "train.py").write_text(text)
    return folder


def want(provider: str, folder: Path, home: Path, **more: object) -> TripSpec:
    home.mkdir(exist_ok=True)
    given: dict[str, object] = {
        "provider": provider,
        "command": ("train.py",),
        "folder": str(folder),
        "results": ("out.txt",),
        "home": str(home),
        **more,
    }
    return TripSpec(**given)  # type: ignore[arg-type]


class Payer:
    """The person who pays each page of Alipay that she is told of."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.TOP_UP:
            self.paid.append(str(event.data["amount"]))
            self.tasks.append(asyncio.create_task(self._pay(str(event.data["url"]))))

    async def _pay(self, url: str) -> None:
        async with httpx2.AsyncClient() as client:
            answer = await client.post(url.rstrip("/") + "/settle")
            assert answer.status_code < 400, answer.text
