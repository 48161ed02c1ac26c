"""The simulated chain with its client node, and users with keys and money on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from gpurent.api import ChargeKind, Known, Offer, Order, OrderKind, Requirements, Secret
from gpurent.testing.fakes import HttpFaults, MemoryState, MemoryVault
from gpurent.testing.lease_driver import LeaseDriver
from gpurent.testing.sandbox_harness import SandboxUser, SimulatorHarness, sandbox_harness
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET, Pallet, hash_extrinsic
from gpurent_plugin_dbcchain.keys import Keypair, derive_keypair, derive_seed, generate_mnemonic
from gpurent_plugin_dbcchain.plugin import NAME
from gpurent_plugin_dbcchain.provider import ChainProvider
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain
from gpurent_plugin_dbcchain.simulator.pallets import SimulatedOrder
from gpurent_plugin_dbcchain.simulator.service import DbcChainSimulator
from gpurent_plugin_dbcchain.wallet import ChainWallet

HOUR = timedelta(hours=1)
REAL_NODE = "https://rpc.example"
"""The real chain's URL in a user's settings; its calls go to the simulated one."""
Driver = LeaseDriver[ChainProvider]


def dbc_units(text: str) -> int:
    """Return an amount in the chain's smallest unit."""
    return wire.DBC.money(text).amount


async def sum_spent(driver: Driver) -> int:
    """Return what the lease cost according to the account, in the chain's smallest unit."""
    charges = (await driver.sum_charges()).items()
    return sum(-units if kind is ChargeKind.REFUND else units for kind, units in charges)


@define
class ChainUser:
    """A user with a key. `provider`, `wallet` and `make_driver` act as new processes of theirs."""

    harness: ChainHarness
    user: SandboxUser
    keypair: Keypair

    @property
    def address(self) -> str:
        return self.keypair.address

    @property
    def total_units(self) -> int:
        """Free plus reserved, according to the chain's state."""
        account = self.harness.chain.state.account(self.keypair.public)
        return account.free + account.reserved

    @property
    def ledger_units(self) -> int:
        """The balance according to the simulator's ledger."""
        lines = self.harness.simulator.list_ledger_entries()
        return sum(line.amount.amount for line in lines if line.account == self.address)

    @property
    def state(self) -> MemoryState:
        return self.user.state(NAME)

    @property
    def vault(self) -> MemoryVault:
        return self.user.vault(NAME)

    @property
    def provider(self) -> ChainProvider:
        return self.user.provider(NAME, ChainProvider)

    @property
    def wallet(self) -> ChainWallet:
        return self.user.billing(NAME, ChainWallet)

    def make_driver(self, **faults: Any) -> Driver:
        """``faults``: see `HttpFaults`."""
        return LeaseDriver(self.user, NAME, ChainProvider, faults=HttpFaults(**faults))

    async def find_offer(self, pallet: Pallet = RENT_PALLET, provider: ChainProvider | None = None) -> Offer:
        """Return the first free machine, listed by ``provider`` or by a new process."""
        found = await (provider or self.provider).list_offers(Requirements())
        assert isinstance(found, Known)
        return next(
            o for o in found.items if o.provider_data["registry"] == pallet.rpc_prefix and o.available
        )

    async def make_order(
        self, pallet: Pallet = RENT_PALLET, term: timedelta = HOUR, provider: ChainProvider | None = None
    ) -> Order:
        offer = await self.find_offer(pallet, provider)
        return Order(key="trip-main", kind=OrderKind.NEW, offer=offer, term=term, password_ref="password")


@define
class ChainHarness(SimulatorHarness):
    """The simulated chain, and all that a test may change."""

    @property
    def simulator(self) -> DbcChainSimulator:
        return self.sandbox.simulator(NAME, DbcChainSimulator)

    @property
    def chain(self) -> SimulatedChain:
        return self.simulator.chain

    @property
    def genesis(self) -> str:
        return f"0x{self.chain.get_identity().genesis.hex()}"

    async def post(self, path: str, **fields: Any) -> Any:
        return await self.sandbox.post(NAME, path, **fields)

    async def call_rpc(self, method: str, *params: Any) -> Any:
        return await self.post("/", jsonrpc="2.0", id=1, method=method, params=list(params))

    async def set_price(self, average: int) -> None:
        await self.post("/sandbox/price", average=average)

    async def make_user(self, settings: Mapping[str, str] | None = None) -> ChainUser:
        """Return a user with a new key and no money; ``settings`` are the plugin's.

        To users of `REAL_NODE`, the simulated chain is a real one.
        """
        given = dict(settings or {})
        if given.get("url") == REAL_NODE:
            given.setdefault("genesis", self.genesis)
        user = self.sandbox.user({NAME: given})
        user.redirects[REAL_NODE] = self.sandbox.simulators.urls[NAME]
        phrase = generate_mnemonic()
        user.credentials[NAME] = {"secret": phrase}
        return ChainUser(self, user, derive_keypair(Secret("0x" + derive_seed(phrase).hex())))

    async def make_funded_user(self, money: str = "5000", **settings: str) -> ChainUser:
        made = await self.make_user(settings)
        await self.post("/sandbox/faucet", address=made.address, amount=money)
        return made

    def advance_clock(self, **span: float) -> None:
        """Advance the clock; the chain catches up at its next call or tick."""
        self.clock.advance(timedelta(**span))

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))

    def seal_block(self) -> None:
        """Save the state, with changes that a test made, as that of the newest block."""
        self.chain.history.seal_block(self.chain.newest_block)

    def intercept_submit(self, monkeypatch: pytest.MonkeyPatch, is_accepted: Callable[[bytes], bool]) -> None:
        """Pass submitted extrinsics to ``is_accepted``; those it rejects are dropped but reported as accepted."""
        original = SimulatedChain.submit

        def submit(chain: SimulatedChain, body: bytes) -> str:
            return original(chain, body) if is_accepted(body) else hash_extrinsic(body)

        monkeypatch.setattr(SimulatedChain, "submit", submit)

    def list_orders(self) -> list[SimulatedOrder]:
        return list(self.chain.state.orders.values())


@asynccontextmanager
async def chain_harness(machines: int = 4, **settings: str) -> AsyncIterator[ChainHarness]:
    """Run a chain of its own; ``settings`` are the simulator's."""
    sandbox_settings = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with sandbox_harness(NAME, machines=machines, settings=sandbox_settings) as sandbox:
        yield ChainHarness(sandbox)
