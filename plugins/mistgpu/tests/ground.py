"""The simulator on a real socket, a clock set by hand, a host over real HTTP; machines only note their boots."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field

from gpurent.api import AuthError, Challenge, Login, Secret, SimulatorContext
from gpurent.infra.http import HttpClient
from gpurent.infra.redact import Redactor
from gpurent.testing.sandbox.web import WebServer
from gpurent_plugin_mistgpu.auth import FormLogin
from gpurent_plugin_mistgpu.billing import Account
from gpurent_plugin_mistgpu.shop import Shop
from gpurent_plugin_mistgpu.simulator.service import MistgpuSimulator


@define
class HandClock:
    """Stands still until it is set."""

    at: datetime = datetime(2020, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, span: timedelta) -> None:
        self.at += span


@define
class Booted:
    id: str
    port: int
    host: str = "127.0.0.1"


@define
class Machines:
    """Notes boots, kills and erased disks."""

    on: dict[str, str] = field(factory=dict)
    erased: list[str] = field(factory=list)
    count: int = 0
    stops: dict[str, Any] = field(factory=dict)

    async def boot(self, *, data: str, on_stop: Any = None, **spec: Any) -> Booted:
        assert data not in self.on.values(), "one machine a disk"
        self.count += 1
        made = Booted(f"m{self.count}", 10000 + self.count)
        self.on[made.id] = data
        self.stops[made.id] = on_stop
        return made

    async def kill(self, machine_id: str) -> None:
        self.on.pop(machine_id, None)

    async def erase(self, data: str) -> None:
        self.erased.append(data)


class Box(dict[str, Any]):
    """Vault and notes in one."""

    def get(self, name: str) -> Any:  # type: ignore[override]
        return dict.get(self, name)

    def put(self, name: str, value: Any) -> None:
        self[name] = value

    def drop(self, name: str) -> None:
        self.pop(name, None)


@define
class FixtureHost:
    """A `Host` over one real HTTP client."""

    http: HttpClient
    clock: HandClock
    settings: Mapping[str, str]
    vault: Box = field(factory=Box)
    notes: Box = field(factory=Box)
    mail: Any = None
    log: logging.Logger = logging.getLogger("test")
    password: str = "student-pass"
    current: Login | None = None

    async def login(self, *, renew: bool = False) -> Login:
        if self.current is None or renew:
            given = {"username": Secret("student"), "password": Secret(self.password)}
            self.current = await FormLogin(self).login(given)
        return self.current

    async def ask(self, challenge: Challenge) -> str:
        raise AuthError("nobody asks here")


@define
class Ground:
    """Everything of one test."""

    simulator: MistgpuSimulator
    machines: Machines
    clock: HandClock
    host: FixtureHost
    url: str

    @property
    def shop(self) -> Shop:
        return Shop(self.host)

    @property
    def account(self) -> Account:
        return Account(self.host)

    async def pay_in(self, yuan: str) -> None:
        """Top up as the user does."""
        from gpurent.api import CNY

        way = await self.account.top_up(CNY.money(yuan))
        path = way.url.removeprefix(self.url)
        answer = await self.host.http.request("POST", f"{path}/settle")
        assert answer.status == 200

    async def later(self, span: timedelta) -> None:
        self.clock.at += span
        await self.simulator.tick()


@contextlib.asynccontextmanager
async def ground(**settings: str) -> AsyncIterator[Ground]:
    clock, machines = HandClock(), Machines()
    site = SimulatorContext(
        clock=clock,
        machines=machines,
        send_mail=None,  # type: ignore[arg-type]
        urls={},
        machine_count=4,
        settings=settings,
    )
    simulator = MistgpuSimulator(site)
    server = WebServer(simulator.app())
    await server.start()
    given = {"url": server.url, "assumed": "yes"}
    client = HttpClient(server.url, redact=Redactor(), log=logging.getLogger("test"))
    try:
        yield Ground(simulator, machines, clock, FixtureHost(client, clock, given), server.url)
    finally:
        await client.aclose()
        await server.close()
