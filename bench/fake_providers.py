"""Five fake providers for benchmarks: three prepaid, two that draw on a balance; a plugin for them; their process."""

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
    Hardware,
    InputField,
    Known,
    Lease,
    LeaseEntry,
    LeaseProvider,
    LeaseState,
    Login,
    MachineProfile,
    Metered,
    Money,
    MoneyInstructions,
    Offer,
    Order,
    Payment,
    PluginContext,
    Prepaid,
    Rate,
    Requirements,
    Secret,
    UnitPrice,
    Unknown,
    hookimpl,
)

PROVIDER_COUNT = 5
PREPAID_COUNT = 3
_URL_SETTINGS = (InputField(name="url", label="The provider"),)


def make_offer(number: int) -> Offer:
    price = UnitPrice(Decimal("0.01"), CNY)
    tariff = Prepaid(price=price) if number < PREPAID_COUNT else Metered(price=price)
    return Offer(key="m", provider=f"provider{number}", hardware=Hardware(gpu="T4", gpus=1), tariff=tariff)


class BenchProvider(LeaseProvider):
    """A provider with one request for the listing and one for a single lease."""

    def __init__(self, number: int, context: PluginContext) -> None:
        self._number, self._context = number, context

    async def _get_json(self, path: str) -> Any:
        return (await self._context.http.request("GET", path)).json()

    async def list_leases(self) -> Known[Lease] | Unknown:
        rows = await self._get_json("/leases")
        offer = make_offer(self._number)
        return Known(
            tuple(
                Lease(
                    id="", provider=offer.provider, offer=offer, ref=row["ref"],
                    state=LeaseState.READY, expires_at=_parse_time(row["until"]),
                )
                for row in rows
            )
        )  # fmt: skip

    async def refresh_lease(self, lease: Lease) -> Lease:
        row = await self._get_json(f"/lease/{lease.ref}")
        return evolve(lease, expires_at=_parse_time(row["until"]))

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def reserve_lease(self, order: Order) -> Lease:
        raise NotImplementedError

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise NotImplementedError

    async def release_lease(self, lease: Lease) -> Lease:
        raise NotImplementedError


class BenchWallet(BillingProvider):
    """A balance that never changes."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def get_balance(self) -> Balance:
        fen = (await self._context.http.request("GET", "/balance")).json()["fen"]
        return Balance(available=Money(int(fen), CNY), at=self._context.clock.now())

    async def get_rate(self, quote: Currency) -> Rate:
        return Rate(CNY, quote, Decimal(1), self._context.clock.now(), "identity")

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return MoneyInstructions(steps=())

    async def pay_bill(self, bill: Bill) -> Payment:
        raise NotImplementedError

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        return Known(())


class BenchAuthenticator(Authenticator):
    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        return Login(account="bench", token=Secret("none"), expires_at=None)

    async def is_valid(self, login: Login) -> bool:
        return True


def make_plugin_hooks() -> dict[str, Any]:
    """Return the hooks of a module that registers all five providers."""
    names = [f"provider{number}" for number in range(PROVIDER_COUNT)]

    @hookimpl
    def gpurent_register_auth() -> list[AuthEntry]:
        return [
            AuthEntry(name=name, summary=name, build=lambda context: BenchAuthenticator()) for name in names
        ]

    @hookimpl
    def gpurent_register_billing() -> list[BillingEntry]:
        return [
            BillingEntry(name=name, summary=name, build=BenchWallet, currency="CNY", settings=_URL_SETTINGS)
            for name in names
        ]

    @hookimpl
    def gpurent_register_lease() -> list[LeaseEntry]:
        return [
            LeaseEntry(
                name=name, summary=name, build=partial(BenchProvider, number), auth=name, billing=name,
                profile=MachineProfile(user="bench"), settings=_URL_SETTINGS,
            )
            for number, name in enumerate(names)
        ]  # fmt: skip

    hooks = (gpurent_register_auth, gpurent_register_billing, gpurent_register_lease)
    return {hook.__name__: hook for hook in hooks}


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@frozen(kw_only=True)
class BenchProviders:
    """The running providers: their leases, the settings that a client needs, the number of requests."""

    leases: tuple[Lease, ...]
    environment: Mapping[str, str]
    count_requests: Callable[[], int]


@contextlib.contextmanager
def run_providers(leases: int, now: datetime) -> Iterator[BenchProviders]:
    """Run the providers in a process of their own, with ``leases`` spread over them."""
    rented: list[list[tuple[str, str | None]]] = [[] for _index in range(PROVIDER_COUNT)]
    for number in range(leases):
        index = number % PROVIDER_COUNT
        until = now + timedelta(minutes=30 + 7 * number % 1440) if index < PREPAID_COUNT else None
        rented[index].append((f"r{number}", until.isoformat() if until else None))
    with subprocess.Popen(
        [sys.executable, "-m", "bench.fake_providers"],
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
            yield BenchProviders(
                leases=tuple(
                    _make_lease(index, ref, until, now)
                    for index in range(PROVIDER_COUNT)
                    for ref, until in rented[index]
                ),
                environment={
                    f"GPURENT_PROVIDER{index}_URL": f"http://127.0.0.1:{port}"
                    for index, port in enumerate(ports)
                },
                count_requests=lambda: sum(_fetch_request_count(port) for port in ports),
            )
        finally:
            process.terminate()


def _make_lease(index: int, ref: str, until: str | None, now: datetime) -> Lease:
    return Lease(
        id=f"provider{index}-{ref}", provider=f"provider{index}", offer=make_offer(index), ref=ref, label=ref,
        state=LeaseState.READY, endpoint=Endpoint("bench", "127.0.0.1", 1), started_at=now,
        expires_at=_parse_time(until),
    )  # fmt: skip


def _fetch_request_count(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/count")
        return int(json.loads(connection.getresponse().read())["asked"])
    finally:
        connection.close()


class _ProviderServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    lease_rows: list[tuple[str, str | None]]
    request_count = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _ProviderServer

    def do_GET(self) -> None:
        self.server.request_count += self.path != "/count"
        answer: object = {"asked": self.server.request_count}
        if self.path == "/leases":
            answer = [{"ref": ref, "until": until} for ref, until in self.server.lease_rows]
        elif self.path.startswith("/lease/"):
            answer = {"until": dict(self.server.lease_rows)[self.path.removeprefix("/lease/")]}
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
        server = _ProviderServer(("127.0.0.1", 0), _Handler)
        server.lease_rows = [tuple(row) for row in rented]
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps([server.server_port for server in servers]) + "\n")
    sys.stdout.flush()
    # Ends with its parent process.
    sys.stdin.read()


if __name__ == "__main__":
    main()
