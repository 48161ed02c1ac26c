"""vast.ai's machines: offers of its market, one create with our label, and what the API says of the machine."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from attrs import evolve

from gpurent.api import (
    Absent,
    Known,
    LabelledProvider,
    Lease,
    LeaseError,
    Money,
    MoneyError,
    Offer,
    Order,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsInterruption,
    SupportsPublicKeys,
    SupportsRefundQuote,
    SupportsStart,
    SupportsStop,
    SupportsStopTimer,
    UnitPrice,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    make_credit_error,
    make_release_error,
    make_taken_error,
    quote_reason,
)
from gpurent_plugin_vast import _, wire
from gpurent_plugin_vast.instances import InstanceList, apply_instance
from gpurent_plugin_vast.market import OfferSearch, parse_ask_id, to_usd_per_hour
from gpurent_plugin_vast.schedule import StopSchedule, find_full_hour

# The offer is not there any more, or somebody else took it.
TAKEN_ERRORS = frozenset({"no_such_ask", "ask_not_available", "http-410"})
GONE_ERRORS = frozenset({"no_such_instance", "not_found"})
LEFTOVER_AGE = timedelta(hours=1)
# What provider_data holds.
PUBLIC_KEY, DISK, IMAGE, HAS_KEY = "public_key", "disk", "image", "has_key"


class VastProvider(
    LabelledProvider,
    SupportsStop,
    SupportsStart,
    SupportsStopTimer,
    SupportsRefundQuote,
    SupportsInterruption,
    SupportsPublicKeys,
):
    """vast.ai as a provider. A machine is found by its label, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, "vast.ai")
        self._context = context
        self._client = wire.make_api(context)
        self._instances = InstanceList(context, self._client)
        self._market = OfferSearch(self._client)

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._market.find_offers(requirements)))

    async def reserve_lease(self, order: Order) -> Lease:
        bid = order.offer.provider_data.get(wire.BID)
        wanted = Requirements(
            machine=order.offer.key,
            disk=order.disk,
            spot=order.offer.spot,
            bid=UnitPrice(Decimal(bid), wire.USD) if bid else None,
        )
        facts = {
            PUBLIC_KEY: order.public_key,
            DISK: str(max(wire.DISK_GB, order.disk)),
            IMAGE: order.image or self._context.settings["image"],
        }
        return await self.reserve_offer(order, wanted, wire.USD, facts)

    async def create_machine(self, lease: Lease) -> str:
        bid = lease.offer.provider_data.get(wire.BID)
        reply = await self._client.call(
            "PUT",
            f"/api/v0/asks/{parse_ask_id(lease.offer.key)}/",
            json={
                "client_id": "me",
                "image": lease.provider_data[IMAGE],
                "disk": int(lease.provider_data[DISK]),
                "label": lease.label,
                "runtype": "ssh_direc ssh_proxy",
                "cancel_unavail": True,
                "target_state": "running",
                # Without a price, the machine is rented on demand.
                **({"price": bid} if bid else {}),
            },
            spent=Spent.UNKNOWN,
        )
        created = reply.body.get("new_contract")
        if created is not None and not reply.error:
            return str(reply.get_integer(reply.body, "new_contract"))
        if created is not None:
            # A create that is refused may leave a stopped machine all the same, whose disk costs money.
            await self._delete(str(reply.get_integer(reply.body, "new_contract")), lease)
        elif _is_taken(reply):
            return ""
        elif not reply.error:
            raise reply.make_unexpected_response(_("a created machine without its number"))
        raise _make_create_error(lease, reply)

    async def find_machine(self, label: str) -> str:
        found = await self._instances.find_by_label(label)
        if found is None:
            return ""
        if self._is_leftover(found):
            # Nobody can have stopped it yet: the answer was lost that its create was refused.
            await self._delete(found.id)
            raise _make_leftover_error(found.note)
        return found.id

    def _is_leftover(self, found: wire.Instance) -> bool:
        """Whether it is what the refused create of a spot machine has just left behind; an older one may have files."""
        is_stopped = found.status == "stopped" and not found.wants_to_run
        is_new = found.started_at and self._context.clock.now() - found.started_at < LEFTOVER_AGE
        return found.is_bid and is_stopped and bool(is_new)

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        instance = await self._instances.find_by_id(lease.ref)
        if instance is None:
            return _make_absent()
        seen = apply_instance(await self._with_key(lease), instance)
        return await add_access_source(self._context, seen, self._context.settings["url"])

    def set_public_key(self, lease: Lease, public_key: str) -> Lease:
        known = {name: value for name, value in lease.provider_data.items() if name != HAS_KEY}
        return evolve(lease, provider_data={**known, PUBLIC_KEY: public_key})

    async def _with_key(self, lease: Lease) -> Lease:
        """Attach the lease's key to its machine unless that is known to be done; the service may be told twice."""
        key = lease.provider_data.get(PUBLIC_KEY, "")
        if not key or lease.is_over or lease.provider_data.get(HAS_KEY):
            return lease
        path = f"/api/v0/instances/{int(lease.ref)}/ssh/"
        reply = await self._client.call("POST", path, json={"ssh_key": key})
        if reply.error and "already" not in reply.message.lower():
            text = _("vast.ai did not add the lease's key: {why}").format(why=quote_reason(reply.message))
            raise LeaseError(text, burning=(lease.id,), retryable=True)
        if not reply.error and not reply.is_confirmed:
            raise reply.make_unexpected_response(_("it does not say that the key was added"))
        return evolve(lease, provider_data={**lease.provider_data, HAS_KEY: "yes"})

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        if not await self._delete(lease.ref, lease):
            return _make_absent()
        return self.make_released(lease, _("deleted at vast.ai"))

    async def _delete(self, ref: str, lease: Lease | None = None) -> bool:
        """Delete a machine; return whether it was there. Raises `LeaseError` if the service refuses it."""
        reply = await self._client.call("DELETE", f"/api/v0/instances/{int(ref)}/", json={}, spent=Spent.YES)
        if reply.error and reply.error not in GONE_ERRORS:
            raise make_release_error(wire.SERVICE, reply.message, () if lease is None else (lease.id,))
        if not reply.error and not reply.is_confirmed:
            raise reply.make_unexpected_response(
                _("it does not say that the machine was deleted"), Spent.UNKNOWN
            )
        return not reply.error

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for instance in await self._instances.list_instances():
            lease = Lease(id="", provider="vast", offer=instance.offer, ref=instance.id, label=instance.label)
            found.append(apply_instance(lease, instance))
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))

    async def quote_refund(self, lease: Lease) -> Money:
        """Return what is left of a prepayment, less the discount so far and the fee, as the service computes it."""
        if lease.is_over or not lease.ref:
            return wire.USD.zero
        reply = await self._client.call_checked("GET", f"/api/v0/instances/balance/{int(lease.ref)}/")
        return reply.get_money(reply.body, "refundable_deposit", wire.USD)

    # stopping and bids

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        reply = await self._set_state(lease, "stopped")
        if reply.error in GONE_ERRORS:
            return _make_absent()
        if reply.error:
            text = _("vast.ai did not stop the machine: {why}").format(why=quote_reason(reply.message))
            raise LeaseError(text, burning=(lease.id,))
        return await self.refresh_lease(lease)

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        reply = await self._set_state(lease, "running")
        if reply.error in GONE_ERRORS:
            return _make_absent()
        if reply.error and reply.status < 400:
            # The start is queued, and would begin by itself as soon as the GPUs are free.
            await self._set_state(lease, "stopped")
            text = _("others use the GPUs of this machine: {why}").format(why=quote_reason(reply.message))
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        if reply.error:
            raise _make_create_error(lease, reply)
        return await self.refresh_lease(lease)

    async def _set_state(self, lease: Lease, state: str) -> wire.VastReply:
        path = f"/api/v0/instances/{int(lease.ref)}/"
        return await self._client.call("PUT", path, json={"state": state}, spent=Spent.UNKNOWN)

    async def set_stop_time(self, lease: Lease, at: datetime | None) -> datetime | None:
        if at is not None and await self._instances.find_by_id(lease.ref) is None:
            return None
        wanted = None if at is None else find_full_hour(at, self._context.clock.now())
        await StopSchedule(self._client, int(lease.ref)).set_time(wanted)
        return wanted

    async def change_bid(self, lease: Lease, price: UnitPrice) -> Lease | Absent:
        if not lease.offer.spot:
            raise UsageError(_("{lease} is not a spot machine").format(lease=lease.id))
        bid = to_usd_per_hour(price)
        path, body = (
            f"/api/v0/instances/bid_price/{int(lease.ref)}/",
            {"client_id": "me", "price": f"{bid:f}"},
        )
        reply = await self._client.call("PUT", path, json=body, spent=Spent.UNKNOWN)
        if reply.error in GONE_ERRORS:
            return _make_absent()
        if reply.error:
            text = _("vast.ai did not take the bid: {why}").format(why=quote_reason(reply.message))
            raise LeaseError(text, burning=(lease.id,))
        if not reply.is_confirmed:
            raise reply.make_unexpected_response(_("it does not say that the bid was changed"))
        return await self.refresh_lease(evolve(lease, offer=wire.change_bid(lease.offer, bid)))


def _make_absent() -> Absent:
    return Absent(_("no longer among the account's machines"))


def _make_leftover_error(why: str) -> SoldOut:
    return SoldOut(
        _("vast.ai refused the order, and what it left was deleted: {why}").format(why=quote_reason(why)),
        hint=_("Bid more, or pick another machine: gpurent offers --spot"),
        spent=Spent.NO,
    )


def _is_taken(reply: wire.VastReply) -> bool:
    return reply.error in TAKEN_ERRORS or reply.status == 410


def _make_create_error(lease: Lease, reply: wire.VastReply) -> LeaseError | MoneyError | SoldOut:
    why = quote_reason(reply.message)
    if _is_taken(reply):
        return make_taken_error(lease.offer.key)
    if "credit" in reply.message.lower() or "balance" in reply.message.lower():
        return make_credit_error("vast", wire.SERVICE, reply.message)
    if "bid" in reply.error:
        return _make_leftover_error(reply.message)
    # Not one of the refusals that are known: it may have been created all the same.
    return LeaseError(_("vast.ai rejected the order: {why}").format(why=why))
