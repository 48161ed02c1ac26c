"""Prime Intellect's pods: what its clouds have, one create with our name, and what its API says of the pod."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import evolve

from gpurent.api import (
    PUBLIC_KEY,
    Absent,
    KeyedProvider,
    Known,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Offer,
    Order,
    PluginContext,
    Requirements,
    Spent,
    UnexpectedResponse,
    Unknown,
    VolumeProvider,
    add_access_source,
    add_access_sources,
    make_release_error,
    may_have_spent,
    quote_reason,
    quote_text,
)
from gpurent_plugin_prime import _, wire
from gpurent_plugin_prime.keys import PrimeKeys
from gpurent_plugin_prime.volumes import PrimeVolumes

IMAGE, ENDED = "image", frozenset({"DELETING", "TERMINATED"})
# How a create is refused if others were faster; the documentation does not say.
TAKEN = re.compile(r"unavailable|not available|no longer|out of stock|capacity|sold out", re.IGNORECASE)


class PrimeProvider(KeyedProvider, VolumeProvider):
    """Prime Intellect as a provider. A pod is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._api = wire.make_api(context)
        self.volume_register = PrimeVolumes(self._api)
        super().__init__(context, wire.SERVICE, PrimeKeys(self._api), wire.MAX_NAME_LENGTH)

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(await self._find_offers(requirements.disk)))

    async def _find_offers(self, disk: int) -> Sequence[Offer]:
        """Return the offers of all pages, each once; the cheapest of those that are alike."""
        found: dict[str, Offer] = {}
        async for reply, row in self._api.read_rows(wire.OFFERS_PATH, wire.OFFERS):
            offer = wire.parse_offer(reply, row, disk)
            known = found.get(offer.key) if offer is not None else None
            if offer is not None and (known is None or offer.tariff.price.value < known.tariff.price.value):
                found[offer.key] = offer
        return list(found.values())

    async def reserve_lease(self, order: Order) -> Lease:
        data = {PUBLIC_KEY: order.public_key, IMAGE: order.image or self._context.settings["image"]}
        if order.volume is not None:
            data[wire.VOLUME] = order.volume.ref
        wanted = Requirements(disk=order.disk, mounted=order.volume)
        return await self.reserve_offer(order, wanted, wire.USD, data)

    async def create_machine(self, lease: Lease) -> str:
        key, chosen = await self.begin_key(lease), lease.offer.provider_data
        sizes = {"diskSize": wire.DISK, "vcpus": wire.CPUS, "memory": wire.MEMORY}
        pod = {
            "name": key.name,
            "cloudId": chosen[wire.CLOUD],
            "gpuType": chosen[wire.GPU],
            "socket": chosen[wire.SOCKET],
            "gpuCount": lease.offer.hardware.gpus,
            **{name: int(chosen[part]) for name, part in sizes.items() if chosen.get(part)},
            "image": lease.provider_data[IMAGE],
            "dataCenterId": chosen.get(wire.CENTER) or None,
            "sshKeyId": key.id,
            "autoRestart": False,
        }
        body = {"pod": pod, "provider": {"type": chosen[wire.OWNER]} if chosen.get(wire.OWNER) else {}}
        if volume := lease.provider_data.get(wire.VOLUME):
            body["disks"] = [volume]
        reply = await self._api.call("POST", wire.PODS_PATH, json=body, spent=Spent.UNKNOWN)
        if reply.status in (400, 404, 409, 410) and TAKEN.search(reply.detail):
            return ""
        if reply.error:
            raise _make_create_error(reply)
        with may_have_spent():
            return await self._find_one(lease.label, reply.get_id(reply.body))

    async def find_machine(self, label: str) -> str:
        return await self._find_one(label)

    async def _find_one(self, label: str, created: str = "") -> str:
        """Find the order's pod. A second one is deleted: something on the way may send a create twice."""
        found = [pod for pod in await self._list_pods() if pod.name == self.name_machine(label)]
        there = sorted((pod.id for pod in found if pod.status not in ENDED), key=lambda ref: ref != created)
        for twin in there[1:]:
            await self._delete(twin)
        return next(iter(there or [pod.id for pod in found]), created)

    async def _list_pods(self) -> Sequence[wire.Pod]:
        return [
            wire.parse_pod(reply, row) async for reply, row in self._api.read_rows(wire.PODS_PATH, wire.LIST)
        ]

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._api.call("GET", f"{wire.PODS_PATH}{lease.ref}")
        if reply.is_missing:
            return Absent(_("no longer among the account's pods"))
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        pod = wire.parse_pod(reply, reply.body)
        if pod.id != lease.ref:
            raise reply.make_unexpected_response(_("another pod than the one asked for"))
        seen = apply_pod(lease, pod)
        if seen.is_over and not lease.is_over:
            seen = evolve(seen, ended_at=self._context.clock.now())
            await self.end_key(lease)
        return await add_access_source(self._context, seen, self._context.settings["url"])

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        status = await self._delete(lease.ref, lease)
        if not status:
            return Absent(_("no longer among the account's pods"))
        if status == "DELETING":
            return evolve(lease.with_state(LeaseState.RELEASING, _("it is being deleted")), endpoint=None)
        return self.make_released(lease, _("deleted at Prime Intellect"))

    async def _delete(self, ref: str, lease: Lease | None = None) -> str:
        """Delete a pod; return the status that it has then, empty if it was not there."""
        reply = await self._api.call("DELETE", f"{wire.PODS_PATH}{ref}", spent=Spent.YES)
        if reply.is_missing:
            return ""
        if reply.error:
            burning = (lease.id,) if lease is not None else ()
            raise make_release_error(wire.SERVICE, reply.message, burning)
        status = reply.get_text(reply.body, "status")
        if status not in ENDED:
            raise reply.make_unexpected_response(_("it does not say that the pod was deleted"), Spent.UNKNOWN)
        return status

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for pod in await self._list_pods():
            lease = Lease(id="", provider=wire.NAME, offer=pod.offer, ref=pod.id, label=pod.name)
            found.append(apply_pod(lease, pod))
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))


