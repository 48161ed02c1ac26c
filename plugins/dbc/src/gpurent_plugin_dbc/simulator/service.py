"""The DBC token ledger simulator: balances, signed transfers, blocks, a price. Every route is assumed."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
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
    UsageError,
)
from gpurent_plugin_dbc.keys import (
    check_address,
    derive_address,
    derive_public_key,
    generate_private_key,
    verify,
)
from gpurent_plugin_dbc.messages import _
from gpurent_plugin_dbc.wire import DBC, hash_body

BLOCK_TIME = timedelta(seconds=15)
TEST_MONEY = DBC.money("1000000")
# The provider's address of 2020, which receives the fee for binding an e-mail address.
PLATFORM_ADDRESS = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"
_ROUTES = (
    ("GET", "/balance", _("address -> balance")),
    ("GET", "/price", _("USD per DBC, with its time")),
    ("GET", "/transfers", _("address -> all its transfers")),
    ("GET", "/tx/{hash}", _("one transfer and its confirmations")),
    ("POST", "/transfer", _("a signed transfer; if sent twice, it counts once")),
    ("POST", "/sandbox/faucet", _("DBC as the purchase page sends it")),
    ("POST", "/sandbox/price", _("sets the price in the sandbox")),
    ("POST", "/sandbox/platform/address", _("an address of the provider")),
    ("POST", "/sandbox/platform/transfer", _("the provider sends money back")),
)


@frozen(kw_only=True)
class LedgerTransfer:
    """One transfer on the ledger; ``sender`` is empty for newly bought DBC."""

    hash: str
    sender: str
    to: str
    amount: int
    at: datetime
    memo: str
    price: str


class LedgerRefusal(Exception):
    """The ledger refuses a request; the text is its error code."""


class DbcLedgerSimulator(ProviderSimulator, SupportsFunding, SupportsAudit):
    """Simulates the DBC token ledger. Setting: price."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self._genesis_at = context.clock.now()
        self._lock = asyncio.Lock()
        self._entries: dict[str, LedgerTransfer] = {}
        self._platform_addresses: set[str] = {PLATFORM_ADDRESS}
        self._hash_by_key: dict[tuple[str, str], str] = {}
        # A price without its own time is always fresh.
        self._current_price: tuple[Decimal, datetime | None] = (
            Decimal(context.settings.get("price", "0.0026")),
            None,
        )

    def list_routes(self) -> Sequence[SimulatorRoute]:
        return tuple(
            SimulatorRoute(method=m, path=p, evidence=Evidence.ASSUMED, note=note) for m, p, note in _ROUTES
        )

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url}

    def list_billed_machines(self) -> Sequence[str]:
        return ()

    async def tick(self) -> None:
        """Do nothing: blocks follow from the clock alone."""

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        found = []
        for entry in self._entries.values():
            if entry.sender:
                found.append(self._make_ledger_entry(entry, entry.sender, -entry.amount))
            found.append(self._make_ledger_entry(entry, entry.to, entry.amount))
        return found

    def _make_ledger_entry(self, entry: LedgerTransfer, account: str, amount: int) -> SimulatorLedgerEntry:
        kind = entry.memo.partition(" ")[0] or "transfer"
        return SimulatorLedgerEntry(
            at=entry.at, account=account, kind=kind, amount=Money(amount, DBC), ref=entry.hash
        )

    def compute_balance(self, address: str) -> int:
        return sum(e.amount * ((e.to == address) - (e.sender == address)) for e in self._entries.values())

    def get_login_fields(self) -> Mapping[str, str]:
        return {}

    async def add_money(self, account: str) -> Money:
        async with self._lock:
            self._buy(check_address(account), TEST_MONEY.amount)
        return TEST_MONEY

    async def list_discrepancies(self) -> Sequence[Discrepancy]:
        """Return the payments to addresses that no provider knows; whether an order got its due is not seen here."""
        async with self._lock:
            return [
                Discrepancy(
                    kind=DiscrepancyKind.UNUSED_PAYMENT,
                    account=entry.sender,
                    ref=entry.hash,
                    amount=Money(entry.amount, DBC),
                )
                for entry in self._entries.values()
                if entry.memo == "payment" and entry.to not in self._platform_addresses
            ]

    # routes

    def get_app(self) -> Starlette:
        handlers = (
            self._get_balance,
            self._get_price,
            self._list_transfers,
            self._get_transfer,
            self._submit_transfer,
            self._fund_address,
            self._set_price,
            self._create_platform_address,
            self._send_from_platform,
        )
        pairs = zip(_ROUTES, handlers, strict=True)
        return Starlette(
            routes=[WebRoute(path, self._make_endpoint(call), methods=[m]) for (m, path, _n), call in pairs]
        )

    def _make_endpoint(self, handler: Any) -> Any:
        async def guarded(request: Request) -> Response:
            await request.body()
            async with self._lock:
                try:
                    return JSONResponse(await handler(request))
                except LedgerRefusal as why:
                    return JSONResponse({"error": str(why)}, 400)
                except (AttributeError, KeyError, ValueError, TypeError, InvalidOperation, UsageError):
                    return JSONResponse({"error": "bad request"}, 400)

        return guarded

    async def _get_balance(self, request: Request) -> Any:
        address = check_address(request.query_params["address"])
        return {"address": address, "balance": str(self.compute_balance(address))}

    async def _get_price(self, request: Request) -> Any:
        value, at = self._current_price
        return {"price": str(value), "at": (at or self._context.clock.now()).isoformat()}

    async def _set_price(self, request: Request) -> Any:
        given = await request.json()
        at = datetime.fromisoformat(given["at"]) if given.get("at") else None
        self._current_price = (Decimal(given["price"]), at)
        return {"price": given["price"]}

    async def _list_transfers(self, request: Request) -> Any:
        address = check_address(request.query_params["address"])
        return {
            "transfers": [
                self._transfer_json(e) for e in self._entries.values() if address in (e.sender, e.to)
            ]
        }

    async def _get_transfer(self, request: Request) -> Any:
        found = self._entries.get(request.path_params["hash"])
        if found is None:
            raise LedgerRefusal("unknown")
        return self._transfer_json(found)

    def _transfer_json(self, entry: LedgerTransfer) -> dict[str, Any]:
        block = (entry.at - self._genesis_at) // BLOCK_TIME
        return {
            "hash": entry.hash,
            "from": entry.sender,
            "to": entry.to,
            "amount": str(entry.amount),
            "at": entry.at.isoformat(),
            "memo": entry.memo,
            "price": entry.price,
            "block": block,
            "confirmations": (self._context.clock.now() - self._genesis_at) // BLOCK_TIME - block,
        }

    def _add_transfer(self, digest: str, sender: str, to: str, amount: int, memo: str) -> dict[str, Any]:
        if digest not in self._entries:
            if sender and self.compute_balance(sender) < amount:
                raise LedgerRefusal("insufficient")
            self._entries[digest] = LedgerTransfer(
                hash=digest,
                sender=sender,
                to=to,
                amount=amount,
                at=self._context.clock.now(),
                memo=memo,
                price=str(self._current_price[0]),
            )
        return {"hash": digest}

    async def _submit_transfer(self, request: Request) -> Any:
        given = await request.json()
        body, fields = given["body"], json.loads(given["body"])
        amount = _parse_units(fields["amount"])
        check_address(fields["to"])
        if derive_address(fields["public"]) != fields["from"] or not verify(
            fields["public"], body, given["signature"]
        ):
            raise LedgerRefusal("signature")
        digest = hash_body(body)
        if self._hash_by_key.get((fields["from"], fields["key"]), digest) != digest:
            raise LedgerRefusal("key used")
        booked = self._add_transfer(digest, fields["from"], fields["to"], amount, "payment")
        self._hash_by_key[fields["from"], fields["key"]] = digest
        return booked

    async def _fund_address(self, request: Request) -> Any:
        given = await request.json()
        amount = DBC.money(str(given["amount"])).amount
        if amount <= 0:
            raise LedgerRefusal("amount")
        return self._buy(check_address(given["address"]), amount)

    def _buy(self, address: str, amount: int) -> dict[str, Any]:
        return self._add_transfer(secrets.token_hex(32), "", address, amount, "bought")

    async def _create_platform_address(self, request: Request) -> Any:
        address = derive_address(derive_public_key(generate_private_key()))
        self._platform_addresses.add(address)
        return {"address": address}

    async def _send_from_platform(self, request: Request) -> Any:
        given = await request.json()
        if given["from"] not in self._platform_addresses:
            raise LedgerRefusal("not a shop's address")
        digest = hash_body(json.dumps([given["from"], given["key"]]))
        return self._add_transfer(
            digest, given["from"], check_address(given["to"]), _parse_units(given["amount"]), given["memo"]
        )


def _parse_units(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,24}", text) or int(text) == 0:
        raise LedgerRefusal("amount")
    return int(text)
