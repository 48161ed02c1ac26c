"""CompShare's machines: sizes in stock, one create with our label as the name, and what the API says of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    Absent,
    Bill,
    Known,
    LabelledProvider,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Offer,
    Order,
    OrderKind,
    PendingOrder,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    SupportsStart,
    SupportsStop,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    make_taken_error,
    quote_reason,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.client import SERVICE, CompShareApi, CompShareReply
from gpurent_plugin_compshare.offers import UNFIT_IMAGE, OfferSearch, make_disks

ARREARS, EXPIRED, NO_STOCK, NO_REAL_NAME = "226601", "226602", "226604", "226606"
RUNNING = frozenset({"Running", "Rebooting", "Stopping"})
# What provider_data of a lease holds besides.
IMAGE, DISK, TIMER = "image", "disk", "timer"


class CompShareProvider(LabelledProvider, SupportsStop, SupportsStart):
    """CompShare as a provider. A machine is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context, SERVICE)
        self._context = context
        self._api = CompShareApi(context)
        self._offers = OfferSearch(self._api, context.settings["image"])

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._offers.find_offers(requirements)))

    async def find_offer(self, order: Order) -> Offer | None:
        """Return the order's offer as it is now, if it is in stock."""
        wanted = Requirements(
            machine=order.offer.key, disk=order.disk, spot=order.offer.spot, image=order.image
        )
        return next(iter(await self._offers.find_offers(wanted)), None)

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("CompShare can only rent new machines"))
        offer = await self.find_offer(order)
        if offer is None and not await self.find_machine(order.key):
            raise make_taken_error(order.offer.key)
        offer = offer or order.offer
        return Lease(
            id="",
            provider=wire.NAME,
            offer=offer,
            state=LeaseState.PAYABLE,
            pending=make_pending(order),
            password_ref=order.password_ref,
            provider_data={
                IMAGE: await self._offers.find_image(offer.provider_data, order.image),
                DISK: str(order.disk),
            },
        )

    async def create_machine(self, lease: Lease) -> str:
        _zone, gpu, count, cpus, memory = lease.offer.key.split(":")[:5]
        fields = {
            **self._get_place(lease),
            "GpuType": gpu,
            "GPU": int(count),
            "CPU": int(cpus),
            "Memory": int(memory) * wire.MIB_IN_GIB,
            "MachineType": "G",
            "CompShareImageId": lease.provider_data[IMAGE],
            "Disks": make_disks(int(lease.provider_data[DISK])),
            # Without it, a whole month is bought.
            "ChargeType": lease.offer.provider_data["ChargeType"],
            "Name": lease.label,
            "MaxCount": 1,
        }
        reply = await self._api.call("CreateCompShareInstance", fields, Spent.UNKNOWN)
        if reply.error == NO_STOCK:
            return ""
        if reply.error:
            raise _make_create_error(reply)
        created = reply.get_texts("UHostIds")
        if len(created) != 1 or not created[0]:
            raise reply.make_unexpected_response(_("a created machine without its id"), Spent.UNKNOWN)
        return created[0]

    async def find_machine(self, label: str) -> str:
        found = [instance for instance in await self._list_instances() if instance.name == label]
        return min((instance.id for instance in found), default="")

    async def _list_instances(self, machine: str = "") -> list[wire.Instance]:
        """Return all machines, or only the one with this id; empty if a complete list has none."""
        fields = {"UHostIds": [machine]} if machine else {}
        rows = await self._api.read_rows("DescribeCompShareInstance", fields, "UHostSet")
        found = [wire.parse_instance(page, row) for page, row in rows]
        return [instance for instance in found if machine in ("", instance.id)]

    async def find_instance(self, lease: Lease) -> wire.Instance | None:
        return next(iter(await self._list_instances(get_id(lease))), None)

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        instance = await self.find_instance(lease)
        return _make_absent() if instance is None else await self.apply_instance(lease, instance)

    async def apply_instance(self, lease: Lease, instance: wire.Instance) -> Lease:
        """Return the lease as the machine is, with its password in the vault and the service's timer set."""
        seen = await self._set_timer(self._store_password(wire.apply_instance(lease, instance), instance))
        url = self._context.settings["url"]
        return await add_access_source(self._context, seen, url, has_password=True)

    def _store_password(self, lease: Lease, instance: wire.Instance) -> Lease:
        if lease.state is not LeaseState.READY or instance.password is None:
            return lease
        reference = lease.password_ref or f"password-{instance.id}"
        if self._context.vault.get(reference) != instance.password:
            self._context.vault.put(reference, instance.password)
        return evolve(lease, password_ref=reference)

    async def _set_timer(self, lease: Lease) -> Lease:
        """Have CompShare itself shut a machine of ours down after the hours of the setting, once for each lease."""
        hours = int(self._context.settings.get("stop_after_hours", "0"))
        if (
            not hours
            or not lease.label
            or lease.state is not LeaseState.READY
            or TIMER in lease.provider_data
        ):
            return lease
        if lease.offer.spot:
            return lease
        at = self._context.clock.now() + timedelta(hours=hours)
        project = (await self._context.get_login()).account
        timer = {"ProjectId": project, "SchedulerStopTime": int(at.timestamp())}
        reply = await self.act("UpdateCompShareStopScheduler", lease, timer)
        if reply.error:
            text = _("CompShare did not set its timer: {why}").format(why=quote_reason(reply.message))
            return evolve(lease, note=text)
        return evolve(lease, provider_data={**lease.provider_data, TIMER: at.isoformat()})

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        """Only a stopped machine can be deleted, and only once an earlier operation is over: core calls again.

        Both are sent too if the list lacks the machine. A spot machine is stopped by force, if it has to be stopped.
        """
        instance = await self.find_instance(lease)
        lease = lease if instance is None else wire.apply_instance(lease, instance)
        tries_both = instance is None or lease.offer.spot
        reply: CompShareReply | None = None
        if instance is None or lease.offer.spot or instance.state not in RUNNING:
            # Without ReleaseUDisk, data disks would stay, and cost money.
            reply = await self.act("TerminateCompShareInstance", lease, {"ReleaseUDisk": True})
            if not reply.error:
                ended = evolve(
                    lease.with_state(LeaseState.RELEASED), note=_("deleted at CompShare"), pending=None
                )
                now = self._context.clock.now()
                return evolve(ended, endpoint=None, expires_at=None, kept_until=None, ended_at=now)
        if reply is None or (tries_both and not reply.is_locked):
            reply = await self.act(
                "StopCompShareInstance", lease, {"Force": True} if lease.offer.spot else {}
            )
        if reply.is_locked:
            note = _("CompShare finishes an earlier operation first, which takes up to 10 minutes")
        elif not reply.error:
            note = _("the machine is shutting down")
        elif instance is None:
            return _make_absent()
        else:
            raise LeaseError(
                _("CompShare did not delete the machine: {why}").format(why=quote_reason(reply.message)),
                hint=_("It still costs money. Delete it in the console of CompShare."),
                spent=Spent.YES,
                burning=(lease.id,),
            )
        return evolve(lease.with_state(LeaseState.RELEASING), note=note, endpoint=None)

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for instance in await self._list_instances():
            lease = Lease(
                id="", provider=wire.NAME, offer=instance.offer, ref=instance.id, label=instance.name
            )
            found.append(self._store_password(wire.apply_instance(lease, instance), instance))
        url = self._context.settings["url"]
        return Known(tuple(await add_access_sources(self._context, found, url, has_password=True)))

    # stopping and starting

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        if lease.offer.spot:
            raise UsageError(_("a spot machine of CompShare is not kept when it is stopped; release it"))
        return await self._change_state(lease, "StopCompShareInstance", ("Stopping", "Stopped"), {})

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        more = {"WithoutGpu": lease.offer.hardware.gpus == 0}
        return await self._change_state(lease, "StartCompShareInstance", ("Starting", "Running"), more)

    async def _change_state(
        self, lease: Lease, action: str, done: tuple[str, str], more: Mapping[str, object]
    ) -> Lease | Absent:
        """Send the action unless the machine is in, or on its way to, the state that it leads to."""
        instance = await self.find_instance(lease)
        if instance is None:
            return _make_absent()
        if instance.state not in done:
            await self.act_or_wait(action, lease, more)
        return await self.refresh_lease(lease)

    async def act_or_wait(self, action: str, lease: Lease, more: Mapping[str, object] | None = None) -> None:
        """Send an action that changes the machine's state; nothing happens while an earlier one is not finished."""
        reply = await self.act(action, lease, more)
        why = quote_reason(reply.message)
        if reply.error == NO_STOCK:
            text = _("CompShare has no GPU left for this machine: {why}").format(why=why)
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        if reply.error and not reply.is_locked:
            text = _("CompShare did not change the machine's state: {why}").format(why=why)
            raise LeaseError(text, burning=(lease.id,))

    async def act(
        self, action: str, lease: Lease, more: Mapping[str, object] | None = None
    ) -> CompShareReply:
        fields = {**self._get_place(lease), "UHostId": get_id(lease), **(more or {})}
        return await self._api.call(action, fields, Spent.UNKNOWN)

    def _get_place(self, lease: Lease) -> dict[str, str]:
        return {name: lease.offer.provider_data[name] for name in ("Region", "Zone")}


def make_pending(order: Order) -> PendingOrder:
    return PendingOrder(
        key=order.key, kind=order.kind, bill=Bill(key=order.key, payee="", amount=wire.CNY.zero)
    )


def get_id(lease: Lease) -> str:
    """Return the machine's id, without what a lease's reference has behind it."""
    return lease.ref.partition("/")[0]


def _make_absent() -> Absent:
    return Absent(_("no longer among the account's machines"))


def _make_create_error(reply: CompShareReply) -> LeaseError | MoneyError:
    why = quote_reason(reply.message)
    if reply.error == ARREARS:
        return MoneyError(
            _("CompShare rents out nothing while money is owed: {why}").format(why=why),
            hint=_("Nothing was spent. Top up first: gpurent topup compshare 50"),
            spent=Spent.NO,
        )
    text = _("CompShare rejected the order: {why}").format(why=why)
    if reply.error in (EXPIRED, UNFIT_IMAGE, NO_REAL_NAME):
        return LeaseError(text, hint=_("Nothing was spent."), spent=Spent.NO)
    # Not one of the refusals that are known: it may have been created all the same.
    return LeaseError(text)
