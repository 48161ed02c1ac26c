"""RunPod's pods: offers of its catalog, one create with our label, and what the API says of the pod."""

from __future__ import annotations

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
    UnexpectedResponse,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    make_taken_error,
    quote_reason,
    quote_text,
)
from gpurent_plugin_runpod import _, wire
from gpurent_plugin_runpod.keys import AccountKeys

PAGE_SIZE = 100
# No machine-readable code tells these from a malformed order; both are answered with status 400.
SOLD_OUT_WORDS = ("no longer any instances", "not have the resources", "not enough free")
# Nothing was created after these.
REFUSALS = frozenset({400, 402, 403, 404, 422})
STARTING = frozenset({"PROVISIONING", "STARTING"})
# What provider_data holds.
PUBLIC_KEY, IMAGE = "public_key", "image"


class RunpodProvider(LabelledProvider, SupportsStop, SupportsStart):
    """RunPod as a provider. A pod is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE)
        self._context = context
        self._client = wire.make_api(context)
        self._keys = AccountKeys(context, self._client)

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        if requirements.spot or requirements.cpu_only:
            return Known(())
        gpus, disk = max(1, requirements.gpus), max(wire.VOLUME_GB, requirements.disk)
        params = {"include": "AVAILABILITY", "product": "POD", "cloud": "SECURE", "count": str(gpus)}
        if requirements.cuda:
            params["minCudaVersion"] = requirements.cuda
        reply = await self._client.call_checked("GET", "/v2/catalog/gpus", params=params)
        found = wire.parse_offers(reply, gpus, disk, requirements.cuda)
        wanted = requirements.machine
        return Known(tuple(offer for offer in found if not wanted or offer.key == wanted))

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("RunPod can only rent new machines"))
        ordered = order.offer
        wanted = Requirements(
            machine=ordered.key,
            gpus=ordered.hardware.gpus,
            disk=order.disk,
            cuda=ordered.provider_data.get(wire.CUDA, ""),
        )
        listed = await self.list_offers(wanted)
        offers = listed.items if isinstance(listed, Known) else ()
        offer = next((offer for offer in offers if offer.available), None)
        if offer is None and not await self.find_machine(order.key):
            raise make_taken_error(ordered.key)
        return Lease(
            id="",
            provider="runpod",
            offer=offer or ordered,
            state=LeaseState.PAYABLE,
            pending=PendingOrder(
                key=order.key, kind=order.kind, bill=Bill(key=order.key, payee="", amount=wire.USD.zero)
            ),
            provider_data={
                PUBLIC_KEY: order.public_key,
                IMAGE: order.image or self._context.settings["image"],
            },
        )

    async def create_machine(self, lease: Lease) -> str:
        facts = lease.offer.provider_data
        gpu = {"id": facts[wire.GPU], "count": lease.offer.hardware.gpus}
        if facts.get(wire.CUDA):
            gpu["minCudaVersion"] = facts[wire.CUDA]
        body = {
            "name": lease.label,
            "image": lease.provider_data[IMAGE],
            "cloud": "SECURE",
            "gpu": gpu,
            "dataCenterIds": [facts[wire.DATA_CENTER]],
            "disk": wire.CONTAINER_GB,
            "mounts": {"persistent": {"size": lease.offer.hardware.disk, "path": "/workspace"}},
            "ports": ["22/tcp"],
            "startSsh": True,
        }
        async with self._keys.hold_key(lease.provider_data[PUBLIC_KEY]):
            reply = await self._client.call("POST", "/v2/pods", json=body, spent=Spent.UNKNOWN)
        if not reply.error:
            pod = wire.parse_pod(reply, reply.body)
            if pod.id and pod.name == lease.label:
                return pod.id
            raise reply.make_unexpected_response(_("a created pod without its id or name"), Spent.UNKNOWN)
        if _is_sold_out(reply):
            return ""
        raise _make_refusal(lease, reply)

    async def find_machine(self, label: str) -> str:
        found = [pod for pod in await self._list_pods() if pod.name == label]
        oldest = min(found, key=lambda pod: (pod.created_at is None, pod.created_at, pod.id), default=None)
        return oldest.id if oldest is not None else ""

    async def _list_pods(self) -> list[wire.Pod]:
        """Return the account's pods that were not terminated; those of its clusters are no machines of their own."""
        pages = self._client.read_pages("/v2/pods", {"limit": str(PAGE_SIZE)}, **wire.PAGES)
        found = [wire.parse_pod(page, row) async for page in pages for row in page.get_rows("pods")]
        return [pod for pod in found if pod.status != "TERMINATED"]

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._client.call("GET", _make_path(lease))
        if reply.is_missing:
            return _make_absent()
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        pod = wire.parse_pod(reply, reply.body)
        if pod.id != lease.ref:
            raise reply.make_unexpected_response(_("another pod than the one asked for"))
        seen = _apply_pod(lease, pod)
        return await add_access_source(self._context, seen, self._context.settings["url"])

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        reply = await self._client.call("DELETE", _make_path(lease), spent=Spent.YES)
        if reply.error and not reply.is_missing:
            raise LeaseError(
                _("RunPod did not terminate the pod: {why}").format(why=quote_reason(reply.message)),
                hint=_("It still costs money. Terminate it on the page of your pods at RunPod."),
                spent=Spent.YES,
                burning=(lease.id,),
            )
        if not reply.error and reply.status != 204:
            raise reply.make_unexpected_response(
                _("it does not say that the pod was terminated"), Spent.UNKNOWN
            )
        if key := lease.provider_data.get(PUBLIC_KEY):
            await self._keys.remove_key(key)
        if reply.error:
            return _make_absent()
        ended = lease.with_state(LeaseState.RELEASED, _("terminated at RunPod"))
        return evolve(ended, endpoint=None, ended_at=self._context.clock.now(), pending=None)

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = [
            _apply_pod(Lease(id="", provider="runpod", offer=pod.offer, ref=pod.id, label=pod.name), pod)
            for pod in await self._list_pods()
        ]
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))

    # stopping and starting: what the pod is then, and not the answer, says whether it was done

    async def stop_lease(self, lease: Lease) -> Lease | Absent:
        reply = await self._act(lease, "stop")
        if reply.error and reply.status != 409 and not reply.is_missing:
            raise self._make_action_error(_("RunPod did not stop the pod: {why}"), lease, reply)
        seen = await self.refresh_lease(lease)
        if reply.status == 409 and isinstance(seen, Lease) and not seen.is_stopped:
            raise self._make_action_error(_("RunPod did not stop the pod: {why}"), lease, reply)
        return seen

    async def start_lease(self, lease: Lease) -> Lease | Absent:
        reply = await self._act(lease, "start")
        if _is_sold_out(reply):
            text = _("others use the GPUs of this pod's host: {why}").format(why=quote_reason(reply.message))
            raise SoldOut(text, spent=Spent.NO, burning=(lease.id,))
        if reply.error and reply.status != 409 and not reply.is_missing:
            raise _make_refusal(lease, reply)
        seen = await self.refresh_lease(lease)
        if reply.status == 409 and isinstance(seen, Lease) and seen.is_stopped:
            raise self._make_action_error(_("RunPod did not start the pod: {why}"), lease, reply)
        return seen

    async def _act(self, lease: Lease, action: str) -> wire.RunpodReply:
        return await self._client.call(
            "POST", f"{_make_path(lease)}/action", json={"action": action}, spent=Spent.UNKNOWN
        )

    def _make_action_error(self, text: str, lease: Lease, reply: wire.RunpodReply) -> LeaseError:
        return LeaseError(text.format(why=quote_reason(reply.message)), burning=(lease.id,))


