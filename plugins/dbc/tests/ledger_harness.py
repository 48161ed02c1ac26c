"""The DBC token ledger simulator, and a user with money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define

from gpurent.api import Bill, Currency, HttpResponse, Secret
from gpurent.testing.fakes import FakePluginContext, HttpFaults, ManualClock, MemoryState
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, sandbox_harness
from gpurent_plugin_dbc import plugin
from gpurent_plugin_dbc.keys import derive_address, derive_public_key, generate_private_key
from gpurent_plugin_dbc.simulator.service import DbcLedgerSimulator
from gpurent_plugin_dbc.wallet import DbcWallet

DBC = Currency("DBC", 8)
(AUTH,) = plugin.gpurent_register_auth()
(BILLING,) = plugin.gpurent_register_billing()


@define
class LedgerHarness:
    """One funded address; `make_wallet` acts as a new process."""

    sandbox: SandboxHarness
    user: SandboxUser
    key: Secret

    @property
    def address(self) -> str:
        return derive_address(derive_public_key(self.key))

    @property
    def clock(self) -> ManualClock:
        return self.sandbox.clock

    @property
    def simulator(self) -> DbcLedgerSimulator:
        return self.sandbox.simulator("dbc", DbcLedgerSimulator)

    @property
    def state(self) -> MemoryState:
        return self.user.state("dbc")

    def make_wallet(self, **faults: Any) -> DbcWallet:
        """``faults``: see `HttpFaults`."""
        return DbcWallet(FakePluginContext(BILLING, user=self.user, auth=AUTH, faults=HttpFaults(**faults)))

    async def post(self, path: str, **fields: Any) -> HttpResponse:
        return await self.sandbox.request("dbc", "POST", path, json=fields)

    async def get(self, path: str, **params: str) -> HttpResponse:
        return await self.sandbox.request("dbc", "GET", path, params=params)

    def get_balance_units(self, address: str = "") -> int:
        return self.simulator.compute_balance(address or self.address)

    def list_outgoing(self) -> list[int]:
        """Return what left the account, in minor units; the first ledger entry is the incoming money."""
        return [
            line.amount.amount
            for line in self.simulator.list_ledger_entries()
            if line.account == self.address
        ][1:]


@asynccontextmanager
async def ledger_harness(money: str = "100000") -> AsyncIterator[LedgerHarness]:
    """Run a ledger with one user who has ``money``."""
    async with sandbox_harness("dbc") as sandbox:
        made = LedgerHarness(sandbox, sandbox.user(), generate_private_key())
        made.user.credentials["dbc"] = {"private_key": made.key}
        await sandbox.post("dbc", "/sandbox/faucet", address=made.address, amount=money)
        yield made


def make_address() -> str:
    return derive_address(derive_public_key(generate_private_key()))


def make_bill(amount: str = "1984.3848", payee: str = "", key: str = "trip-main", **more: Any) -> Bill:
    return Bill(key=key, payee=payee or make_address(), amount=DBC.money(amount), **more)
