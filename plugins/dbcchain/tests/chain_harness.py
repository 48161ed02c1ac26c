"""The simulated chain with its client node, and users with keys and money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from gpurent.api import ChargeKind, Known, Offer, Order, OrderKind, Requirements, Secret
from gpurent.testing.fakes import FakeMachines, HttpFaults, ManualClock, MemoryState, MemoryVault
from gpurent.testing.lease_driver import LeaseDriver
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, sandbox_harness
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.extrinsic import RENT, Pallet, hash_of
from gpurent_plugin_dbcchain.keys import Pair, new_phrase, pair_of, seed_of
from gpurent_plugin_dbcchain.plugin import NAME
from gpurent_plugin_dbcchain.shop import Shop
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain
from gpurent_plugin_dbcchain.simulator.pallets import Tenancy
from gpurent_plugin_dbcchain.simulator.service import DbcChainSimulator
from gpurent_plugin_dbcchain.wallet import Wallet

HOUR = timedelta(hours=1)
REAL_NODE = "https://rpc.example"
"""Stands for the real chain in a user's settings; its calls go to the simulated one."""
Driver = LeaseDriver[Shop]


def dbc(text: str) -> int:
    """An amount in the chain's smallest unit."""
    return wire.DBC.money(text).amount


async def spent(driver: Driver) -> int:
    """What the account says the lease cost, in the chain's smallest unit."""
    charges = (await driver.charges()).items()
    return sum(-units if kind is ChargeKind.REFUND else units for kind, units in charges)


@define
class ChainUser:
    """Somebody with a key. `shop`, `wallet` and `driver` are fresh processes of theirs."""

    harness: ChainHarness
    user: SandboxUser
    pair: Pair

    @property
    def address(self) -> str:
        return self.pair.address

    @property
    def total(self) -> int:
        """Free and reserved, by the chain's state."""
        account = self.harness.chain.state.account(self.pair.public)
        return account.free + account.reserved

    @property
    def booked(self) -> int:
        """The balance, by the chain's own ledger."""
        lines = self.harness.simulator.ledger()
        return sum(line.amount.amount for line in lines if line.account == self.address)

    @property
    def notes(self) -> MemoryState:
        return self.user.state(NAME)

    @property
    def vault(self) -> MemoryVault:
        return self.user.vault(NAME)

    @property
    def shop(self) -> Shop:
        return self.user.provider(NAME, Shop)

    @property
    def wallet(self) -> Wallet:
        return self.user.billing(NAME, Wallet)

    def driver(self, **faults: Any) -> Driver:
        """``faults``: see `HttpFaults`."""
        return LeaseDriver(self.user, NAME, Shop, faults=HttpFaults(**faults))

    async def offer(self, pallet: Pallet = RENT, shop: Shop | None = None) -> Offer:
        """The first free machine, listed by ``shop`` or by a fresh process."""
        found = await (shop or self.shop).offers(Requirements())
        assert isinstance(found, Known)
        return next(o for o in found.items if o.shop["registry"] == pallet.rpc and o.free)

    async def order(self, pallet: Pallet = RENT, term: timedelta = HOUR, shop: Shop | None = None) -> Order:
        offer = await self.offer(pallet, shop)
        return Order(key="trip-main", kind=OrderKind.NEW, offer=offer, term=term, password_ref="password")


@define
class ChainHarness:
    """The sandbox's chain, and everything that a test may turn."""

    sandbox: SandboxHarness

    @property
    def clock(self) -> ManualClock:
        return self.sandbox.clock

    @property
    def machines(self) -> FakeMachines:
        return self.sandbox.machines

    @property
    def simulator(self) -> DbcChainSimulator:
        return self.sandbox.simulator(NAME, DbcChainSimulator)

    @property
    def chain(self) -> SimulatedChain:
        return self.simulator.chain

    async def post(self, path: str, **given: Any) -> Any:
        return await self.sandbox.post(NAME, path, **given)

    async def rpc(self, method: str, *params: Any) -> Any:
        return await self.post("/", jsonrpc="2.0", id=1, method=method, params=list(params))

    async def set_price(self, average: int) -> None:
        await self.post("/sandbox/price", average=average)

    async def stranger(self, settings: Mapping[str, str] | None = None) -> ChainUser:
        """Somebody with a new key and no money; ``settings`` are the plugin's."""
        user = self.sandbox.user({NAME: settings or {}})
        user.redirects[REAL_NODE] = self.sandbox.simulators.urls[NAME]
        phrase = new_phrase()
        user.credentials[NAME] = {"secret": phrase}
        return ChainUser(self, user, pair_of(Secret("0x" + seed_of(phrase).hex())))

    async def funded_user(self, money: str = "5000", **settings: str) -> ChainUser:
        made = await self.stranger(settings)
        await self.post("/sandbox/faucet", address=made.address, amount=money)
        return made

    def turn(self, **span: float) -> None:
        """Move the clock; the chain notices with its next call or tick."""
        self.clock.advance(timedelta(**span))

    async def later(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))

    def seal(self) -> None:
        """What a test changed by hand is so from now on."""
        self.chain.history.seal(self.chain.newest)

    def intercept(self, monkeypatch: pytest.MonkeyPatch, first: Callable[[bytes], bool]) -> None:
        """``first`` sees what comes into the pool; false: it is lost there, though it was said to be in."""
        honest = SimulatedChain.submit

        def submit(chain: SimulatedChain, body: bytes) -> str:
            return honest(chain, body) if first(body) else hash_of(body)

        monkeypatch.setattr(SimulatedChain, "submit", submit)

    def orders(self) -> list[Tenancy]:
        return list(self.chain.state.orders.values())


@asynccontextmanager
async def chain_harness(machines: int = 4, **settings: str) -> AsyncIterator[ChainHarness]:
    """A chain of its own; ``settings`` are the simulator's."""
    given = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with sandbox_harness(NAME, machines=machines, settings=given) as sandbox:
        yield ChainHarness(sandbox)
