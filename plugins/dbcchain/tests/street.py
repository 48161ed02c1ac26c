"""A chain on a real socket, users with keys, and a core as small as can be."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx2
import pytest
from attrs import define, evolve, field

from gpurent.api import (
    Bill,
    ChargeKind,
    Known,
    Lease,
    LeaseState,
    Login,
    Offer,
    Order,
    OrderKind,
    Payment,
    Requirements,
    Secret,
    SimulatorContext,
    UnavailableError,
)
from gpurent_plugin_dbcchain import wire
from gpurent_plugin_dbcchain.calls import RENT, Pallet
from gpurent_plugin_dbcchain.extrinsic import hash_of
from gpurent_plugin_dbcchain.keys import new_phrase, pair_of, seed_of
from gpurent_plugin_dbcchain.shop import Shop
from gpurent_plugin_dbcchain.simulator.chain import SimulatedChain
from gpurent_plugin_dbcchain.simulator.service import DbcChainSimulator
from gpurent_plugin_dbcchain.simulator.state import Tenancy
from gpurent_plugin_dbcchain.wallet import Wallet
from plugins.dbc.tests.ground import _PLAIN, Drawer, Hands, Line, served
from plugins.gpu1024.tests.world import Park

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR, MINUTE, BLOCK = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=6)
T = TypeVar("T")


def dbc(text: str) -> int:
    return wire.DBC.money(text).amount


@define
class Seat:
    """The host as the plugin sees it; chain and client node are one line, so that calls are counted through."""

    http: Line
    clock: Hands
    seed: Secret
    notes: Drawer
    vault: Drawer
    settings: dict[str, str]
    log: logging.Logger = logging.getLogger("test")
    mail: Any = None

    def at(self, setting: str) -> Line:
        assert setting == "node"
        return self.http

    async def login(self, *, renew: bool = False) -> Login:
        return Login(account=pair_of(self.seed).address, token=self.seed)

    async def ask(self, challenge: Any) -> str:
        raise AssertionError("nothing is asked")


@define
class Land:
    """The sandbox's chain and its clock."""

    simulator: DbcChainSimulator
    url: str
    clock: Hands
    park: Park

    async def post(self, path: str, **given: Any) -> Any:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=_PLAIN) as client:
            answer = await client.post(path, json=given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def rpc(self, method: str, *params: Any) -> Any:
        return await self.post("/", jsonrpc="2.0", id=1, method=method, params=list(params))

    async def price(self, average: int) -> None:
        await self.post("/sandbox/price", average=average)

    async def user(self, money: str = "5000", **settings: str) -> User:
        made = User(self, settings=settings)
        await self.post("/sandbox/faucet", address=made.address, amount=money)
        made.begin()
        return made

    def seal(self) -> None:
        """What a test changed by hand is so from now on."""
        self.simulator.chain.history.seal(self.simulator.chain.newest)

    def meddle(self, monkeypatch: pytest.MonkeyPatch, first: Callable[[bytes], bool]) -> None:
        """``first`` sees what comes into the pool; false: it is lost there, though it was said to be in."""
        honest = SimulatedChain.submit

        def submit(chain: SimulatedChain, body: bytes) -> str:
            return honest(chain, body) if first(body) else hash_of(body)

        monkeypatch.setattr(SimulatedChain, "submit", submit)

    def orders(self) -> list[Tenancy]:
        return list(self.simulator.chain.state.orders.values())

    def sums(self, user: User) -> int:
        """The account by the chain's own books."""
        return sum(line.amount.amount for line in self.simulator.ledger() if line.account == user.address)


@define
class User:
    """Somebody with a key; `begin` starts a fresh process with the same notes."""

    land: Land
    settings: dict[str, str] = field(factory=dict)
    seed: Secret = field(factory=lambda: Secret("0x" + seed_of(new_phrase()).hex()))
    notes: Drawer = field(factory=Drawer)
    vault: Drawer = field(factory=Drawer)
    line: Line = field(init=False)
    shop: Shop = field(init=False)
    wallet: Wallet = field(init=False)

    @property
    def address(self) -> str:
        return pair_of(self.seed).address

    @property
    def total(self) -> int:
        purse = self.land.simulator.chain.state.account(pair_of(self.seed).public)
        return purse.free + purse.reserved

    def begin(self, **line: Any) -> None:
        self.line = Line(self.land.url, **line)
        given = {"url": self.land.url, "node": self.land.url, **self.settings}
        seat = Seat(self.line, self.land.clock, self.seed, self.notes, self.vault, given)
        self.shop, self.wallet = Shop(seat), Wallet(seat)

    async def offer(self, pallet: Pallet = RENT, gpu: str = "") -> Offer:
        found = await self.shop.offers(Requirements(gpu=gpu))
        assert isinstance(found, Known)
        return next(
            o for o in found.items if o.shop["registry"] == pallet.rpc and o.free and gpu in o.hardware.gpu
        )

    async def order(self, pallet: Pallet = RENT, term: timedelta = HOUR, **more: Any) -> Order:
        return Order(
            key=more.pop("key", "trip-main"),
            kind=OrderKind.NEW,
            offer=await self.offer(pallet),
            term=term,
            password_ref="password",
            **more,
        )


@define
class Core:
    """What core does with a lease; every lost answer is followed by a new process that tries again."""

    user: User
    lease: Lease | None = None
    again: int = 0

    @property
    def held(self) -> Lease:
        assert self.lease is not None
        return self.lease

    async def once(self, action: Callable[[], Awaitable[T]]) -> T:
        """``action`` until it is answered."""
        while True:
            try:
                return await action()
            except UnavailableError:
                self.again += 1
                assert self.again < 5
                self.user.begin()

    async def rent(self, order: Order) -> None:
        reserved = await self.once(lambda: self.user.shop.reserve(order))
        self.lease = evolve(reserved, id="dbc-chain-x", password_ref=order.password_ref)
        await self.pay()
        await self.ready()

    async def pay(self) -> Payment:
        bill = self.bill
        self.lease = evolve(self.held, bills=(*self.held.bills, bill))
        payment = await self.once(lambda: self.user.wallet.pay(bill))
        assert payment.key == bill.key
        assert payment.amount <= bill.amount
        while self.held.pending is not None:
            self.lease = await self.once(lambda: self.user.shop.confirm(self.held, payment))
            self.user.land.clock.turn(seconds=6)
        return payment

    @property
    def bill(self) -> Bill:
        assert self.held.pending is not None
        assert self.held.pending.bill is not None
        return self.held.pending.bill

    async def ready(self) -> None:
        for _try in range(100):
            if self.held.state is LeaseState.READY:
                return
            self.lease = await self.once(lambda: self.user.shop.refresh(self.held))
            self.user.land.clock.turn(seconds=6)
        raise AssertionError(f"never ready: {self.held.note}")

    async def extend(self, term: timedelta, key: str = "trip-renew") -> Payment:
        order = self.user.shop.extension(self.held, term, key)
        answer = await self.once(lambda: self.user.shop.reserve(order))
        self.lease = evolve(self.held, pending=answer.pending)
        return await self.pay()

    async def release(self) -> None:
        for _try in range(200):
            self.lease = await self.once(lambda: self.user.shop.release(self.held))
            if self.held.over and self.held.pending is None:
                return
            self.user.land.clock.turn(seconds=6)
        raise AssertionError(f"never over: {self.held.note}")

    async def sums(self) -> dict[ChargeKind, int]:
        found = await self.user.wallet.charges(self.held)
        assert isinstance(found, Known)
        sums: dict[ChargeKind, int] = {}
        for charge in found.items:
            sums[charge.kind] = sums.get(charge.kind, 0) + charge.money.amount
        return sums

    async def spent(self) -> int:
        return sum(
            -units if kind is ChargeKind.REFUND else units for kind, units in (await self.sums()).items()
        )


@contextlib.asynccontextmanager
async def street(machines: int = 4, **settings: str) -> AsyncIterator[Land]:
    clock, park = Hands(at=START), Park()
    nobody: Any = None
    urls: dict[str, str] = {}
    simulator = DbcChainSimulator(
        SimulatorContext(
            clock=clock,
            machines=park,
            send_mail=nobody,
            urls=urls,
            machine_count=machines,
            settings=settings,
        )
    )
    async with served(simulator.app()) as url:
        yield Land(simulator=simulator, url=url, clock=clock, park=park)
