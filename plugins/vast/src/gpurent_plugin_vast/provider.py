"""vast.ai's machines: offers of its market, one create with our label, and what the API says of the machine."""

from __future__ import annotations

import re
from datetime import timedelta

from attrs import evolve

from gpurent.api import (
    Absent,
    Bill,
    Known,
    Lease,
    LeaseError,
    LeaseProvider,
    LeaseState,
    MoneyError,
    Offer,
    Order,
    OrderKind,
    Payment,
    PendingOrder,
    PluginContext,
    Requirements,
    SoldOut,
    Spent,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    quote_reason,
    quote_text,
)
from gpurent_plugin_vast import _, wire
from gpurent_plugin_vast.client import VastClient
from gpurent_plugin_vast.instances import InstanceList, apply_instance

# A machine that was created is in the list after this time, if it was created at all (assumed).
LISTING_DELAY = timedelta(minutes=1)
MAX_OFFERS = 200
# The offer is not there any more, or somebody else took it.
TAKEN_ERRORS = frozenset({"no_such_ask", "ask_not_available", "http-410"})
GONE_ERRORS = frozenset({"no_such_instance", "not_found"})
# What provider_data holds.
PUBLIC_KEY, DISK, IMAGE, HAS_KEY = "public_key", "disk", "image", "has_key"


class VastProvider(LeaseProvider):
    """vast.ai as a provider. A machine is found by its label, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._client = VastClient(context)
        self._instances = InstanceList(context, self._client)

    # offers

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        query: dict[str, object] = {
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "type": "ondemand",
            "allocated_storage": wire.DISK_GB,
            "order": [["dph_total", "asc"]],
            "limit": MAX_OFFERS,
        }
        if requirements.machine:
            query["id"] = {"eq": _parse_ask_id(requirements.machine)}
        elif requirements.gpu:
            names = await self._list_gpu_names(requirements.gpu)
            if not names:
                return Known(())
            query["gpu_name"] = {"in": names}
        reply = await self._client.call_checked("POST", "/api/v0/bundles/", json=query)
        return Known(tuple(wire.parse_offers(reply)))

    async def _list_gpu_names(self, wanted: str) -> list[str]:
        """Return the service's names of a GPU that may be spelled ``RTX 4090``, ``rtx_4090`` or ``4090``."""
        reply = await self._client.call_checked("GET", "/api/v0/gpu_names/unique/")
        names = reply.body.get("gpu_names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise reply.make_unexpected_response(_("list expected"))
        return [name for name in names if _simplify(wanted) in _simplify(name)]

    # orders

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("vast.ai can only rent new machines"))
        listed = await self.list_offers(Requirements(machine=order.offer.key))
        offers = listed.items if isinstance(listed, Known) else ()
        offer = next((offer for offer in offers if offer.key == order.offer.key and offer.available), None)
        if offer is None and await self._instances.find_by_label(order.key) is None:
            raise _make_sold_out(order.offer.key)
        return Lease(
            id="",
            provider="vast",
            offer=offer or order.offer,
            state=LeaseState.PAYABLE,
            pending=PendingOrder(
                key=order.key, kind=order.kind, bill=Bill(key=order.key, payee="", amount=wire.USD.zero)
            ),
            provider_data={
                PUBLIC_KEY: order.public_key,
                DISK: str(wire.DISK_GB + order.disk),
                IMAGE: order.image or self._context.settings["image"],
            },
        )

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        pending = lease.pending
        if pending is None:
            return lease
        if pending.sent_at is not None:
            # An earlier request may have been carried out; the label tells.
            found = await self._instances.find_by_label(lease.label)
            if found is not None:
                return await self._adopt(lease, found.id)
            if self._may_still_appear(pending):
                return lease
        reply = await self._client.call(
            "PUT",
            f"/api/v0/asks/{_parse_ask_id(lease.offer.key)}/",
            json={
                "client_id": "me",
                "image": lease.provider_data[IMAGE],
                "disk": int(lease.provider_data[DISK]),
                "label": lease.label,
                "runtype": "ssh_direc ssh_proxy",
                "cancel_unavail": True,
                "target_state": "running",
            },
            spent=Spent.UNKNOWN,
        )
        # Named in errors too: a create may fail and leave a machine.
        created = reply.body.get("new_contract")
        if created is not None:
            return await self._adopt(lease, str(reply.get_integer(reply.body, "new_contract")))
        if _is_taken(reply):
            # A request that arrives twice is refused like that: the machine may be ours.
            found = await self._instances.find_by_label(lease.label)
            if found is not None:
                return await self._adopt(lease, found.id)
            if pending.sent_at is None or self._may_still_appear(pending):
                return lease
        if not reply.error:
            raise reply.make_unexpected_response(_("a created machine without its number"), Spent.UNKNOWN)
        raise _make_create_error(lease, reply)

    def _may_still_appear(self, pending: PendingOrder) -> bool:
        return pending.sent_at is not None and self._context.clock.now() - pending.sent_at < LISTING_DELAY

    async def _adopt(self, lease: Lease, ref: str) -> Lease:
        """Return the lease with the machine that its order created."""
        return evolve(lease.with_state(LeaseState.PROVISIONING), pending=None, ref=ref)

    # leases

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        if not lease.ref:
            if lease.pending is None or lease.pending.sent_at is None:
                return lease
            found = await self._instances.find_by_label(lease.label)
            return await self._adopt(lease, found.id) if found is not None else lease
        instance = await self._instances.find_by_id(lease.ref)
        if instance is None:
            return Absent(_("no longer among the account's machines"))
        return await self._add_source(apply_instance(await self._with_key(lease), instance))

    async def _with_key(self, lease: Lease) -> Lease:
        """Attach the lease's key to its machine unless that is known to be done; the service may be told twice."""
        key = lease.provider_data.get(PUBLIC_KEY, "")
        if not key or lease.is_over or lease.provider_data.get(HAS_KEY):
            return lease
        path = f"/api/v0/instances/{int(lease.ref)}/ssh/"
        reply = await self._client.call("POST", path, json={"ssh_key": key})
        if reply.error and "already" not in reply.message.lower():
            raise LeaseError(
                _("vast.ai did not add the lease's key: {why}").format(why=quote_text(reply.message)),
                burning=(lease.id,),
                retryable=True,
            )
        if not reply.error and not reply.is_confirmed:
            raise reply.make_unexpected_response(_("it does not say that the key was added"))
        return evolve(lease, provider_data={**lease.provider_data, HAS_KEY: "yes"})

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        if lease.is_over:
            return lease
        if not lease.ref:
            settled = await self._settle_create(lease)
            if not settled.ref:
                return settled
            lease = settled
        reply = await self._client.call(
            "DELETE", f"/api/v0/instances/{int(lease.ref)}/", json={}, spent=Spent.YES
        )
        if reply.error in GONE_ERRORS:
            return Absent(_("no longer among the account's machines"))
        if reply.error:
            raise LeaseError(
                _("vast.ai did not delete the machine: {why}").format(why=quote_text(reply.message)),
                hint=_("It still costs money. Delete it on the page of your machines at vast.ai."),
                spent=Spent.YES,
                burning=(lease.id,),
            )
        if not reply.is_confirmed:
            raise reply.make_unexpected_response(
                _("it does not say that the machine was deleted"), Spent.UNKNOWN
            )
        ended = lease.with_state(LeaseState.RELEASED, _("deleted at vast.ai"))
        return evolve(ended, endpoint=None, ended_at=self._context.clock.now(), pending=None)

    async def _settle_create(self, lease: Lease) -> Lease:
        """Return the lease cancelled if nothing was created, or with its machine; as it is while that is not known."""
        pending = lease.pending
        if pending is None or pending.sent_at is None:
            return evolve(lease.with_state(LeaseState.CANCELLED, _("never created")), pending=None)
        found = await self._instances.find_by_label(lease.label)
        if found is not None:
            return await self._adopt(lease, found.id)
        if self._may_still_appear(pending):
            return evolve(lease, note=_("vast.ai does not show whether it created a machine; asking again"))
        note = _("vast.ai never listed a machine for this order")
        return evolve(lease.with_state(LeaseState.CANCELLED, note), pending=None)

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for instance in await self._instances.list_instances():
            lease = Lease(id="", provider="vast", offer=instance.offer, ref=instance.id, label=instance.label)
            found.append(apply_instance(lease, instance))
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))

    async def _add_source(self, lease: Lease) -> Lease:
        return await add_access_source(self._context, lease, self._context.settings["url"])


