"""A sandbox and applications in one event loop, for whole trips over real sockets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
from attrs import define, field

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.infra.registry import plain
from gpurent.infra.registry.registry import Registry
from gpurent.testing.sandbox.cloud import Cloud, Options
from gpurent.testing.sandbox.machines.programs import shared_farms
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_async

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"


@define
class Tally:
    """A progress that only counts."""

    files: int = 0
    size: int = 0
    moved: int = 0

    def total(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def advance(self, size: int, name: str = "") -> None:
        self.moved += size

    def file_done(self, name: str) -> None:
        pass


@define
class Watched(Tally):
    """Calls ``first`` before the first bytes are counted."""

    first: Callable[[], None] = lambda: None
    begun: bool = False

    def advance(self, size: int, name: str = "") -> None:
        if not self.begun:
            self.begun = True
            self.first()
        super().advance(size, name)


@define
class Person:
    """A user who answers from a list and remembers what was shown."""

    answers: dict[str, str] = field(factory=dict)
    events: list[Event] = field(factory=list)
    said: bytearray = field(factory=bytearray)
    agrees: bool = False
    interactive: bool = False
    watchers: list[Callable[[Event], None]] = field(factory=list)

    def show_event(self, event: Event) -> None:
        self.events.append(event)
        for watcher in list(self.watchers):
            watcher(event)

    async def confirm(self, question: Question) -> bool:
        return self.agrees

    async def ask(self, question: Question) -> str | None:
        return next((answer for part, answer in self.answers.items() if part in question.text), None)

    def show_output(self, data: bytes) -> None:
        self.said += data

    def start_progress(self, title: str) -> Tally:
        return Tally()

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


@define
class World:
    """The cloud, and how to open applications in it."""

    cloud: Cloud
    home: Path
    extra: dict[str, str] = field(factory=dict)

    def environment(self) -> Mapping[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return {**base, **self.cloud.environment(self.home / "state"), **self.extra}

    @contextlib.asynccontextmanager
    async def application(self, person: Person | None = None) -> AsyncIterator[Application]:
        self.home.mkdir(mode=0o700, exist_ok=True)
        registry = Registry.load(builtin=[plain])
        assert not registry.problems, registry.problems
        made = Application(registry, self.home / "state", self.environment(), person or Person())
        try:
            await made.start()
            yield made
        finally:
            await made.aclose()

    async def cli(self, *arguments: str, given: str = "", folder: Path | None = None) -> CommandLineResult:
        """The real command line in a process of its own."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        environment = {**self.environment(), "LANG": "C.UTF-8"}
        return await run_async(*arguments, environment=environment, folder=folder or self.home, given=given)

    def books(self, provider: str) -> Any:
        """What the provider's simulator has written down; each has its own."""
        simulator: Any = self.cloud.portals[provider]
        return simulator.books

    async def settle_alipay(self, application: Application, yuan: str) -> None:
        """Top up as the user does: the page of `topup`, then the sandbox pays it."""
        way = (await application.account_money.topup_instructions("mistgpu", Decimal(yuan))).way
        async with httpx2.AsyncClient() as client:
            answer = await client.post(way.url.rstrip("/") + "/settle")
        assert answer.status_code < 400, answer.text

    async def faucet(self, application: Application, dbc: str) -> None:
        """DBC as the purchase page would send them."""
        account = dict(application.account_commands.whoami())["1024gpu"]
        async with httpx2.AsyncClient(base_url=self.cloud.urls["dbc"]) as client:
            answer = await client.post("/sandbox/faucet", json={"address": account, "amount": dbc})
        assert answer.status_code == 200, answer.text


@contextlib.asynccontextmanager
async def world(root: Path, **options: object) -> AsyncIterator[World]:
    """A fresh world, gone at the end with everything in it."""
    given = {
        "speed": 60,
        "machines": 3,
        "driver": "embedded",
        "settings": {},
        "farms": shared_farms(),
        **options,
    }
    cloud = Cloud(root / "cloud", Registry.load(), Options(**given))  # type: ignore[arg-type]
    try:
        await cloud.start()
        yield World(cloud, root / "user")
    finally:
        await cloud.close()


def page(url: str, path: str) -> str:
    """``path`` on the server of ``url``."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


MINUTE = timedelta(minutes=1)
