"""Five fake shops for a bench: three prepaid, two that drain a balance; a plugin for them, and their process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from gpurent.api import (
    CNY,
    Authenticator,
    AuthEntry,
    Balance,
    Bill,
    BillingEntry,
    BillingProvider,
    Charge,
    Currency,
    Endpoint,
    Field,
    Hardware,
    Known,
    Lease,
    LeaseEntry,
    LeaseProvider,
    LeaseState,
    Login,
    MachineProfile,
    Metered,
    Money,
    Offer,
    Order,
    Payment,
    PluginContext,
    Prepaid,
    Rate,
    Requirements,
    Secret,
    TopUp,
    UnitPrice,
    Unknown,
    hookimpl,
)

SHOPS = 5
PREPAID = 3
_URL = (Field(name="url", label="The shop"),)


def offer_of(number: int) -> Offer:
    price = UnitPrice(Decimal("0.01"), CNY)
    tariff = Prepaid(price=price) if number < PREPAID else Metered(price=price)
    return Offer(key="m", provider=f"shop{number}", hardware=Hardware(gpu="T4", gpus=1), tariff=tariff)


class Shop(LeaseProvider):
    """One request for the listing, one for a single lease."""

    def __init__(self, number: int, host: PluginContext) -> None:
        self._number, self._host = number, host

    async def _get(self, path: str) -> Any:
        return (await self._host.http.request("GET", path)).json()

    async def leases(self) -> Known[Lease] | Unknown:
        rows = await self._get("/leases")
        offer = offer_of(self._number)
        return Known(
            tuple(
                Lease(
                    id="", provider=offer.provider, offer=offer, ref=row["ref"],
                    state=LeaseState.READY, expires_at=_time(row["until"]),
                )
                for row in rows
            )
        )  # fmt: skip

    async def refresh(self, lease: Lease) -> Lease:
        row = await self._get(f"/lease/{lease.ref}")
        return evolve(lease, expires_at=_time(row["until"]))

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def reserve(self, order: Order) -> Lease:
        raise NotImplementedError

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        raise NotImplementedError

    async def release(self, lease: Lease) -> Lease:
        raise NotImplementedError


class Wallet(BillingProvider):
    """A balance that never moves."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host

    async def balance(self) -> Balance:
        fen = (await self._host.http.request("GET", "/balance")).json()["fen"]
        return Balance(available=Money(int(fen), CNY), at=self._host.clock.now())

    async def rate(self, quote: Currency) -> Rate:
        return Rate(CNY, quote, Decimal(1), self._host.clock.now(), "identity")

    async def top_up(self, money: Money) -> TopUp:
        return TopUp(steps=())

    async def pay(self, bill: Bill) -> Payment:
        raise NotImplementedError

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        return Known(())


class Nameless(Authenticator):
    async def login(self, given: Mapping[str, Secret]) -> Login:
        return Login(account="bench", token=Secret("none"), expires_at=None)

    async def valid(self, login: Login) -> bool:
        return True


def plugin() -> dict[str, Any]:
    """The hooks of a module that brings all five shops."""
    names = [f"shop{number}" for number in range(SHOPS)]

    @hookimpl
    def gpurent_register_auth() -> list[AuthEntry]:
        return [AuthEntry(name=name, summary=name, build=lambda host: Nameless()) for name in names]

    @hookimpl
    def gpurent_register_billing() -> list[BillingEntry]:
        return [
            BillingEntry(name=name, summary=name, build=Wallet, currency="CNY", settings=_URL)
            for name in names
        ]

    @hookimpl
    def gpurent_register_lease() -> list[LeaseEntry]:
        return [
            LeaseEntry(
                name=name, summary=name, build=partial(Shop, number), auth=name, billing=name,
                profile=MachineProfile(user="bench"), settings=_URL,
            )
            for number, name in enumerate(names)
        ]  # fmt: skip

    hooks = (gpurent_register_auth, gpurent_register_billing, gpurent_register_lease)
    return {hook.__name__: hook for hook in hooks}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@frozen(kw_only=True)
class Town:
    """The running shops: what they rented out, what a client needs to find them, how often they were asked."""

    leases: tuple[Lease, ...]
    environment: Mapping[str, str]
    count: Callable[[], int]


@contextlib.contextmanager
def portals(leases: int, now: datetime) -> Iterator[Town]:
    """The shops in a process of their own, with ``leases`` spread over them."""
    rented: list[list[tuple[str, str | None]]] = [[] for _shop in range(SHOPS)]
    for number in range(leases):
        shop = number % SHOPS
        until = now + timedelta(minutes=30 + 7 * number % 1440) if shop < PREPAID else None
        rented[shop].append((f"r{number}", until.isoformat() if until else None))
    with subprocess.Popen(
        [sys.executable, "-m", "bench.shops"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(rented) + "\n")
        process.stdin.flush()
        ports: list[int] = json.loads(process.stdout.readline())
        try:
            yield Town(
                leases=tuple(
                    _lease(shop, ref, until, now) for shop in range(SHOPS) for ref, until in rented[shop]
                ),
                environment={
                    f"GPURENT_SHOP{shop}_URL": f"http://127.0.0.1:{port}" for shop, port in enumerate(ports)
                },
                count=lambda: sum(_count(port) for port in ports),
            )
        finally:
            process.terminate()


def _lease(shop: int, ref: str, until: str | None, now: datetime) -> Lease:
    return Lease(
        id=f"shop{shop}-{ref}", provider=f"shop{shop}", offer=offer_of(shop), ref=ref, label=ref,
        state=LeaseState.READY, endpoint=Endpoint("bench", "127.0.0.1", 1), started_at=now, expires_at=_time(until),
    )  # fmt: skip


def _count(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/count")
        return int(json.loads(connection.getresponse().read())["asked"])
    finally:
        connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    rented: list[tuple[str, str | None]]
    asked = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.asked += self.path != "/count"
        answer: object = {"asked": self.server.asked}
        if self.path == "/leases":
            answer = [{"ref": ref, "until": until} for ref, until in self.server.rented]
        elif self.path.startswith("/lease/"):
            answer = {"until": dict(self.server.rented)[self.path.removeprefix("/lease/")]}
        elif self.path == "/balance":
            answer = {"fen": 1_000_000}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


def main() -> None:
    from threading import Thread

    servers = []
    for rented in json.loads(sys.stdin.readline()):
        server = _Server(("127.0.0.1", 0), _Handler)
        server.rented = [tuple(row) for row in rented]
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps([server.server_port for server in servers]) + "\n")
    sys.stdout.flush()
    # Ends with its parent.
    sys.stdin.read()


if __name__ == "__main__":
    main()