def _simplify(name: str) -> str:
    """``NVIDIA GeForce RTX_4090`` and ``rtx 4090`` have the same letters and digits that matter."""
    return re.sub(r"nvidia|geforce|[^a-z0-9]", "", name.lower())


def _parse_ask_id(key: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", key, re.ASCII):
        raise UsageError(_("{key} is no offer of vast.ai").format(key=quote_text(key)))
    return int(key)


def _make_sold_out(key: str) -> SoldOut:
    return SoldOut(
        _("machine {machine} is taken").format(machine=key),
        hint=_("Nothing was spent. Pick another machine: gpurent offers"),
        spent=Spent.NO,
    )


def _is_taken(reply: wire.VastReply) -> bool:
    return reply.error in TAKEN_ERRORS or reply.status == 410


def _make_create_error(lease: Lease, reply: wire.VastReply) -> LeaseError | MoneyError | SoldOut:
    if _is_taken(reply):
        return _make_sold_out(lease.offer.key)
    if "credit" in reply.message.lower() or "balance" in reply.message.lower():
        return MoneyError(
            _("vast.ai rents out nothing for the credit that is left: {why}").format(
                why=quote_reason(reply.message)
            ),
            hint=_("Nothing was spent. Add credit first: gpurent topup vast 10"),
            spent=Spent.NO,
        )
    # Not one of the refusals that are known: it may have been created all the same.
    return LeaseError(_("vast.ai rejected the order: {why}").format(why=quote_reason(reply.message)))
