"""The state of the MISTGPU simulator: accounts, servers, minutes, money. Without HTTP.

Assumed: each started minute is billed at its beginning; n minutes cost floor(price x n / 60) in total. From the wiki:
servers are shut down at once when the balance reaches 0; files are kept for 15 days after a shutdown.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta

from attrs import define, field

from gpurent.api import CNY, Money, SandboxMachine, SimulatorContext, SimulatorLedgerEntry, UsageError

MINUTE = timedelta(minutes=1)
FILE_RETENTION = timedelta(days=15)
MIN_INVOICE = 20_000
MODELS = (
    ("Titan RTX", 350),
    ("2080Ti", 300),
    ("P100", 400),
    ("V100", 550),
    ("RTX 3090", 600),
)


@define
class RentalMachine:
    """A rentable machine: ``price`` in fen per hour; ``user`` is who rents it now."""

    id: str
    model: str
    price: int
    user: str = ""


@define
class ServerRun:
    """One run of a server: ``minutes`` started so far, ``paid`` fen for them."""

    started_at: datetime
    price: int
    minutes: int = 0
    paid: int = 0
    ended_at: datetime | None = None

    def next_minute_at(self) -> datetime:
        return self.started_at + self.minutes * MINUTE

    def next_cost(self) -> int:
        return self.price * (self.minutes + 1) // 60 - self.price * self.minutes // 60


@define
class RentedServer:
    """A user's server on a machine; ``data`` is the key of its disk."""

    id: str
    user: str
    machine: RentalMachine
    data: str
    runs: list[ServerRun] = field(factory=list)
    sandbox_machine: SandboxMachine | None = None
    note: str = ""

    @property
    def running(self) -> bool:
        return bool(self.runs) and self.runs[-1].ended_at is None

    @property
    def kept_until(self) -> datetime | None:
        ended = self.runs[-1].ended_at if self.runs else None
        return ended + FILE_RETENTION if ended else None


@define
class InvoiceRequest:
    """One invoice request, for ``fen`` of the money spent."""

    number: str
    title: str
    fen: int


@define
class MistgpuAccount:
    """An account: balance in fen, ``spent`` in total."""

    name: str
    password: str
    balance: int = 0
    spent: int = 0
    invoices: list[InvoiceRequest] = field(factory=list)


@define
class MistgpuTopUp:
    """One Alipay payment page."""

    id: str
    account: str
    amount: int
    settled_at: datetime | None = None


class MistgpuRefusal(Exception):
    """The simulator refuses a request, in the provider's own words."""


