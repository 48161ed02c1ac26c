"""The sandbox's DBC ledger: balances, signed transfers, blocks, a price. Every route is assumed."""

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
    Evidence,
    Money,
    ProviderSimulator,
    Route,
    SimulatorContext,
    SimulatorLedgerEntry,
    UsageError,
)
from gpurent_plugin_dbc.keys import address_of, check_address, new_private, public_of, verify
from gpurent_plugin_dbc.wire import DBC, hash_of

BLOCK = timedelta(seconds=15)
# The platform's address of 2020, which receives the fee of a mail binding.
PLATFORM = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"
_PATHS = (
    ("GET", "/balance", "address -> balance"),
    ("GET", "/price", "USD per DBC, with its time"),
    ("GET", "/transfers", "address -> all its transfers"),
    ("GET", "/tx/{hash}", "one transfer and its confirmations"),
    ("POST", "/transfer", "a signed transfer; sent twice it counts once"),
    ("POST", "/sandbox/faucet", "DBC as the purchase page sends them"),
    ("POST", "/sandbox/price", "set the price"),
    ("POST", "/sandbox/platform/address", "an address of a shop's"),
    ("POST", "/sandbox/platform/transfer", "a shop sends money back"),
)


@frozen(kw_only=True)
class LedgerTransfer:
    """One transfer on the ledger; ``sender`` empty: newly bought."""

    hash: str
    sender: str
    to: str
    amount: int
    at: datetime
    memo: str
    price: str


class LedgerRefusal(Exception):
    """The ledger says no; the text is its error code."""


class DbcLedgerSimulator(ProviderSimulator):
    """Setting: price."""

    def __init__(self, site: SimulatorContext) -> None:
        self._site = site
        self._genesis = site.clock.now()
        self._lock = asyncio.Lock()
        self._entries: dict[str, LedgerTransfer] = {}
        self._platform: set[str] = {PLATFORM}
        self._keys: dict[tuple[str, str], str] = {}
        # Without a time of its own the price is always fresh.
        self._priced: tuple[Decimal, datetime | None] = (Decimal(site.settings.get("price", "0.0026")), None)

    def routes(self) -> Sequence[Route]:
        return tuple(Route(method=m, path=p, evidence=Evidence.ASSUMED, note=note) for m, p, note in _PATHS)

    def environment(self, url: str) -> Mapping[str, str]:
        return {"url": url}

    def burning(self) -> Sequence[str]:
        return ()

    async def tick(self) -> None:
        """Blocks follow from the clock alone."""

    def ledger(self) -> Sequence[SimulatorLedgerEntry]:
        found = []
        for entry in self._entries.values():
            if entry.sender:
                found.append(self._line(entry, entry.sender, -entry.amount))
            found.append(self._line(entry, entry.to, entry.amount))
        return found

    def _line(self, entry: LedgerTransfer, account: str, amount: int) -> SimulatorLedgerEntry:
        kind = entry.memo.partition(" ")[0] or "transfer"
        return SimulatorLedgerEntry(
            at=entry.at, account=account, kind=kind, amount=Money(amount, DBC), ref=entry.hash
        )

    def balance(self, address: str) -> int:
        return sum(e.amount * ((e.to == address) - (e.sender == address)) for e in self._entries.values())

    # routes

    def app(self) -> Starlette:
        handlers = (
            self._balance,
            self._get_price,
            self._transfers,
            self._tx,
            self._transfer,
            self._faucet,
            self._set_price,
            self._platform_address,
            self._platform_transfer,
        )
        pairs = zip(_PATHS, handlers, strict=True)
        return Starlette(
            routes=[WebRoute(path, self._guarded(call), methods=[m]) for (m, path, _n), call in pairs]
        )

    def _guarded(self, handler: Any) -> Any:
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

    async def _balance(self, request: Request) -> Any:
        address = check_address(request.query_params["address"])
        return {"address": address, "balance": str(self.balance(address))}

    async def _get_price(self, request: Request) -> Any:
        value, at = self._priced
        return {"price": str(value), "at": (at or self._site.clock.now()).isoformat()}

    async def _set_price(self, request: Request) -> Any:
        given = await request.json()
        at = datetime.fromisoformat(given["at"]) if given.get("at") else None
        self._priced = (Decimal(given["price"]), at)
        return {"price": given["price"]}

    async def _transfers(self, request: Request) -> Any:
        address = check_address(request.query_params["address"])
        return {"transfers": [self._shown(e) for e in self._entries.values() if address in (e.sender, e.to)]}

    async def _tx(self, request: Request) -> Any:
        found = self._entries.get(request.path_params["hash"])
        if found is None:
            raise LedgerRefusal("unknown")
        return self._shown(found)

    def _shown(self, entry: LedgerTransfer) -> dict[str, Any]:
        block = (entry.at - self._genesis) // BLOCK
        return {
            "hash": entry.hash,
            "from": entry.sender,
            "to": entry.to,
            "amount": str(entry.amount),
            "at": entry.at.isoformat(),
            "memo": entry.memo,
            "price": entry.price,
            "block": block,
            "confirmations": (self._site.clock.now() - self._genesis) // BLOCK - block,
        }

    def _book(self, digest: str, sender: str, to: str, amount: int, memo: str) -> dict[str, Any]:
        if digest not in self._entries:
            if sender and self.balance(sender) < amount:
                raise LedgerRefusal("insufficient")
            self._entries[digest] = LedgerTransfer(
                hash=digest,
                sender=sender,
                to=to,
                amount=amount,
                at=self._site.clock.now(),
                memo=memo,
                price=str(self._priced[0]),
            )
        return {"hash": digest}

    async def _transfer(self, request: Request) -> Any:
        given = await request.json()
        body, fields = given["body"], json.loads(given["body"])
        amount = _units(fields["amount"])
        check_address(fields["to"])
        if address_of(fields["public"]) != fields["from"] or not verify(
            fields["public"], body, given["signature"]
        ):
            raise LedgerRefusal("signature")
        digest = hash_of(body)
        if self._keys.get((fields["from"], fields["key"]), digest) != digest:
            raise LedgerRefusal("key used")
        booked = self._book(digest, fields["from"], fields["to"], amount, "payment")
        self._keys[fields["from"], fields["key"]] = digest
        return booked

    async def _faucet(self, request: Request) -> Any:
        given = await request.json()
        amount = DBC.money(str(given["amount"])).amount
        if amount <= 0:
            raise LedgerRefusal("amount")
        return self._book(secrets.token_hex(32), "", check_address(given["address"]), amount, "bought")

    async def _platform_address(self, request: Request) -> Any:
        address = address_of(public_of(new_private()))
        self._platform.add(address)
        return {"address": address}

    async def _platform_transfer(self, request: Request) -> Any:
        given = await request.json()
        if given["from"] not in self._platform:
            raise LedgerRefusal("not a shop's address")
        digest = hash_of(json.dumps([given["from"], given["key"]]))
        return self._book(
            digest, given["from"], check_address(given["to"]), _units(given["amount"]), given["memo"]
        )


def _units(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,24}", text) or int(text) == 0:
        raise LedgerRefusal("amount")
    return int(text)
