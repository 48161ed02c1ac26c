"""What the wallet needs to live: a ledger on a real socket, a client that may lose answers, notes, a clock."""

from __future__ import annotations

import asyncio
import contextlib
import json as js
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import uvicorn
from attrs import define, field, frozen

from gpurent.api import Bill, Currency, Login, Secret, SimulatorContext, UnavailableError
from gpurent_plugin_dbc.keys import address_of, new_private, public_of
from gpurent_plugin_dbc.simulator.service import DbcLedgerSimulator
from gpurent_plugin_dbc.wallet import Wallet

DBC = Currency("DBC", 8)
# Loopback only: no certificates are loaded, which takes longer than a call.
_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
START = datetime(2020, 3, 25, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process ended here."""


@define
class Hands:
    """A clock that is turned by hand."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    async def sleep(self, span: timedelta) -> None:
        self.at += span

    def turn(self, **span: int) -> None:
        self.at += timedelta(**span)


@frozen
class Answer:
    """An answer, read whole."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str] = field(factory=dict)
    cookies: Mapping[str, str] = field(factory=dict)

    def json(self) -> Any:
        return js.loads(self.text, parse_float=Decimal)


@define
class Line:
    """A real client; ``lose_request`` and ``lose_answer`` name the calls (from 1) that never get through."""

    base: str
    lose_request: int = 0
    lose_answer: int = 0
    error: type[BaseException] = UnavailableError
    calls: int = 0
    sent: list[str] = field(factory=list)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str | Secret] | None = None,
        cookies: Mapping[str, Secret] | None = None,
        json: Any = None,
        timeout: float = 30.0,
    ) -> Answer:
        self.calls += 1
        self.sent.append(f"{method} {path}")
        if self.calls == self.lose_request:
            raise self.error("the line broke")
        async with httpx2.AsyncClient(
            base_url=self.base, trust_env=False, verify=_PLAIN, timeout=timeout
        ) as client:
            found = await client.request(method, path, params=params, json=json)
        if self.calls == self.lose_answer:
            raise self.error("the line broke")
        return Answer(found.status_code, str(found.request.url), found.text)


@define
class Drawer:
    """Notes, or a vault, that dies after or before the write it is told to."""

    kept: dict[str, Any] = field(factory=dict)
    die: str = ""

    def get(self, name: str) -> Any:
        return self.kept.get(name)

    def put(self, name: str, value: Any) -> None:
        if self.die == "before":
            raise Killed
        self.kept[name] = value
        if self.die == "after":
            raise Killed

    def drop(self, name: str) -> None:
        self.kept.pop(name, None)


@define
class Seat:
    """The host as the wallet sees it."""

    http: Line
    clock: Hands
    key: Secret
    notes: Drawer = field(factory=Drawer)
    vault: Drawer = field(factory=Drawer)
    settings: dict[str, str] = field(factory=dict)
    log: logging.Logger = logging.getLogger("test")
    mail: Any = None

    async def login(self, *, renew: bool = False) -> Login:
        return Login(account=address_of(public_of(self.key)), token=self.key)

    async def ask(self, challenge: Any) -> str:
        raise AssertionError("a wallet asks nothing")


@define
class Ground:
    """A ledger with one funded address."""

    simulator: DbcLedgerSimulator
    url: str
    clock: Hands
    key: Secret
    notes: Drawer = field(factory=Drawer)

    @property
    def address(self) -> str:
        return address_of(public_of(self.key))

    def wallet(self, **line: Any) -> Wallet:
        """A fresh process's wallet: only the notes are what they were."""
        settings = {"url": self.url, "most": "500000"}
        return Wallet(self.seat(settings, **line))

    def seat(self, settings: dict[str, str], **line: Any) -> Seat:
        return Seat(
            http=Line(self.url, **line), clock=self.clock, key=self.key, notes=self.notes, settings=settings
        )

    async def post(self, path: str, **given: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=_PLAIN) as client:
            return await client.post(path, json=given)

    async def get(self, path: str, **given: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=_PLAIN) as client:
            return await client.get(path, params=given)

    def units(self, address: str = "") -> int:
        return self.simulator.balance(address or self.address)

    def outgoing(self) -> list[int]:
        return [line.amount.amount for line in self.simulator.ledger() if line.account == self.address][1:]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """``app`` on a free port of the loopback."""
    place = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False, ws="none"))
    task = asyncio.create_task(server.serve(sockets=[place]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.002)
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        place.close()


def site(clock: Hands, urls: Mapping[str, str], **settings: str) -> SimulatorContext:
    nobody: Any = None
    return SimulatorContext(
        clock=clock, machines=nobody, send_mail=nobody, urls=urls, machine_count=1, settings=settings
    )


@contextlib.asynccontextmanager
async def ground(money: str = "100000") -> AsyncIterator[Ground]:
    clock = Hands()
    simulator = DbcLedgerSimulator(site(clock, {}))
    async with served(simulator.app()) as url:
        made = Ground(simulator=simulator, url=url, clock=clock, key=new_private())
        answer = await made.post("/sandbox/faucet", address=made.address, amount=money)
        assert answer.status_code == 200
        yield made


def somebody() -> str:
    return address_of(public_of(new_private()))


def bill(amount: str = "1984.3848", payee: str = "", key: str = "trip-main", **more: Any) -> Bill:
    return Bill(key=key, payee=payee or somebody(), amount=DBC.money(amount), **more)
