"""The simulator's actions.

Creates and closes containers, matches payments on the ledger, refunds money, sends e-mail.
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

CREATE_DURATION = timedelta(seconds=30)
SWITCH_DURATION = timedelta(seconds=60)
PAYMENT_WINDOW = timedelta(minutes=10)
FILE_RETENTION = timedelta(days=7)
RETENTION_BALANCE = 20_000 * UNIT
TRIAL_TIME, TRIAL_BALANCE, FREE_TRIALS = 15, 5_000 * UNIT, 3
# How often the wallet is looked at while files are kept (assumed).
BALANCE_INTERVAL = timedelta(hours=1)
MIN_CONFIRMATIONS = 2
PLATFORM_ADDRESS = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"
# The ledger is on this computer, so no certificates are loaded.
_LOOPBACK_SSL = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SENDER = "service@1024lab.example"


class Gpu1024Refusal(Exception):
    """The simulator refuses a request, in the provider's own words."""


class Gpu1024State:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first."""

    def __init__(self, context: SimulatorContext) -> None:
        self.context = context
        self.lock = asyncio.Lock()
        taken = int(context.settings.get("taken", "0"))
        self.machines = {}
        for index in range(context.machine_count + taken):
            model, price, ram = MODELS[index % len(MODELS)]
            lent = int(index >= context.machine_count)
            machine = GpuHost(f"{index + 1:040x}", model, Decimal(price), ram, taken=lent)
            self.machines[machine.id] = machine
        self.orders: dict[str, ContainerOrder] = {}
        self.renewals: dict[str, OrderRenewal] = {}
        self.emails: dict[str, str] = {}
        # By wallet: the address, the code in 10^-8 DBC, and whether the wallet has sent the code.
        self.bindings: dict[str, tuple[str, int, bool]] = {}
        self.mail_changes: dict[str, tuple[str, int, bool]] = {}
        self.ledger: list[SimulatorLedgerEntry] = []
        self.hidden_until: datetime | None = None
        # A transfer can only pay for one thing.
        self.counted_transfers: set[str] = set()

    @property
    def now(self) -> datetime:
        return self.context.clock.now()

    @property
    def is_list_empty(self) -> bool:
        """Whether the order lists show nothing for now, whatever there is."""
        return self.hidden_until is not None and self.now < self.hidden_until

    def add_ledger_entry(self, wallet: str, kind: str, units: int, ref: str) -> None:
        self.ledger.append(
            SimulatorLedgerEntry(
                at=self.now, account=wallet, kind=kind, amount=Money(units, wire.DBC), ref=ref
            )
        )

    def count_free_gpus(self, machine: GpuHost) -> int:
        mine = sum(
            order.gpus for order in self.orders.values() if order.machine is machine and order.holds_gpu
        )
        return machine.gpus - machine.taken - mine

    def get_order(self, order_id: str) -> ContainerOrder:
        order = self.orders.get(order_id)
        if order is None:
            raise Gpu1024Refusal("订单不存在")
        return order

    def get_renewal(self, renewal_id: str) -> OrderRenewal:
        renewal = self.renewals.get(renewal_id)
        if renewal is None:
            raise Gpu1024Refusal("续费订单不存在")
        return renewal

    # the ledger

    async def request_ledger(self, method: str, path: str, **given: Any) -> Any:
        async with httpx2.AsyncClient(
            base_url=self.context.urls["dbc"], trust_env=False, verify=_LOOPBACK_SSL
        ) as client:
            answer = await client.request(
                method,
                path,
                params=given if method == "GET" else None,
                json=given if method == "POST" else None,
            )
        try:
            return answer.json()
        except ValueError:
            # What a page in its place says about a payment is nothing.
            raise httpx2.ReadError("the chain's node answers with something else") from None

    async def get_price(self) -> Decimal:
        return Decimal((await self.request_ledger("GET", "/price"))["price"])

    async def find_payment(
        self, digest: str, wallet: str, payee: str, units: int
    ) -> tuple[str, datetime] | None:
        """Return digest and time of a payment; None if it is not confirmed yet.

        Raises `Gpu1024Refusal` if there is none.

        Without a digest ("I already paid") the payee's transfers are searched.
        """
        if digest:
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise Gpu1024Refusal("交易哈希错误")
            rows = [await self.request_ledger("GET", f"/tx/{digest}")]
            if "error" in rows[0]:
                return None
        else:
            rows = (await self.request_ledger("GET", "/transfers", address=payee))["transfers"]
        for row in rows:
            same = (row["from"], row["to"], row["amount"]) == (wallet, payee, str(units))
            if same and row["hash"] not in self.counted_transfers:
                if row["confirmations"] < MIN_CONFIRMATIONS:
                    return None
                return row["hash"], datetime.fromisoformat(row["at"])
        raise Gpu1024Refusal("没有收到这笔支付")

    async def send_refund(self, order: ContainerOrder, units: int, memo: str, key: str) -> None:
        if units <= 0:
            return
        given = {"from": order.address, "to": order.wallet, "amount": str(units), "memo": memo, "key": key}
        answer = await self.request_ledger("POST", "/sandbox/platform/transfer", **given)
        if "hash" not in answer:
            raise RuntimeError(f"the ledger refuses to send {units} back: {answer}")
        self.add_ledger_entry(order.wallet, memo, units, order.id)

    async def settle_owed(self, order: ContainerOrder) -> None:
        """Send what is owed for an ended order; what the ledger does not accept stays owed."""
        units, memo = order.owed
        if units:
            with contextlib.suppress(httpx2.HTTPError):
                await self.send_refund(order, units, memo, f"{order.id}-end")
                order.owed = (0, "")

    # e-mail

    async def settle_binding(self, wallet: str) -> bool:
        """Bind the wallet's e-mail address once its payment is confirmed; return whether it is bound."""
        if wallet not in self.emails:
            await self._settle_code(wallet, self.bindings.get(wallet, ("", 0, False)))
        return wallet in self.emails

    async def settle_mail_change(self, wallet: str) -> bool:
        """Bind the new address once its payment is confirmed; return whether no change is open any more."""
        if await self._settle_code(wallet, self.mail_changes.get(wallet, ("", 0, False))):
            del self.mail_changes[wallet]
        return wallet not in self.mail_changes

    async def _settle_code(self, wallet: str, binding: tuple[str, int, bool]) -> bool:
        email, code, asked = binding
        if not asked:
            return False
        found = await self.request_ledger("GET", "/transfers", address=wallet)
        for row in found["transfers"]:
            if (
                (row["from"], row["to"], row["amount"]) == (wallet, PLATFORM_ADDRESS, str(code))
                and row["confirmations"] >= MIN_CONFIRMATIONS
                and row["hash"] not in self.counted_transfers
            ):
                self.counted_transfers.add(row["hash"])
                self.emails[wallet] = email
                self.add_ledger_entry(wallet, "binding", -code, row["hash"])
                return True
        return False

    async def send_mail(self, wallet: str, subject: str, text: str) -> None:
        if wallet in self.emails:
            await self.send_mail_to(self.emails[wallet], subject, text)

    async def send_mail_to(self, to: str, subject: str, text: str) -> None:
        await self.context.send_mail(to=to, sender=SENDER, subject=f"[1024lab] {subject}", text=text)

    async def send_access_mail(self, order: ContainerOrder) -> None:
        if order.container is not None:
            line = f"ssh -p {order.container.port} root@{order.container.host}，密码：{order.password}"
            if self.context.settings.get("garbled") == "once" and not order.mail_codes.get("garbled"):
                order.mail_codes["garbled"] = "yes"
                line = "ssh -p ?? root@，密码："
            await self.send_mail(
                order.wallet, f"容器登录方式 {order.id}", f"您的容器已经就绪：\n{line}\n请尽快修改密码。\n"
            )

    async def send_code_mail(self, payable: ContainerOrder | OrderRenewal, purpose: str) -> None:
        payable.mail_codes[purpose] = f"{secrets.randbelow(10**6):06}"
        await self.send_mail(
            payable.order.wallet,
            f"验证码 {payable.id}",
            f"操作：{purpose}\n验证码：{payable.mail_codes[purpose]}\n",
        )

    def redeem_code(self, payable: ContainerOrder | OrderRenewal, purpose: str, given: str) -> None:
        """Accept a code once, for its own order and purpose. Raises `Gpu1024Refusal` if it is wrong."""
        right = payable.mail_codes.get(purpose, "")
        if not right or not secrets.compare_digest(right.encode(), given.encode()):
            raise Gpu1024Refusal("验证码错误")
        del payable.mail_codes[purpose]

    # containers

    async def boot_container(self, order: ContainerOrder) -> None:
        order.password = secrets.token_urlsafe(9)
        order.container = await self.context.machines.boot(
            user="root",
            password=order.password,
            hostname=f"iZ{order.id[:10]}",
            data=order.task_id,
            python="python2",
            missing=tuple(self.context.settings.get("missing", "").split()),
            disk_bytes=int(self.context.settings.get("disk_bytes", "0")) or None,
        )
        await self.send_access_mail(order)

    async def kill_container(self, order: ContainerOrder) -> None:
        live, order.container = order.container, None
        if live is not None:
            await self.context.machines.kill(live.id)

    async def start_rental(self, order: ContainerOrder) -> None:
        """Give the container to the user: the payment was seen."""
        order.rented_at = self.now
        order.payment_marks_total = order.payment_mark
        self.add_ledger_entry(
            order.wallet, "deposit" if order.mode == "deposit" else "rent", -order.amount_due, order.id
        )
        if order.switched_from:
            before = self.orders[order.switched_from]
            order.switched_at = self.now + SWITCH_DURATION
            if order.starts_stopped:
                before.kept_until = None  # its files are this order's from now on
            else:
                await self.end_order(before, well=True, keep_data=True)
        else:
            await self.boot_container(order)

    async def end_order(self, order: ContainerOrder, *, well: bool, keep_data: bool = False) -> None:
        """Close a container and refund what was not used, or the whole deposit.

        Its files stay for a while if the wallet holds enough, whether it was returned or its time ran out.
        ``keep_data``: another order takes the container over.
        """
        # Query first: if the ledger cannot be reached, nothing has changed and the next tick retries.
        is_kept = not (keep_data or order.is_trial) and await self.holds_enough(order.wallet)
        order.over, order.ended_well = True, well
        order.stopped_at = min(self.now, order.expires_at or self.now)
        await self.kill_container(order)
        back = order.total + order.payment_marks_total - order.compute_cost(order.stopped_at)
        if order.mode == "deposit":
            order.owed = (back, "deposit-refund")
        elif well:
            order.owed = (back, "refund")
        if is_kept:
            order.kept_until, order.balance_checked_at = order.stopped_at + FILE_RETENTION, self.now
        elif not keep_data:
            await self.context.machines.delete_disk(order.task_id)
        await self.settle_owed(order)

    async def holds_enough(self, wallet: str, least: int = RETENTION_BALANCE) -> bool:
        """Return whether the wallet holds ``least``, by default what files of stopped containers need to be kept."""
        found = await self.request_ledger("GET", "/balance", address=wallet)
        return int(found["balance"]) >= least

    async def _update_kept_files(self, order: ContainerOrder) -> None:
        """Delete kept files when their time is over, or once the wallet holds too little."""
        if order.kept_until is None:
            return
        checked = order.balance_checked_at or self.now
        if order.kept_until > self.now and self.now - checked >= BALANCE_INTERVAL:
            if await self.holds_enough(order.wallet):
                order.balance_checked_at = self.now
                return
        elif order.kept_until > self.now:
            return
        order.kept_until = None
        await self.context.machines.delete_disk(order.task_id)

    # time

    async def catch_up(self) -> None:
        """Apply what the clock has brought: containers made, payment windows closed, rents expired, disks deleted."""
        for order in list(self.orders.values()):
            if order.over:
                await self.settle_owed(order)
                await self._update_kept_files(order)
            elif order.created_at is not None and not order.cancelled:
                await self._update_order(order, order.created_at)
        for renewal in self.renewals.values():
            at = renewal.created_at
            if (
                at is not None
                and not renewal.done
                and not renewal.pay_error
                and self.now >= at + PAYMENT_WINDOW + MINUTE
            ):
                renewal.cancelled = True

    async def _update_order(self, order: ContainerOrder, created: datetime) -> None:
        now = self.now
        if (
            order.container_at is None
            and order.container_requested_at is not None
            and order.container_requested_at + CREATE_DURATION <= now
        ):
            order.container_at = order.container_requested_at + CREATE_DURATION
        if not order.rented and not order.pay_error and now >= created + PAYMENT_WINDOW + MINUTE:
            order.cancelled = True
        if order.expires_at is not None and order.expires_at <= now:
            await self.end_order(order, well=False)
        elif order.rented and order.container is None and (order.switched_at or now) <= now:
            await self.boot_container(order)
