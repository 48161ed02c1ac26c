"""CompShare's machines: sizes in stock, one create with our label as the name, and what the API says of a machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from math import ceil

from attrs import evolve

from gpurent.api import (
    Absent,
    CountedPages,
    GpurentError,
    Known,
    LabelledProvider,
    Lease,
    LeaseError,
    LeaseState,
    Money,
    Offer,
    Order,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsRefundQuote,
    SupportsStart,
    SupportsStop,
    SupportsStopTimer,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    make_credit_error,
    make_release_error,
    quote_reason,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.client import NAME, SERVICE, CompShareReply, make_api
from gpurent_plugin_compshare.offers import UNFIT_IMAGE, OfferSearch, make_disk

ARREARS, EXPIRED, NO_STOCK, NO_REAL_NAME = "226601", "226602", "226604", "226606"
RUNNING = frozenset({"Running", "Rebooting", "Stopping"})
INSTANCES = CountedPages(rows="UHostSet", total="TotalCount", param="Offset", size_param="Limit")
# What provider_data of a lease holds besides.
IMAGE, DISK = "image", "disk"
TIMER_NOTICE = timedelta(minutes=6)  # five are documented


class CompShareProvider(
    LabelledProvider, SupportsStop, SupportsStart, SupportsStopTimer, SupportsRefundQuote
):
    """CompShare as a provider. A machine is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, SERVICE)
        self._context, self._url = context, context.settings["url"]
        self._api = make_api(context)
        self._offers = OfferSearch(self._api, context.settings["image"])

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._offers.find_offers(requirements)))

    async def reserve_lease(self, order: Order) -> Lease:
        image = await self._offers.find_image(order.offer.provider_data, order.image)
        data = {IMAGE: image, DISK: str(order.disk)}
        return await self.reserve_offer(order, make_requirements(order), wire.CNY, data)

    async def create_machine(self, lease: Lease) -> str:
        _zone, gpu, count, cpus, memory = lease.offer.key.split(":")[:5]
        form = {
            # Without the ChargeType among them, a whole month is bought.
            **lease.offer.provider_data,
            "GpuType": gpu,
            "GPU": count,
            "CPU": cpus,
            "Memory": str(int(memory) * wire.MIB_IN_GIB),
            "MachineType": "G",
            "CompShareImageId": lease.provider_data[IMAGE],
            **make_disk(int(lease.provider_data[DISK])),
            "Name": lease.label,
            "MaxCount": "1",
        }
        reply = await self._api.call("POST", "CreateCompShareInstance", params=form, spent=Spent.UNKNOWN)
        if reply.error == NO_STOCK:
            return ""
        if reply.error:
            raise _make_create_error(reply)
        created = reply.get_texts("UHostIds")
        if len(created) != 1 or not created[0]:
            raise reply.make_unexpected_response(_("a created machine without its id"))
        return created[0]

    async def find_machine(self, label: str) -> str:
        rows = self._api.read_rows("DescribeCompShareInstance", INSTANCES)
        found = [
            page.get_id(row, "UHostId") async for page, row in rows if page.get_text(row, "Name") == label
        ]
        return min(found, default="")

    async def _read_instances(self, form: Mapping[str, str] | None = None) -> AsyncIterator[wire.Instance]:
        async for page, row in self._api.read_rows("DescribeCompShareInstance", INSTANCES, form):
            yield wire.parse_instance(page, row)

    async def find_instance(self, lease: Lease) -> wire.Instance | None:
        """Return the machine of a lease; None if a complete answer lacks it."""
        machine = wire.get_id(lease)
        listed = [seen async for seen in self._read_instances({"UHostIds.0": machine})]
        return next((seen for seen in listed if seen.lease.ref == machine), None)

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        instance = await self.find_instance(lease)
        return Absent() if instance is None else await self.apply_instance(lease, instance)

    async def apply_instance(self, lease: Lease, instance: wire.Instance) -> Lease:
        """Return the lease as the machine is, with its password in the vault."""
        seen = self._store_password(self._apply(lease, instance), instance)
        return await add_access_source(self._context, seen, self._url, has_password=True)

    def _apply(self, lease: Lease, instance: wire.Instance) -> Lease:
        listed = evolve(instance.lease, access_source=lease.access_source)
        seen = evolve(
            self.apply_listed(lease, listed),
            expires_at=listed.expires_at,
            kept_until=listed.kept_until,
            stops_at=listed.stops_at,
            provider_data={**lease.provider_data, **listed.provider_data},
        )
        is_ending = lease.release_requested_at is not None and instance.state in ("Stopping", "Stopped")
        return seen.with_state(LeaseState.RELEASING) if is_ending else seen

    def _store_password(self, lease: Lease, instance: wire.Instance) -> Lease:
        if lease.state is not LeaseState.READY or instance.password is None:
            return lease
        reference = lease.password_ref or f"password-{instance.lease.ref}"
        if self._context.vault.get(reference) != instance.password:
            self._context.vault.put(reference, instance.password)
        return evolve(lease, password_ref=reference)

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        """Delete the machine; stop it if that is refused, as only a stopped one can be deleted. Core calls again.

        Both are sent also if the list lacks the machine. A spot machine is stopped by force.
        """
        instance = await self.find_instance(lease)
        lease = lease if instance is None else self._apply(lease, instance)
        # Without ReleaseUDisk, data disks would stay, and cost money.
        reply = await self._act("TerminateCompShareInstance", lease, {"ReleaseUDisk": "true"})
        if not reply.error:
            ended = evolve(lease, expires_at=None, kept_until=None)
            return self.make_released(ended, _("deleted at CompShare"))
        if not reply.is_locked and (instance is None or instance.state in RUNNING):
            force = {"Force": "true"} if lease.offer.spot else {}
            reply = await self._act("StopCompShareInstance", lease, force)
        if reply.error and not reply.is_locked:
            if instance is None:
                return Absent()
            raise make_release_error(SERVICE, reply.message, (lease.id,))
        note = _("the machine is shutting down")
        if reply.is_locked:
            note = _("CompShare finishes an earlier operation first, which takes up to 10 minutes")
        return evolve(lease.with_state(LeaseState.RELEASING, note), endpoint=None)

    async def quote_refund(self, lease: Lease) -> Money:
        if lease.is_over or not lease.ref:
            return wire.CNY.zero
        machine = wire.get_id(lease)
        form = {**self._make_form(lease), "UHostIds.0": machine}
        reply = await self._api.call_checked("GET", "GetCompShareRefundPrice", params=form)
        row = next((row for row in reply.get_rows("RefundPriceSet") if row.get("UHostId") == machine), {})
        if row.get("Code") != 0:
            raise reply.make_unexpected_response(_("no refund for this machine"))
        return reply.get_money(row, "RefundPrice", wire.CNY)

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = [self._store_password(seen.lease, seen) async for seen in self._read_instances()]
        return Known(tuple(await add_access_sources(self._context, found, self._url, has_password=True)))

    # stopping and starting

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        if lease.offer.spot:
            raise UsageError(_("a spot machine of CompShare is not kept when it is stopped; release it"))
        return await self._change_state(lease, ("Stopping", "Stopped"), "StopCompShareInstance")

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        form = {"WithoutGpu": str(lease.offer.hardware.gpus == 0).lower()}
        return await self._change_state(lease, ("Starting", "Running"), "StartCompShareInstance", form)

    async def set_stop_time(self, lease: Lease, at: datetime | None) -> datetime | None:
        if lease.offer.spot or await self.find_instance(lease) is None:
            return None
        form = self._make_form(lease, {"ProjectId": (await self._context.get_login()).account})
        if at is None:
            await self._api.call_checked("POST", "DeleteCompShareStopScheduler", params=form)
            return None
        wanted = ceil(max(at, self.context.clock.now() + TIMER_NOTICE).timestamp())
        form["SchedulerStopTime"] = str(wanted)
        await self._api.call_checked("POST", "UpdateCompShareStopScheduler", params=form)
        return datetime.fromtimestamp(wanted, UTC)

    async def _change_state(
        self, lease: Lease, done: tuple[str, str], action: str, form: Mapping[str, str] | None = None
    ) -> Lease | Absent:
        """Send the action unless the machine is in, or on its way to, the state that it leads to."""
        instance = await self.find_instance(lease)
        if instance is None:
            return Absent()
        if instance.state not in done:
            await self.act_or_wait(action, lease, form)
        return await self.refresh_lease(lease)

    async def act_or_wait(self, action: str, lease: Lease, form: Mapping[str, str] | None = None) -> None:
        """Send an action that changes the machine's state; nothing happens while an earlier one is not finished."""
        reply = await self._act(action, lease, form)
        why = quote_reason(reply.message)
        if reply.error == NO_STOCK:
            text = _("CompShare has no GPU left for this machine: {why}").format(why=why)
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        if reply.error and not reply.is_locked:
            text = _("CompShare did not change the machine's state: {why}").format(why=why)
            raise LeaseError(text, burning=(lease.id,))

    async def _act(self, action: str, lease: Lease, form: Mapping[str, str] | None = None) -> CompShareReply:
        sent = self._make_form(lease, form)
        return await self._api.call("POST", action, params=sent, spent=Spent.UNKNOWN)

    def _make_form(self, lease: Lease, more: Mapping[str, str] | None = None) -> dict[str, str]:
        place = {name: lease.offer.provider_data[name] for name in ("Region", "Zone")}
        return {**place, "UHostId": wire.get_id(lease), **(more or {})}


def make_requirements(order: Order) -> Requirements:
    """Return what finds the order's offer as it is now."""
    offer = order.offer
    return Requirements(machine=offer.key, disk=order.disk, spot=offer.spot, image=order.image)


def _make_create_error(reply: CompShareReply) -> GpurentError:
    if reply.error == ARREARS:
        return make_credit_error(NAME, SERVICE, reply.message)
    text = _("CompShare rejected the order: {why}").format(why=quote_reason(reply.message))
    # After a refusal that is not known, the machine may have been created all the same.
    is_known = reply.error in (EXPIRED, UNFIT_IMAGE, NO_REAL_NAME)
    return LeaseError(text, spent=Spent.NO if is_known else None)