def apply_pod(lease: Lease, pod: wire.Pod) -> Lease:
    """Return the lease as the pod's status has it."""
    seen = lease
    if pod.status == "ACTIVE":
        # It is not billed while it is provisioned.
        seen = evolve(seen, started_at=lease.started_at or pod.created_at)
        if pod.endpoint is not None and not pod.is_installing:
            return evolve(seen.with_state(LeaseState.READY), endpoint=pod.endpoint, note="")
    offline = evolve(seen, endpoint=None)
    match pod.status:
        case "ACTIVE" | "PROVISIONING" | "PENDING":
            return seen.with_state(LeaseState.PROVISIONING, _("the pod is being set up"))
        case "STOPPED":
            offer = evolve(offline.offer, stopped_price=pod.offer.stopped_price)
            return evolve(
                offline.with_state(LeaseState.STOPPED, _("stopped at Prime Intellect")), offer=offer
            )
        case "ERROR" | "UNKNOWN":
            said = quote_text(pod.failure) if pod.failure else pod.status
            note = _("Prime Intellect does not reach the pod: {said}").format(said=said)
            return offline.with_state(LeaseState.INTERRUPTED, note)
        case "DELETING":
            state = lease.state if lease.is_over else LeaseState.RELEASING
            return offline.with_state(state, _("it is being deleted"))
        case "TERMINATED":
            return offline.with_state(LeaseState.RELEASED, _("deleted at Prime Intellect"))
    raise UnexpectedResponse(
        _("Prime Intellect names a state of the pod that gpurent does not know: {state}").format(
            state=quote_text(pod.status)
        ),
        url=wire.PODS_PATH,
    )


def _make_create_error(reply: wire.PrimeReply) -> LeaseError | MoneyError:
    why = quote_reason(reply.message)
    if reply.status == 402:
        text = _("Prime Intellect rents out nothing for the money that is left: {why}")
        return MoneyError(text.format(why=why), spent=Spent.NO)
    # What a check of the request refuses was not created; anything else may have been.
    spent = Spent.NO if reply.status == 422 else Spent.UNKNOWN
    return LeaseError(_("Prime Intellect rejected the order: {why}").format(why=why), spent=spent)
