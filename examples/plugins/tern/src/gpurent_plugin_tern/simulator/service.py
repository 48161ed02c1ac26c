"""Tern Cloud for the sandbox. It shares no code with the plugin, so that it cannot share a mistake."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict
from gpurent.api import (
    USD,
    Discrepancy,
    DiscrepancyKind,
    Evidence,
    Money,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    SupportsAudit,
    SupportsFunding,
    SupportsHiding,
    SupportsPaging,
    SupportsSignUp,
    UsageError,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gpurent_plugin_tern import _
from gpurent_plugin_tern.simulator.books import Account, Machine, Offer

OFFERS = (
    Offer("t4-ams", "Tesla T4", 1, 16384, 8, 32768, 100, "NL", 48),
    Offer("2xa100-fra", "A100", 2, 81920, 32, 262144, 1000, "DE", 371),
)
FUNDS = 500_00
LONGEST_PAGE = 50
LISTED_AFTER = timedelta(seconds=5)
RUNNING_AFTER = timedelta(seconds=20)
GONE_AFTER = timedelta(seconds=10)
Handler = Callable[[Account, Request], Awaitable[JSONResponse]]


class TernSimulator(
    ProviderSimulator, SupportsFunding, SupportsSignUp, SupportsHiding, SupportsPaging, SupportsAudit
):
    """An offer stands for several machines; all together are as many as the sandbox wants."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self._lock = asyncio.Lock()
        self._accounts: dict[str, Account] = {}
        self._user_token = self._open_account()
        self._hidden_until = context.clock.now()
        self._longest_page = LONGEST_PAGE
        self._stock = Counter(OFFERS[number % len(OFFERS)] for number in range(context.machine_count))
        # Method, path, handler, and what the documentation leaves open.
        self._api: Sequence[tuple[str, str, Handler, str]] = (
            ("GET", "/me", self._show_me, ""),
            ("GET", "/offers", self._list_offers, ""),
            ("POST", "/keys", self._add_key, "assumed: 409 name_taken for another key of that name"),
            (
                "POST",
                "/machines",
                self._create_machine,
                "assumed: what other machines owe does not cover the hour; 409 label_taken for a second one",
            ),
            ("GET", "/machines", self._list_machines, "assumed: late by 5 s; no ip and port until it runs"),
            ("GET", "/machines/{id}", self._show_machine, "assumed: 404 not_found; never late"),
            ("DELETE", "/machines/{id}", self._delete_machine, "assumed: gone and billed until 10 s later"),
            ("GET", "/charges", self._list_charges, "assumed: oldest first; a deposit has no machine_id"),
        )

    # what the sandbox asks

    def get_app(self) -> Starlette:
        api = [
            Route(path, self._serve(handler), methods=[method]) for method, path, handler, _note in self._api
        ]
        return Starlette(routes=[*api, Route("/billing", self._serve_billing, methods=["GET", "POST"])])

    def list_routes(self) -> Sequence[SimulatorRoute]:
        api = [
            SimulatorRoute(method=method, path=path, evidence=Evidence.DOCUMENTED, note=note)
            for method, path, _handler, note in self._api
        ]
        page = [
            SimulatorRoute(method=method, path="/billing", evidence=Evidence.ASSUMED)
            for method in ("GET", "POST")
        ]
        return [*api, *page]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "billing_page": f"{url}/billing"}

    def make_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self._user_token}

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self._open_account()}

    async def sign_up(self) -> Mapping[str, str]:
        return self.get_login_fields()

    async def add_money(self, account: str) -> Money:
        await self._deposit(account, FUNDS)
        return Money(FUNDS, USD)

    def hide_machines(self, until: datetime) -> None:
        self._hidden_until = until

    def limit_pages(self, rows: int) -> None:
        self._longest_page = rows

    def list_billed_machines(self) -> Sequence[str]:
        return [machine.id for account in self._accounts.values() for machine in account.machines]

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        lines = [
            SimulatorLedgerEntry(
                at=entry.at,
                account=account.email,
                kind=entry.kind,
                amount=Money(entry.cents, USD),
                ref=entry.machine_id or entry.id,
            )
            for account in self._accounts.values()
            for entry in account.entries
        ]
        return sorted(lines, key=lambda line: line.at)

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        found = []
        for account in self._accounts.values():
            labels: set[str] = set()
            for machine in [*account.gone, *account.machines]:
                if machine.label in labels:
                    cost = Money(machine.charged + machine.owed, USD)
                    found.append(
                        Discrepancy(
                            kind=DiscrepancyKind.DOUBLE_ORDER,
                            account=account.email,
                            ref=machine.id,
                            amount=cost,
                        )
                    )
                labels.add(machine.label)
        return found

    async def tick(self) -> None:
        async with self._lock:
            await self._catch_up()

    # the API

    def _serve(self, handler: Handler) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def serve(request: Request) -> JSONResponse:
            scheme, _space, token = request.headers.get("authorization", "").partition(" ")
            account = self._accounts.get(token)
            if scheme != "Bearer" or account is None:
                return _refuse("bad_token", 401)
            async with self._lock:
                await self._catch_up()
                try:
                    return await handler(account, request)
                except ValueError:
                    return _refuse("bad_request", 400)

        return serve

    async def _show_me(self, account: Account, request: Request) -> JSONResponse:
        return JSONResponse({"email": account.email, "balance_cents": account.balance})

    async def _list_offers(self, account: Account, request: Request) -> JSONResponse:
        rented = self._count_rented()
        rows = [{**asdict(offer), "available": self._stock[offer] - rented[offer]} for offer in self._stock]
        return JSONResponse({"offers": rows})

    async def _add_key(self, account: Account, request: Request) -> JSONResponse:
        asked = await _read_json(request)
        name, key = _get_text(asked, "name"), _get_text(asked, "public_key")
        key_id = f"k-{name}"
        status = 200 if key_id in account.keys else 201
        if account.keys.setdefault(key_id, key) != key:
            return _refuse("name_taken", 409)
        return JSONResponse({"id": key_id}, status_code=status)

    async def _create_machine(self, account: Account, request: Request) -> JSONResponse:
        asked = await _read_json(request)
        offer = next((one for one in self._stock if one.id == asked.get("offer_id")), None)
        key, label = account.keys.get(_get_text(asked, "key_id")), _get_text(asked, "label")
        if offer is None or key is None:
            return _refuse("bad_request", 400)
        if label in [machine.label for machine in account.machines]:
            return _refuse("label_taken", 409)
        if self._count_rented()[offer] >= self._stock[offer]:
            return _refuse("sold_out", 409)
        if account.credit < offer.cents_per_hour:
            return _refuse("insufficient_funds", 402)
        machine = await self._boot(offer, label, key)
        account.machines.append(machine)
        await self._catch_up()
        return JSONResponse(self._describe(machine), status_code=201)

    async def _list_machines(self, account: Account, request: Request) -> JSONResponse:
        now = self._context.clock.now()
        listed = [
            self._describe(machine)
            for machine in account.machines
            if machine.created_at + LISTED_AFTER <= now and self._hidden_until <= now
        ]
        return self._show_page("machines", listed, request)

    async def _show_machine(self, account: Account, request: Request) -> JSONResponse:
        machine = _find_machine(account, request)
        return _refuse("not_found", 404) if machine is None else JSONResponse(self._describe(machine))

    async def _delete_machine(self, account: Account, request: Request) -> JSONResponse:
        machine = _find_machine(account, request)
        if machine is None:
            return _refuse("not_found", 404)
        if machine.gone_at is None:
            machine.gone_at = self._context.clock.now() + GONE_AFTER
        return JSONResponse({}, status_code=202)

    async def _list_charges(self, account: Account, request: Request) -> JSONResponse:
        since = datetime.fromisoformat(request.query_params.get("since", "2000-01-01T00:00:00Z"))
        rows = [
            {
                "id": entry.id,
                "machine_id": entry.machine_id,
                "kind": entry.kind,
                "cents": abs(entry.cents),
                "at": _write_time(entry.at),
            }
            for entry in account.entries
            if entry.at.timestamp() >= since.timestamp()
        ]
        return self._show_page("charges", rows, request)

    def _show_page(self, name: str, rows: list[dict[str, Any]], request: Request) -> JSONResponse:
        first = int(request.query_params.get("cursor", "0"))
        last = first + self._longest_page
        return JSONResponse({name: rows[first:last], "next": str(last) if last < len(rows) else None})

    # the page on which credit is added

    async def _serve_billing(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                cents = USD.money(request.query_params.get("amount", "")).amount
                await self._deposit(request.query_params.get("account", ""), cents)
            except (UsageError, ValueError):
                return HTMLResponse("", status_code=400)
            return HTMLResponse(_("Paid."))
        page = '<form method="post"><button>{label}</button></form>'
        return HTMLResponse(page.format(label=_("Simulated payment")))

    async def _deposit(self, email: str, cents: int) -> None:
        account = next((one for one in self._accounts.values() if one.email == email), None)
        if account is None or cents <= 0:
            raise ValueError(email)
        async with self._lock:
            await self._catch_up()
            account.add("deposit", cents, self._context.clock.now())

    # accounts and machines

    def _open_account(self) -> str:
        token = secrets.token_urlsafe()
        self._accounts[token] = Account()
        return token

    def _count_rented(self) -> Counter[Offer]:
        return Counter(machine.offer for account in self._accounts.values() for machine in account.machines)

    async def _boot(self, offer: Offer, label: str, key: str) -> Machine:
        now = self._context.clock.now()
        machine = Machine(label=label, offer=offer, created_at=now, next_minute=now)
        machine.booted = await self._context.machines.boot(
            user="ubuntu", hostname=machine.id, data=f"tern-{machine.id}", authorized_keys=(key,)
        )
        return machine

    async def _catch_up(self) -> None:
        for account in self._accounts.values():
            for machine in account.catch_up(self._context.clock.now()):
                if machine.booted is not None:
                    await self._context.machines.kill(machine.booted.id)
                await self._context.machines.delete_disk(f"tern-{machine.id}")

    def _describe(self, machine: Machine) -> dict[str, Any]:
        is_running = self._context.clock.now() >= machine.created_at + RUNNING_AFTER
        state = "deleting" if machine.gone_at else "running" if is_running else "starting"
        return {
            "id": machine.id,
            "label": machine.label,
            "offer_id": machine.offer.id,
            "state": state,
            "ip": machine.booted.host if machine.booted and is_running else None,
            "port": machine.booted.port if machine.booted and is_running else None,
            "user": "ubuntu",
            "created_at": _write_time(machine.created_at),
            "cents_per_hour": machine.offer.cents_per_hour,
        }


def _find_machine(account: Account, request: Request) -> Machine | None:
    return next((one for one in account.machines if one.id == request.path_params["id"]), None)


async def _read_json(request: Request) -> Mapping[str, Any]:
    asked = json.loads(await request.body())
    return asked if isinstance(asked, dict) else {}


def _get_text(asked: Mapping[str, Any], name: str) -> str:
    text = asked.get(name)
    if not isinstance(text, str) or not text or not text.isprintable():
        raise ValueError(name)
    return text


def _write_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _refuse(error: str, status: int) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status)
