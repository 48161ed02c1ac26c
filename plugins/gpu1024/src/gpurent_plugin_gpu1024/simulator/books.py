"""The fake service's acts.

Containers made and closed, payments matched on the ledger, money sent back, mails written.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import ssl
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2

from gpurent.api import Money, SimulatorContext, SimulatorLedgerEntry
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.simulator.records import (
    MINUTE,
    MODELS,
    UNIT,
    ContainerOrder,
    GpuHost,
    OrderRenewal,
)

CREATING = timedelta(seconds=30)
SWITCHING = timedelta(seconds=60)
WINDOW = timedelta(minutes=10)
KEPT = timedelta(days=7)
KEEPING = 20_000 * UNIT
CONFIRMATIONS = 2
# The ledger is on this computer: no certificates are loaded for it.
_LOOPBACK = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SENDER = "service@1024lab.example"


class ServiceRefusal(Exception):
    """The service says no, in its own words."""


class Gpu1024Books:
    """All state. Callers hold `lock` and call `catch_up` first."""

    def __init__(self, site: SimulatorContext) -> None:
        self.site = site
        self.lock = asyncio.Lock()
        taken = int(site.settings.get("taken", "0"))
        self.machines = {}
        for index in range(site.machine_count):
            model, price, ram = MODELS[index % len(MODELS)]
            lent = int(index >= site.machine_count - taken)
            machine = GpuHost(f"{index + 1:040x}", model, Decimal(price), ram, taken=lent)
            self.machines[machine.id] = machine
        self.orders: dict[str, ContainerOrder] = {}
        self.renewals: dict[str, OrderRenewal] = {}
        self.emails: dict[str, str] = {}
        self.binding: dict[str, tuple[str, int, bool]] = {}
        self.ledger: list[SimulatorLedgerEntry] = []
        # A transfer pays for one thing only.
        self.counted: set[str] = set()

    @property
    def now(self) -> datetime:
        return self.site.clock.now()

    def entry(self, wallet: str, kind: str, units: int, ref: str) -> None:
        self.ledger.append(
            SimulatorLedgerEntry(
                at=self.now, account=wallet, kind=kind, amount=Money(units, wire.DBC), ref=ref
            )
        )

    def free(self, machine: GpuHost) -> int:
        mine = sum(
            order.gpus for order in self.orders.values() if order.machine is machine and order.holds_gpu
        )
        return machine.gpus - machine.taken - mine

    def order(self, order_id: str) -> ContainerOrder:
        order = self.orders.get(order_id)
        if order is None:
            raise ServiceRefusal("订单不存在")
        return order

    def renewal(self, renewal_id: str) -> OrderRenewal:
        renewal = self.renewals.get(renewal_id)
        if renewal is None:
            raise ServiceRefusal("续费订单不存在")
        return renewal

    # the ledger

    async def ask_ledger(self, method: str, path: str, **given: Any) -> Any:
        async with httpx2.AsyncClient(
            base_url=self.site.urls["dbc"], trust_env=False, verify=_LOOPBACK
        ) as client:
            answer = await client.request(
                method,
                path,
                params=given if method == "GET" else None,
                json=given if method == "POST" else None,
            )
        return answer.json()

    async def price(self) -> Decimal:
        return Decimal((await self.ask_ledger("GET", "/price"))["price"])

    async def seen(self, digest: str, wallet: str, payee: str, units: int) -> tuple[str, datetime] | None:
        """Digest and time of a payment; None: not confirmed yet. No such payment is a `ServiceRefusal`.

        Without a digest ("I already paid") the payee's own transfers are looked through.
        """
        if digest:
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ServiceRefusal("交易哈希错误")
            rows = [await self.ask_ledger("GET", f"/tx/{digest}")]
            if "error" in rows[0]:
                return None
        else:
            rows = (await self.ask_ledger("GET", "/transfers", address=payee))["transfers"]
        for row in rows:
            same = (row["from"], row["to"], row["amount"]) == (wallet, payee, str(units))
            if same and row["hash"] not in self.counted:
                if row["confirmations"] < CONFIRMATIONS:
                    return None
                return row["hash"], datetime.fromisoformat(row["at"])
        raise ServiceRefusal("没有收到这笔支付")

    async def send_back(self, order: ContainerOrder, units: int, memo: str, key: str) -> None:
        if units <= 0:
            return
        given = {"from": order.address, "to": order.wallet, "amount": str(units), "memo": memo, "key": key}
        answer = await self.ask_ledger("POST", "/sandbox/platform/transfer", **given)
        if "hash" not in answer:
            raise RuntimeError(f"the ledger refuses to send {units} back: {answer}")
        self.entry(order.wallet, memo, units, order.id)

    async def settle(self, order: ContainerOrder) -> None:
        """Send what is owed for an order that ended; what the ledger did not take stays owed."""
        units, memo = order.owed
        if units:
            with contextlib.suppress(httpx2.HTTPError):
                await self.send_back(order, units, memo, f"{order.id}-end")
                order.owed = (0, "")

    # mails

    async def mail(self, wallet: str, subject: str, text: str) -> None:
        to = self.emails.get(wallet) or self.binding.get(wallet, ("", 0, False))[0]
        if to:
            await self.site.send_mail(to=to, sender=SENDER, subject=f"[1024lab] {subject}", text=text)

    async def mail_access(self, order: ContainerOrder) -> None:
        if order.live is not None:
            line = f"ssh -p {order.live.port} root@{order.live.host}，密码：{order.password}"
            if self.site.settings.get("garbled") == "once" and not order.mail_code.get("garbled"):
                order.mail_code["garbled"] = "yes"
                line = "ssh -p ?? root@，密码："
            await self.mail(
                order.wallet, f"容器登录方式 {order.id}", f"您的容器已经就绪：\n{line}\n请尽快修改密码。\n"
            )

    async def mail_code(self, thing: ContainerOrder | OrderRenewal, what: str) -> None:
        thing.mail_code[what] = f"{secrets.randbelow(10**6):06}"
        await self.mail(
            thing.order.wallet, f"验证码 {thing.id}", f"操作：{what}\n验证码：{thing.mail_code[what]}\n"
        )

    def take_code(self, thing: ContainerOrder | OrderRenewal, what: str, given: str) -> None:
        """A code counts once, for its order and its purpose."""
        right = thing.mail_code.get(what, "")
        if not right or not secrets.compare_digest(right.encode(), given.encode()):
            raise ServiceRefusal("验证码错误")
        del thing.mail_code[what]

    # containers

    async def open(self, order: ContainerOrder) -> None:
        order.password = secrets.token_urlsafe(9)
        order.live = await self.site.machines.boot(
            user="root",
            password=order.password,
            hostname=f"iZ{order.id[:10]}",
            data=order.data,
            python="python2",
            missing=tuple(self.site.settings.get("missing", "").split()),
            disk_bytes=int(self.site.settings.get("disk_bytes", "0")) or None,
        )
        await self.mail_access(order)

    async def close(self, order: ContainerOrder) -> None:
        live, order.live = order.live, None
        if live is not None:
            await self.site.machines.kill(live.id)

    async def rented(self, order: ContainerOrder) -> None:
        """The payment was seen: the container is the user's now."""
        order.rented_at = self.now
        order.codes = order.code
        self.entry(order.wallet, "deposit" if order.mode == "deposit" else "rent", -order.due, order.id)
        if order.before:
            order.switched_at = self.now + SWITCHING
            await self.end(self.orders[order.before], well=True, keep_data=True)
        else:
            await self.open(order)

    async def end(self, order: ContainerOrder, *, well: bool, keep_data: bool = False) -> None:
        """Close a container; what was not used goes back, a deposit whole."""
        # Asked first: with the ledger away nothing changes, and the next tick comes back to it.
        held = 0 if well else int((await self.ask_ledger("GET", "/balance", address=order.wallet))["balance"])
        order.over, order.ended_well = True, well
        order.stopped_at = min(self.now, order.expires_at or self.now)
        await self.close(order)
        back = order.total + order.codes - order.used(order.stopped_at)
        if order.mode == "deposit":
            order.owed = (back, "deposit-back")
        elif well:
            order.owed = (back, "refund")
        if held >= KEEPING:
            order.kept_until = order.stopped_at + KEPT
        elif not keep_data:
            await self.site.machines.erase(order.data)
        await self.settle(order)

    # time

    async def catch_up(self) -> None:
        """Whatever the clock has brought since: containers made, windows closed, rents run out, disks forgotten."""
        for order in list(self.orders.values()):
            if order.over:
                await self.settle(order)
                if order.kept_until is not None and order.kept_until <= self.now:
                    order.kept_until = None
                    await self.site.machines.erase(order.data)
            elif order.created_at is not None and not order.cancelled:
                await self._live(order, order.created_at)
        for renewal in self.renewals.values():
            at = renewal.created_at
            if (
                at is not None
                and not renewal.done
                and not renewal.pay_error
                and self.now >= at + WINDOW + MINUTE
            ):
                renewal.cancelled = True

    async def _live(self, order: ContainerOrder, created: datetime) -> None:
        now = self.now
        if order.container_at is None and order.asked_at is not None and order.asked_at + CREATING <= now:
            order.container_at = order.asked_at + CREATING
        if not order.rented and not order.pay_error and now >= created + WINDOW + MINUTE:
            order.cancelled = True
        if order.expires_at is not None and order.expires_at <= now:
            await self.end(order, well=False)
        elif order.rented and order.live is None and (order.switched_at or now) <= now:
            await self.open(order)
