"""1024GPU's containers: ordered, paid on the ledger, opened by mail, given back with a mailed code."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from gpurent.api import (
    Access,
    AssistedRental,
    Binding,
    Instructions,
    Known,
    Lease,
    LeaseError,
    LeaseProvider,
    LeaseState,
    Mail,
    ManualTask,
    Offer,
    Order,
    OrderKind,
    Payment,
    Pending,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsMailBinding,
    SupportsRenewal,
    SupportsStaging,
    Unknown,
)
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.binding import MailDesk
from gpurent_plugin_gpu1024.calls import Calls, too_late
from gpurent_plugin_gpu1024.codes import SLACK, Codes
from gpurent_plugin_gpu1024.guides import guide
from gpurent_plugin_gpu1024.leaving import Leaving, ended
from gpurent_plugin_gpu1024.mailing import access_in, ask_access, find_access, order_in
from gpurent_plugin_gpu1024.messages import _
from gpurent_plugin_gpu1024.orders import DAY, Orders
from gpurent_plugin_gpu1024.renewals import Renewals
from gpurent_plugin_gpu1024.wire import DONE, FAILED, Standing

USER = "root"
REPEAT = timedelta(minutes=3)
_ALL = {
    "country": "all",
    "total_time": "0",
    "total_rent_count": "0",
    "error_rent_count": "0",
    "disk_GB_perhour_dollar": "0",
    "length_of_available_time": "0",
    "gpu_price_dollar": "0",
    "gpu_count": "0",
    "gpu_ram_size": "0",
    "gpu_ram_bandwidth": "0",
    "pcie_bandwidth": "0",
    "cpu_numbers": "0",
    "ram_size": "0",
    "disk_bandwidth": "0",
    "inet_up": "0",
    "inet_down": "0",
    "have_ip": "0",
    "onlines_tatus": "0",
    "disk_space": "0",
    "tensor_cores": "0",
    "half_precision_tflops": "0",
    "single_precision_tflops": "0",
    "double_precision_tflops": "0",
    "dbc_version": "0",
}


class Shop(LeaseProvider, SupportsStaging, SupportsRenewal, SupportsMailBinding, AssistedRental):
    """``Lease.ref`` is the shop's order; it changes on the switch from CPU to GPU."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host
        self._calls = Calls(host)
        self._orders = Orders(host, self._calls)
        self._renewals = Renewals(host, self._calls)
        self._leaving = Leaving(host, self._calls, Codes(host, self._calls), self._renewals)
        self._mail = MailDesk(host, self._calls)

    @property
    def by_hand(self) -> bool:
        return self._host.settings.get("mode", "auto") == "hands"

    def guide(self, errand: ManualTask, lease: Lease | None = None) -> Instructions:
        settings = self._host.settings
        return guide(settings["site"], settings["mail_sender"], errand, lease)

    def access(self, mail: Mail) -> Access | None:
        found = access_in(mail, USER)
        if found is None:
            return None
        return Access(endpoint=found.endpoint, password=found.password, ref=order_in(mail))

    # mail

    async def bound(self) -> str:
        return await self._mail.bound()

    async def request_binding(self, email: str, key: str) -> Binding:
        return await self._mail.request(email, key)

    async def bind(self, binding: Binding, payment: Payment | None) -> Binding:
        return await self._mail.bind(binding, payment)

    # offers

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        found = wire.offers(await self._calls.must("/query_all_machines", idle_status="0", **_ALL))
        if wish.cpu_only:
            found = [wire.cpu_offer(offer) for offer in found if offer.shop.get("cpu") == "yes"]
        return Known(tuple(found))

    def staging(self, order: Order) -> Order:
        if order.offer.shop.get("cpu") != "yes":
            raise LeaseError(
                _("this machine has no CPU container to upload on first"),
                hint=_(
                    "Pick another machine, or rent this one without staging: its time then runs "
                    "while you upload."
                ),
            )
        return Order(
            key=order.key,
            kind=OrderKind.NEW,
            offer=wire.cpu_offer(order.offer),
            term=DAY,
            gpus=0,
            disk=order.disk,
            password_ref=order.password_ref,
            image=order.image,
        )

    def extension(self, lease: Lease, term: timedelta, key: str) -> Order:
        return Order(
            key=key,
            kind=OrderKind.EXTEND,
            offer=lease.offer,
            term=term,
            onto=lease.ref,
            gpus=int(lease.shop.get("gpus", "1")),
        )

    # ordering

    async def reserve(self, order: Order) -> Lease:
        if order.kind is OrderKind.EXTEND:
            ref, bill = await self._renewals.place(order)
            pending = Pending(key=order.key, kind=order.kind, ref=ref, bill=bill)
            return Lease(id="", provider="1024gpu", offer=order.offer, pending=pending)
        standing = await self._orders.place(order)
        pending = Pending(key=order.key, kind=order.kind, ref=standing.id)
        if order.kind is OrderKind.SWITCH:
            pending = evolve(pending, bill=await self._orders.bill(order.key, order.kind, standing))
        return Lease(
            id="",
            provider="1024gpu",
            offer=order.offer,
            pending=pending,
            password_ref=order.password_ref,
            shop={"gpus": str(order.gpus)},
        )

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        paid = evolve(lease, pending=evolve(pending, paid=True))
        if pending.kind is OrderKind.EXTEND:
            return await self._extended(paid) if await self._renewals.paid(pending.ref, payment) else paid
        path = "/rent/pay" if pending.kind is OrderKind.NEW else "/rent/pay_update"
        params = {"order_id": pending.ref, "dbc_hash": payment.proof}
        found = await self._calls.act(path, params, Spent.YES)
        if found.status == FAILED:
            raise too_late(found.msg, payment)
        if found.status != DONE:
            return paid
        if pending.kind is OrderKind.SWITCH:
            ready = await self._calls.call("/rent/update_container_is_ok", order_id=pending.ref)
            if ready.status != DONE:
                return paid
        return self._taken_up(paid, pending, await self._calls.order(pending.ref))

    def _taken_up(self, lease: Lease, pending: Pending, standing: Standing | None) -> Lease:
        """The paid order is the lease now; its access comes by mail."""
        shop = {**lease.shop, "gpus": str(standing.gpus) if standing else lease.shop.get("gpus", "0")}
        return evolve(
            lease.to(LeaseState.PROVISIONING, _("the SSH access comes by mail")),
            pending=None,
            ref=pending.ref,
            endpoint=None,
            started_at=lease.started_at or (standing.rented_at if standing else None),
            expires_at=standing.expires_at if standing else None,
            shop={**shop, "since": _iso(standing.created_at if standing else None)},
        )

    async def _extended(self, lease: Lease) -> Lease:
        standing = await self._calls.order(lease.ref)
        return evolve(lease, pending=None, expires_at=standing.expires_at if standing else lease.expires_at)

    # following

    async def refresh(self, lease: Lease) -> Lease:
        pending = lease.pending
        if pending is not None and not lease.ref:
            return await self._until_payable(lease, pending)
        if not lease.ref:
            return lease
        standing = await self._calls.order(lease.ref)
        if standing is None:
            return self._unlisted(lease)
        lease = evolve(lease, expires_at=standing.expires_at)
        if standing.over:
            return ended(lease, standing, self._host.clock.now())
        if lease.state is LeaseState.PROVISIONING:
            return await self._opened(lease, standing)
        return lease

    def _unlisted(self, lease: Lease) -> Lease:
        """An order that is missing from a list is only gone when its time was over anyway."""
        if lease.expires_at is not None and lease.expires_at <= self._host.clock.now():
            return evolve(lease.to(LeaseState.GONE, _("the shop does not list it any more")), endpoint=None)
        return evolve(lease, note=_("the shop does not list it now"))

    async def _until_payable(self, lease: Lease, pending: Pending) -> Lease:
        if pending.bill is not None or pending.paid:
            return lease
        standing = await self._calls.order(pending.ref)
        if standing is None or standing.cancelled:
            return evolve(lease.to(LeaseState.CANCELLED, _("the shop dropped the order")), pending=None)
        try:
            bill = await self._orders.bill(pending.key, pending.kind, standing)
        except SoldOut as error:
            return evolve(lease.to(LeaseState.CANCELLED, error.message), pending=None)
        if bill is None:
            return lease
        return evolve(lease.to(LeaseState.PAYABLE), pending=evolve(pending, bill=bill))

    async def _opened(self, lease: Lease, standing: Standing) -> Lease:
        """Look once whether the mail with the access is there."""
        since = (
            datetime.fromisoformat(lease.shop["since"])
            if lease.shop.get("since")
            else self._host.clock.now() - DAY
        )
        garbled = False
        if self._host.mail.available:
            access, garbled = await find_access(self._host, standing.id, since - SLACK, USER)
        else:
            access = await ask_access(self._host, standing.id, since, USER)
        if access is None:
            return await self._ask_again(lease, garbled)
        lease = evolve(lease, password_ref=lease.password_ref or f"password-{standing.id}")
        self._host.vault.put(lease.password_ref, access.password)
        return evolve(lease.to(LeaseState.READY, ""), endpoint=access.endpoint, note="")

    async def _ask_again(self, lease: Lease, garbled: bool) -> Lease:
        """Have the mail sent again now and then: it may have been lost, or garbled."""
        now = self._host.clock.now()
        asked = datetime.fromisoformat(lease.shop["asked"]) if lease.shop.get("asked") else None
        note = (
            _("the mail with the SSH access cannot be read; it is asked for again") if garbled else lease.note
        )
        if asked is None:
            return evolve(lease, shop={**lease.shop, "asked": _iso(now)}, note=note)
        if now - asked < REPEAT:
            return evolve(lease, note=note)
        await self._host.http.request(
            "GET",
            "/rent/send_email_repeat",
            params={
                "order_id": lease.ref,
                "user_name_platform": self._host.settings["brand"],
                "language": self._host.settings["language"],
            },
        )
        return evolve(lease, shop={**lease.shop, "asked": _iso(now)}, note=note)

    # leaving

    async def release(self, lease: Lease) -> Lease:
        if lease.over and lease.pending is None:
            return lease
        return await self._leaving.leave(lease)

    async def leases(self) -> Known[Lease] | Unknown:
        listed = await self.offers(Requirements(include_taken=True))
        if isinstance(listed, Unknown):
            return listed
        known = {offer.key: offer for offer in listed.items}
        found = [
            Lease(
                id="",
                provider="1024gpu",
                offer=known[standing.machine],
                ref=standing.id,
                state=LeaseState.READY,
                started_at=standing.rented_at,
                expires_at=standing.expires_at,
            )
            for standing in await self._calls.orders()
            if standing.rented and not standing.over and standing.machine in known
        ]
        return Known(tuple(found))


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""