def _make_path(lease: Lease) -> str:
    if not lease.ref.isalnum() or not lease.ref.isascii():
        raise UsageError(_("{ref} is no pod of RunPod").format(ref=quote_text(lease.ref)))
    return f"/v2/pods/{lease.ref}"


def _make_absent() -> Absent:
    return Absent(_("no longer among the account's pods"))


def _is_sold_out(reply: wire.RunpodReply) -> bool:
    return reply.status == 400 and any(words in reply.message for words in SOLD_OUT_WORDS)


def _make_refusal(lease: Lease, reply: wire.RunpodReply) -> LeaseError | MoneyError | UnexpectedResponse:
    why = quote_reason(reply.message)
    if reply.status == 402:
        return MoneyError(
            _("RunPod rents out nothing for the credit that is left: {why}").format(why=why),
            hint=_("Nothing was spent. It takes the price of an hour at least: gpurent topup runpod 10"),
            spent=Spent.NO,
        )
    if reply.status in REFUSALS:
        return LeaseError(_("RunPod rejected the order: {why}").format(why=why), spent=Spent.NO)
    return reply.make_unexpected_response(why, Spent.UNKNOWN)


def _apply_pod(lease: Lease, pod: wire.Pod) -> Lease:
    """Return the lease as the pod's status has it."""
    seen = evolve(lease, started_at=lease.started_at or pod.created_at)
    if pod.status == "RUNNING" and pod.endpoint is not None:
        return evolve(_move(seen, LeaseState.READY), endpoint=pod.endpoint, note="")
    if pod.status == "RUNNING":
        return _move(seen, LeaseState.PROVISIONING, _("its SSH port is not mapped yet"))
    if pod.status in STARTING:
        return _move(seen, LeaseState.PROVISIONING, _("the pod is starting"))
    if pod.status == "EXITED":
        note = _("its disk costs money until the pod is terminated")
        return evolve(_move(seen, LeaseState.STOPPED, note), endpoint=None)
    if pod.status == "ERROR":
        note = _("RunPod reports an error of the pod; it may cost money until it is terminated")
        return evolve(_move(seen, LeaseState.INTERRUPTED, note), endpoint=None)
    if pod.status == "TERMINATED":
        return evolve(_move(seen, LeaseState.RELEASED, _("terminated at RunPod")), endpoint=None)
    raise UnexpectedResponse(
        _("RunPod names a state of the pod that gpurent does not know: {state}").format(
            state=quote_text(pod.status)
        ),
        url="/v2/pods",
    )


def _move(lease: Lease, state: LeaseState, note: str = "") -> Lease:
    return lease if lease.state is state else lease.with_state(state, note)
