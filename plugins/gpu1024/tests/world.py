"""Shop, ledger, mailbox and machines for tests: both services on real sockets, and a core as small as can be."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

from attrs import define, evolve, field, frozen

from gpurent.api import (
    Bill,
    Challenge,
    ChargeKind,
    InputRequired,
    Known,
    Lease,
    LeaseState,
    Login,
    Mail,
    Offer,
    Order,
    OrderKind,
    Payment,
    Requirements,
    Secret,
    SimulatorContext,
    UnavailableError,
)
from gpurent_plugin_dbc.keys import address_of, new_private, public_of
from gpurent_plugin_dbc.simulator.service import DbcLedgerSimulator
from gpurent_plugin_dbc.wallet import Wallet
from gpurent_plugin_gpu1024.plugin import SETTINGS
from gpurent_plugin_gpu1024.shop import Shop
from gpurent_plugin_gpu1024.simulator.service import Gpu1024Simulator
from plugins.dbc.tests.ground import DBC, Drawer, Hands, Line, served

EMAIL = "student@sandbox.example"
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
T = TypeVar("T")
_numbers = count(1)


@frozen
class Booted:
    """A machine that only has an address."""

    id: str
    host: str
    port: int


@define
class Park:
    """Remembers what was booted, killed and erased."""

    alive: dict[str, dict[str, Any]] = field(factory=dict)
    erased: list[str] = field(factory=list)
    disks: set[str] = field(factory=set)
    broken: int = 0

    async def boot(self, **given: Any) -> Booted:
        if self.broken:
            self.broken -= 1
            raise OSError("no room")
        if any(other["data"] == given["data"] for other in self.alive.values()):
            raise AssertionError(f"two machines on the disk {given['data']}")
        number = next(_numbers)
        self.disks.add(given["data"])
        self.alive[f"m{number}"] = {**given, "port": 20000 + number}
        return Booted(f"m{number}", "127.0.0.1", 20000 + number)

    async def kill(self, machine_id: str) -> None:
        self.alive.pop(machine_id, None)

    async def erase(self, data: str) -> None:
        self.erased.append(data)
        self.disks.discard(data)


@define
class PostOffice:
    """One mailbox. ``spoil`` may change a mail on its way."""

    clock: Hands
    mails: list[Mail] = field(factory=list)
    available: bool = True
    spoil: Callable[[Mail], Mail | None] | None = None

    async def send(self, *, to: str, sender: str, subject: str, text: str) -> None:
        if to == EMAIL:
            self.put(sender, subject, text)

    def put(self, sender: str, subject: str, text: str) -> None:
        at = self.clock.now().replace(microsecond=0)
        mail: Mail | None = Mail(uid=str(len(self.mails)), at=at, sender=sender, subject=subject, text=text)
        if self.spoil is not None and mail is not None:
            mail = self.spoil(mail)
        if mail is not None:
            self.mails.append(mail)

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        floor = since.replace(microsecond=0)
        return [m for m in self.mails if m.sender == sender and m.at >= floor and subject in m.subject]


@define
class Seat:
    """The host as one plugin sees it."""

    http: Line
    clock: Hands
    key: Secret
    mail: PostOffice
    notes: Drawer
    vault: Drawer
    settings: dict[str, str]
    person: str = ""
    log: logging.Logger = logging.getLogger("test")
    asked: list[Challenge] = field(factory=list)

    async def login(self, *, renew: bool = False) -> Login:
        return Login(account=address_of(public_of(self.key)), token=self.key)

    async def ask(self, challenge: Challenge) -> str:
        self.asked.append(challenge)
        if self.mail.available:
            found = await self.mail.search(
                since=challenge.since, sender=challenge.sender, subject=challenge.subject
            )
            for mail in reversed(found):
                lines = [re.fullmatch(challenge.pattern, line.strip()) for line in mail.text.splitlines()]
                answers = {match[1] for match in lines if match}
                if len(answers) == 1:
                    return answers.pop()
        match = re.fullmatch(challenge.pattern, self.person)
        if match is None:
            raise InputRequired(challenge.question)
        return match[1]


@define
class User:
    """One wallet with its notes and vault; processes of his come and go."""

    world: World
    key: Secret = field(factory=new_private)
    shop_notes: Drawer = field(factory=Drawer)
    wallet_notes: Drawer = field(factory=Drawer)
    vault: Drawer = field(factory=Drawer)
    person: str = ""
    line: Line = field(init=False)
    pay_line: Line = field(init=False)
    shop: Shop = field(init=False)
    wallet: Wallet = field(init=False)
    seat: Seat = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.begin()

    @property
    def address(self) -> str:
        return address_of(public_of(self.key))

    @property
    def units(self) -> int:
        return self.world.ledger.balance(self.address)

    def begin(self, **line: Any) -> None:
        """A new process: only notes, vault and what was journaled are what they were."""
        world = self.world
        self.line = Line(world.urls["1024gpu"], **line)
        self.pay_line = Line(world.urls["dbc"])
        settings = {declared.name: declared.default for declared in SETTINGS}
        self.seat = Seat(
            http=self.line,
            clock=world.clock,
            key=self.key,
            mail=world.post,
            notes=self.shop_notes,
            vault=self.vault,
            settings={**settings, "url": world.urls["1024gpu"]},
            person=self.person,
        )
        self.shop = Shop(self.seat)
        paying = evolve(
            self.seat,
            http=self.pay_line,
            notes=self.wallet_notes,
            settings={"url": world.urls["dbc"], "most": "500000"},
        )
        self.wallet = Wallet(paying)

    async def top_up(self, amount: str = "100000") -> None:
        async with self.world.call("dbc") as line:
            given = {"address": self.address, "amount": amount}
            assert (await line.request("POST", "/sandbox/faucet", json=given)).status == 200

    async def bind(self) -> None:
        binding = await self.shop.request_binding(EMAIL, f"bind-{self.address}")
        assert binding.bill is not None
        payment = await self.wallet.pay(binding.bill)
        while not (binding := await self.shop.bind(binding, payment)).done:
            self.world.clock.turn(seconds=15)

    async def offer(self, gpu: str = "2080Ti", *, cpu: bool = False) -> Offer:
        found = await self.shop.offers(Requirements(gpu=gpu, cpu_only=cpu))
        assert isinstance(found, Known)
        return next(o for o in found.items if o.free and (cpu or o.hardware.gpu == gpu))

    async def order(self, kind: OrderKind = OrderKind.NEW, **more: Any) -> Order:
        if "offer" not in more:
            more["offer"] = await self.offer()
        key = f"trip-{next(_numbers)}"
        return Order(**{"key": key, "kind": kind, "term": DAY, "password_ref": "password", **more})


@define
class Core:
    """What core does with an order, journaled: every step may be lost and is then done again by a new process."""

    user: User
    lease: Lease | None = None
    payments: dict[str, Payment] = field(factory=dict)
    bills: dict[str, Bill] = field(factory=dict)
    again: int = 0

    async def once(self, make: Callable[[], Awaitable[T]]) -> T:
        """``make``, and once more by a new process when the line broke under it."""
        try:
            return await make()
        except UnavailableError:
            self.again += 1
            self.user.begin()
            return await make()

    @property
    def held(self) -> Lease:
        assert self.lease is not None
        return self.lease

    async def reserve(self, order: Order) -> None:
        onto = self.lease.ref if self.lease is not None else ""
        answer = await self.once(lambda: self.user.shop.reserve(evolve(order, onto=onto)))
        if self.lease is None:
            self.lease = evolve(answer, id="lease", label=order.key, password_ref=order.password_ref)
        else:
            self.lease = evolve(self.lease, pending=answer.pending)

    async def look(self) -> Lease:
        self.lease = await self.once(lambda: self.user.shop.refresh(self.held))
        return self.lease

    async def bill(self, steps: int = 40) -> Bill:
        for _step in range(steps):
            pending = self.held.pending
            assert pending is not None, self.held.note
            if pending.bill is not None:
                self.lease = evolve(self.held, bills=(*self.held.bills, pending.bill))
                return pending.bill
            self.user.world.clock.turn(seconds=6)
            await self.look()
        raise AssertionError(f"never payable: {self.held}")

    async def pay(self, bill: Bill) -> Payment:
        return await self.once(lambda: self.user.wallet.pay(bill))

    async def confirm(self, payment: Payment, steps: int = 60) -> None:
        for _step in range(steps):
            self.lease = await self.once(lambda: self.user.shop.confirm(self.held, payment))
            if self.held.pending is None:
                return
            self.user.world.clock.turn(seconds=6)
        raise AssertionError(f"never confirmed: {self.held}")

    async def ready(self, steps: int = 60) -> Lease:
        for _step in range(steps):
            if self.held.state is LeaseState.READY and self.held.endpoint is not None:
                return self.held
            self.user.world.clock.turn(seconds=6)
            await self.look()
        raise AssertionError(f"never ready: {self.held}")

    async def run(self, order: Order) -> Lease:
        """The whole way of one order, to a machine that is ours."""
        await self.reserve(order)
        await self.confirm(await self.pay(await self.bill()))
        return self.held if order.kind is OrderKind.EXTEND else await self.ready()

    async def extend(self, term: timedelta) -> Lease:
        order = self.user.shop.extension(self.held, term, f"more-{next(_numbers)}")
        return await self.run(order)

    async def release(self, steps: int = 60) -> Lease:
        for _step in range(steps):
            self.lease = await self.once(lambda: self.user.shop.release(self.held))
            if self.lease.over and self.lease.pending is None:
                return self.lease
            self.user.world.clock.turn(seconds=6)
            await self.look()
        raise AssertionError(f"never over: {self.held}")

    async def charges(self) -> dict[ChargeKind, int]:
        found = await self.user.wallet.charges(self.held)
        assert isinstance(found, Known)
        sums: dict[ChargeKind, int] = {}
        for charge in found.items:
            sums[charge.kind] = sums.get(charge.kind, 0) + charge.money.amount
        return sums


@define
class World:
    """Everything that is outside."""

    clock: Hands
    park: Park
    post: PostOffice
    ledger: DbcLedgerSimulator
    cloud: Gpu1024Simulator
    urls: dict[str, str]

    @contextlib.asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[Line]:
        yield Line(self.urls[name])

    async def user(self) -> User:
        """Somebody with money and a bound address."""
        made = User(self)
        await made.top_up()
        await made.bind()
        return made

    async def ask(self, path: str, **given: str) -> Any:
        """One call of the web API as a stranger would make it."""
        common = {"user_name_platform": "1024lab", "language": "CN"}
        answer = await Line(self.urls["1024gpu"]).request("POST", path, params={**given, **common})
        assert answer.status == 200, answer.text
        return answer.json()

    def orders(self, user: User) -> list[Any]:
        return [o for o in self.cloud.books.orders.values() if o.wallet == user.address and o.created]

    def agree(self) -> None:
        """The shop's books are the chain's, to the last unit, for every wallet that it knows."""
        shop: dict[tuple[str, int], int] = {}
        chain: dict[tuple[str, int], int] = {}
        wallets = {line.account for line in self.cloud.ledger()}
        for line in self.cloud.ledger():
            key = (line.account, line.amount.amount)
            shop[key] = shop.get(key, 0) + 1
        for line in self.ledger.ledger():
            if line.account in wallets and line.kind != "bought":
                key = (line.account, line.amount.amount)
                chain[key] = chain.get(key, 0) + 1
        assert shop == chain


@contextlib.asynccontextmanager
async def world(machines: int = 4, **settings: str) -> AsyncIterator[World]:
    clock, park, urls = Hands(), Park(), dict[str, str]()
    post = PostOffice(clock)

    def site(given: dict[str, str]) -> SimulatorContext:
        return SimulatorContext(
            clock=clock, machines=park, send_mail=post.send, urls=urls, machine_count=machines, settings=given
        )

    ledger, cloud = DbcLedgerSimulator(site({})), Gpu1024Simulator(site(settings))
    async with served(ledger.app()) as urls["dbc"], served(cloud.app()) as urls["1024gpu"]:
        yield World(clock=clock, park=park, post=post, ledger=ledger, cloud=cloud, urls=urls)


def dbc(text: str) -> int:
    return DBC.money(Decimal(text)).amount