class MistgpuState:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        password = context.settings.get("password", "")
        # The user's books outlive a sandbox: the account of another one must not be taken for this one.
        own_name = "student" if password else f"student-{secrets.token_hex(2)}"
        name, password = context.settings.get("username", own_name), password or secrets.token_urlsafe(12)
        self.accounts = {name: MistgpuAccount(name, password)}
        free = int(context.settings.get("free", context.machine_count))
        taken = int(context.settings.get("taken", "1"))
        self.machines = {}
        for number in range(free + taken):
            model, price = MODELS[number % len(MODELS)]
            user = "somebody" if number >= free else ""
            self.machines[f"{number + 28:06}"] = RentalMachine(f"{number + 28:06}", model, price, user)
        self.servers: dict[str, RentedServer] = {}
        self.erased_servers: list[RentedServer] = []
        self.top_ups: dict[str, MistgpuTopUp] = {}
        self.ledger: list[SimulatorLedgerEntry] = []
        self._unposted_usage: dict[str, tuple[datetime, int]] = {}
        self._last_server_number = 100

    def add_ledger_entry(self, at: datetime, account: str, kind: str, fen: int, ref: str) -> None:
        self.ledger.append(
            SimulatorLedgerEntry(at=at, account=account, kind=kind, amount=Money(fen, CNY), ref=ref)
        )

    def list_servers(self, user: str) -> list[RentedServer]:
        return [server for server in self.servers.values() if server.user == user]

    def list_billed_servers(self, user: str) -> list[RentedServer]:
        """Return the user's servers including deleted ones, since a bill outlives its server."""
        return [server for server in (*self.erased_servers, *self.servers.values()) if server.user == user]

    # time

    async def catch_up(self) -> None:
        """Bill minute by minute up to the current time, in order, then delete servers whose retention has ended."""
        now = self._context.clock.now()
        while (next_one := self._find_next_to_bill()) and next_one.runs[-1].next_minute_at() <= now:
            await self._bill_minute(next_one, next_one.runs[-1].next_minute_at())
        self._post_usage()
        for server in list(self.servers.values()):
            if server.kept_until is not None and not server.running and server.kept_until <= now:
                self.erased_servers.append(self.servers.pop(server.id))
                await self._context.machines.delete_disk(server.data)

    def _find_next_to_bill(self) -> RentedServer | None:
        running = (server for server in self.servers.values() if server.running)
        return min(running, key=lambda server: server.runs[-1].next_minute_at(), default=None)

    async def _bill_minute(self, server: RentedServer, at: datetime) -> None:
        account, run = self.accounts[server.user], server.runs[-1]
        cost = min(run.next_cost(), account.balance)
        account.balance -= cost
        account.spent += cost
        run.minutes += 1
        run.paid += cost
        _since, before = self._unposted_usage.get(server.id, (at, 0))
        self._unposted_usage[server.id] = (at, before + cost)
        if account.balance <= 0:
            for other in self.list_servers(server.user):
                if other.running:
                    await self.shut_down(other, at, "余额不足")

    def _post_usage(self) -> None:
        """Add one ledger entry for what each server used since the last call."""
        for ref, (at, fen) in self._unposted_usage.items():
            if fen:
                self.add_ledger_entry(at, self.servers[ref].user, "usage", -fen, ref)
        self._unposted_usage.clear()

    # user actions

    async def create_server(self, user: str, machine_id: str, password: str) -> RentedServer:
        machine = self.machines.get(machine_id)
        if machine is None:
            raise MistgpuRefusal("没有这台机器")
        self._check_start_allowed(user, machine, password)
        self._last_server_number += 1
        server = RentedServer(
            str(self._last_server_number), user, machine, f"mist-{self._last_server_number}"
        )
        self.servers[server.id] = server
        await self._boot_server(server, password)
        return server

    async def start_server(self, user: str, server_id: str, password: str) -> None:
        server = self._get_own_server(user, server_id)
        if server.running:
            raise MistgpuRefusal("服务器正在运行")
        self._check_start_allowed(user, server.machine, password)
        await self._boot_server(server, password)

    def _check_start_allowed(self, user: str, machine: RentalMachine, password: str) -> None:
        if machine.user:
            raise MistgpuRefusal("机器已被占用")
        if self.accounts[user].balance <= 0:
            raise MistgpuRefusal("余额不足，请先充值")
        if len(password) < 8 or password.isdigit() or password.isalpha():
            raise MistgpuRefusal("密码太简单：至少 8 位，包含字母和数字")

    async def _boot_server(self, server: RentedServer, password: str) -> None:
        machine = server.machine
        machine.user = server.user
        try:
            server.sandbox_machine = await self._context.machines.boot(
                user="mist",
                password=password,
                hostname=f"gpu{int(machine.id)}",
                data=server.data,
                stop_scripts=("/mistgpu/shutdown.sh", "~/shutdown.sh"),
                missing=tuple(self._context.settings.get("missing", "").split()),
                disk_bytes=int(self._context.settings.get("disk_bytes", "0")) or None,
                on_stop=self._on_machine_stop,
            )
        except BaseException:
            machine.user = ""
            raise
        server.note = ""
        server.runs.append(ServerRun(self._context.clock.now(), machine.price))

    async def _on_machine_stop(self, machine_id: str) -> None:
        """Stop billing when the stop script ran in the machine."""
        async with self.lock:
            await self.catch_up()
            for server in self.servers.values():
                if (
                    server.running
                    and server.sandbox_machine is not None
                    and server.sandbox_machine.id == machine_id
                ):
                    await self.shut_down(server, self._context.clock.now(), "用户关机")
            self._post_usage()

    async def shut_down(self, server: RentedServer, at: datetime, note: str) -> None:
        server.runs[-1].ended_at = at
        server.note = note
        server.machine.user = ""
        live, server.sandbox_machine = server.sandbox_machine, None
        if live is not None:
            await self._context.machines.kill(live.id)

    async def shut_down_by_user(self, user: str, server_id: str) -> None:
        server = self._get_own_server(user, server_id)
        if not server.running:
            raise MistgpuRefusal("服务器已经关机")
        await self.shut_down(server, self._context.clock.now(), "用户关机")

    async def delete_server(self, user: str, server_id: str) -> None:
        server = self._get_own_server(user, server_id)
        if server.running:
            raise MistgpuRefusal("请先关机")
        self.erased_servers.append(self.servers.pop(server.id))
        await self._context.machines.delete_disk(server.data)

    def _get_own_server(self, user: str, server_id: str) -> RentedServer:
        server = self.servers.get(server_id)
        if server is None or server.user != user:
            raise MistgpuRefusal("没有这台服务器")
        return server

    def create_top_up(self, user: str, yuan: str) -> MistgpuTopUp:
        try:
            amount = CNY.money(yuan).amount
        except UsageError:
            raise MistgpuRefusal("金额不正确") from None
        if not 0 < amount <= 10_000_000:
            raise MistgpuRefusal("金额不正确")
        made = MistgpuTopUp(secrets.token_hex(8), user, amount)
        self.top_ups[made.id] = made
        return made

    async def request_invoice(self, user: str, title: str, tax_id: str, email: str, yuan: str) -> None:
        account = self.accounts[user]
        fen = CNY.money(yuan).amount if yuan else 0
        if account.spent < MIN_INVOICE:
            raise MistgpuRefusal("累计消费满 200 元可开发票")
        if not (title.strip() and tax_id.strip() and email.strip()):
            raise MistgpuRefusal("请填写发票抬头、税号和邮箱")
        if not 0 < fen <= account.spent - sum(item.fen for item in account.invoices):
            raise MistgpuRefusal("金额不正确")
        account.invoices.append(InvoiceRequest(f"FP{len(account.invoices) + 1:05}", title, fen))

    def settle_top_up(self, top_up: MistgpuTopUp) -> None:
        """Mark the top-up as paid by Alipay; a repeated notification counts once."""
        if top_up.settled_at:
            return
        top_up.settled_at = self._context.clock.now()
        self.accounts[top_up.account].balance += top_up.amount
        self.add_ledger_entry(top_up.settled_at, top_up.account, "recharge", top_up.amount, top_up.id)
