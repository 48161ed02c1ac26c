"""1024GPU's containers: paid on the ledger, released with an e-mailed code; their SSH access is sent by e-mail."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from gpurent.api import (
    Absent,
    AuthError,
    Known,
    Lease,
    LeaseProvider,
    LeaseState,
    MachineAccess,
    Money,
    Offer,
    Order,
    OrderKind,
    Payment,
    PendingOrder,
    PluginContext,
    Requirements,
    SoldOut,
    SupportsRefundQuote,
    UnavailableError,
    Unknown,
)
from gpurent_plugin_gpu1024 import _, trials, wire
from gpurent_plugin_gpu1024.client import RENEWAL_PATH, Gpu1024Client
from gpurent_plugin_gpu1024.mail import Gpu1024MailMixin
from gpurent_plugin_gpu1024.orders import Gpu1024Orders
from gpurent_plugin_gpu1024.related_orders import Gpu1024OrderMixin
from gpurent_plugin_gpu1024.release import LeaseReleaser, make_ended_lease
from gpurent_plugin_gpu1024.renewals import Gpu1024Renewals
from gpurent_plugin_gpu1024.sizes import DAY, STOPPED_ORDER, get_payment_path, has_container

RESEND_INTERVAL = timedelta(minutes=3)
# Every filter of the search form, switched off; the names and their spelling are the provider's.
_NO_FILTERS = {
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


class Gpu1024Provider(Gpu1024MailMixin, Gpu1024OrderMixin, LeaseProvider, SupportsRefundQuote):
    """1024GPU as a provider; ``Lease.ref`` is its order number, which changes on a switch between CPU and GPU."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._client = Gpu1024Client(context)
        self._orders = Gpu1024Orders(context, self._client)
        self._renewals = Gpu1024Renewals(context, self._client)
        self._releaser = LeaseReleaser(context, self._client, self._renewals)

    # offers

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        found = wire.parse_offers(
            await self._client.call_checked("/query_all_machines", idle_status="0", **_NO_FILTERS)
        )
        if requirements.cpu_only:
            found = [
                wire.make_cpu_offer(offer)
                for offer in found
                if offer.provider_data.get("cpu_container") == "yes"
            ]
        if requirements.machine.endswith(trials.TRIAL_SUFFIX):
            found = [trials.make_trial_offer(offer) for offer in found if offer.hardware.gpus]
        return Known(tuple(found))

    # orders

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is OrderKind.RENEW:
            ref, bill = await self._renewals.place_renewal(order)
            pending = PendingOrder(key=order.key, kind=order.kind, ref=ref, bill=bill)
            return Lease(id="", provider="1024gpu", offer=order.offer, pending=pending)
        listed_order = await self._orders.place_order(order)
        stopped = order.offer.provider_data.get(STOPPED_ORDER)
        pending = PendingOrder(key=order.key, kind=order.kind, ref=listed_order.id)
        if order.kind is OrderKind.SWITCH:
            pending = evolve(
                pending, bill=await self._orders.find_bill(order.key, listed_order, creates=False)
            )
        return Lease(
            id="",
            provider="1024gpu",
            offer=order.offer,
            pending=pending,
            password_ref=order.password_ref,
            provider_data={"gpus": str(order.gpus), **({STOPPED_ORDER: stopped} if stopped else {})},
        )

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        paid = evolve(lease, pending=evolve(pending, paid=True))
        if pending.kind is OrderKind.RENEW:
            if not await self._client.verify_payment(
                RENEWAL_PATH, payment, lease.id, continue_pay_order_id=pending.ref
            ):
                return paid
            listed_order = await self._client.find_order(lease.ref)
            until = listed_order.expires_at if listed_order else lease.expires_at
            return evolve(paid, pending=None, expires_at=until)
        path = get_payment_path(pending.kind, lease.provider_data)
        if not await self._client.verify_payment(path, payment, lease.id, order_id=pending.ref):
            return paid
        if has_container(pending.kind, lease.provider_data):
            ready = await self._client.call("/rent/update_container_is_ok", order_id=pending.ref)
            if ready.status != wire.DONE:
                return paid
        return self._start_provisioning(paid, pending, await self._client.find_order(pending.ref))

    def _start_provisioning(
        self, lease: Lease, pending: PendingOrder, listed_order: wire.ListedOrder | None
    ) -> Lease:
        """Make the paid order the lease; its access arrives by e-mail."""
        facts = {"created_at": ""}
        if listed_order is not None:
            facts = _list_order_facts(listed_order)
        return evolve(
            lease.with_state(LeaseState.PROVISIONING, _("the SSH access will arrive by e-mail")),
            pending=None,
            ref=pending.ref,
            endpoint=None,
            started_at=lease.started_at or (listed_order.rented_at if listed_order else None),
            expires_at=listed_order.expires_at if listed_order else None,
            provider_data={"gpus": "0", **lease.provider_data, **facts},
        )

    # refresh

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        pending = lease.pending
        if pending is not None and not lease.ref:
            return await self._poll_bill(lease, pending)
        if not lease.ref:
            return lease
        listed = {order.id: order for order in await self._client.list_orders()}
        if pending is not None and pending.kind is OrderKind.SWITCH:
            switched = listed.get(pending.ref)
            if switched is not None and switched.rented and not switched.over:
                # It was paid and took the old container's place, whoever noticed it.
                return self._start_provisioning(lease, pending, switched)
        listed_order = listed.get(lease.ref)
        if listed_order is None:
            return Absent(_("the provider no longer lists it"))
        lease = evolve(lease, expires_at=listed_order.expires_at)
        if listed_order.over:
            return make_ended_lease(lease, listed_order, listed.values(), self._context.clock.now())
        if lease.state is LeaseState.PROVISIONING:
            return await self._poll_access_mail(lease, listed_order)
        return await self._replace_unchecked_access(lease, listed_order)

    async def _poll_bill(self, lease: Lease, pending: PendingOrder) -> Lease:
        if pending.bill is not None or pending.paid:
            return lease
        listed_order = await self._client.find_order(pending.ref)
        if listed_order is None:
            return evolve(lease, note=_("the provider's list does not contain this order at the moment"))
        if listed_order.cancelled:
            return evolve(
                lease.with_state(LeaseState.CANCELLED, _("the provider cancelled the order")), pending=None
            )
        try:
            creates = not has_container(pending.kind, lease.provider_data)
            bill = await self._orders.find_bill(pending.key, listed_order, creates=creates)
        except SoldOut as error:
            return evolve(lease.with_state(LeaseState.CANCELLED, error.message), pending=None)
        if bill is None:
            return lease
        return evolve(lease.with_state(LeaseState.PAYABLE), pending=evolve(pending, bill=bill))

    async def _poll_access_mail(self, lease: Lease, listed_order: wire.ListedOrder) -> Lease:
        """Check once whether the e-mail with the access has arrived."""
        try:
            access, garbled = await self._find_access(listed_order.id, self._get_mail_start(lease))
        except (UnavailableError, AuthError) as error:
            # Says nothing about the machine, which was just seen in the list.
            return evolve(lease, note=error.message)
        if access is None or access.password is None:
            return await self._request_access_mail(lease, garbled)
        return self._take_access(lease, listed_order, access)

    async def _replace_unchecked_access(self, lease: Lease, listed_order: wire.ListedOrder) -> Lease:
        """Return the lease with an authenticated access, if its own came by an e-mail that anybody may have sent.

        An e-mail that was forged may arrive before the real one.
        """
        if lease.endpoint is None or lease.access_source.is_proof_of(lease.endpoint):
            return lease
        now, checked = self._context.clock.now(), lease.provider_data.get("mail_expected_since")
        if checked and now - datetime.fromisoformat(checked) < RESEND_INTERVAL:
            return lease
        lease = evolve(lease, provider_data={**lease.provider_data, "mail_expected_since": now.isoformat()})
        if not self._context.mail.is_available:
            return lease
        try:
            access, _garbled = await self._find_access(listed_order.id, self._get_mail_start(lease))
        except (UnavailableError, AuthError):
            return lease
        if access is None or not access.source.is_authenticated:
            return lease
        return self._take_access(lease, listed_order, access)

    def _take_access(self, lease: Lease, listed_order: wire.ListedOrder, access: MachineAccess) -> Lease:
        if access.password is None:
            return lease
        lease = evolve(lease, password_ref=lease.password_ref or f"password-{listed_order.id}")
        self._context.vault.put(lease.password_ref, access.password)
        return evolve(
            lease.with_state(LeaseState.READY, ""),
            endpoint=access.endpoint,
            access_source=access.source.vouch_for(access.endpoint, has_password=True),
            note="",
        )

    def _get_mail_start(self, lease: Lease) -> datetime:
        noted = lease.provider_data.get("created_at")
        return datetime.fromisoformat(noted) if noted else self._context.clock.now() - DAY

    async def _request_access_mail(self, lease: Lease, garbled: bool) -> Lease:
        """Request the access e-mail again from time to time: it may have been lost or garbled."""
        now, since = self._context.clock.now(), lease.provider_data.get("mail_expected_since")
        note = (
            _("cannot read the e-mail with the SSH access; it will be requested again")
            if garbled
            else _("the SSH access will arrive by e-mail")
        )
        if since and now - datetime.fromisoformat(since) < RESEND_INTERVAL:
            return evolve(lease, note=note)
        if since:
            await self._context.http.request(
                "GET",
                "/rent/send_email_repeat",
                params={
                    "order_id": lease.ref,
                    "user_name_platform": self._context.settings["brand"],
                    "language": self._context.settings["language"],
                },
            )
        return evolve(
            lease, provider_data={**lease.provider_data, "mail_expected_since": now.isoformat()}, note=note
        )

    # release

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        return await self._releaser.release_lease(lease)

    async def quote_refund(self, lease: Lease) -> Money:
        if lease.is_over or not lease.ref:
            return wire.DBC.zero
        listed_order = await self._client.find_order(lease.ref)
        if listed_order is None:
            raise UnavailableError(_("the provider no longer lists it"))
        return wire.DBC.zero if listed_order.over or not listed_order.rented else listed_order.refund

    async def list_leases(self) -> Known[Lease] | Unknown:
        listed = await self.list_offers(Requirements())
        if isinstance(listed, Unknown):
            return listed
        offers_by_key = {offer.key: offer for offer in listed.items}
        found = [
            Lease(
                id="",
                provider="1024gpu",
                offer=offers_by_key.get(listed_order.machine)
                or wire.make_unlisted_offer(listed_order.machine, listed_order.gpus),
                ref=listed_order.id,
                state=LeaseState.READY,
                started_at=listed_order.rented_at,
                expires_at=listed_order.expires_at,
                provider_data={"gpus": str(listed_order.gpus), "disk": str(listed_order.disk)},
            )
            for listed_order in await self._client.list_orders()
            if listed_order.rented and not listed_order.over
        ]
        return Known(tuple(found))


def _list_order_facts(listed_order: wire.ListedOrder) -> dict[str, str]:
    """Return what the lease of an order needs to know later; ``disk`` in GiB."""
    created_at = listed_order.created_at
    return {
        "gpus": str(listed_order.gpus),
        "disk": str(listed_order.disk),
        "created_at": created_at.isoformat() if created_at else "",
    }
