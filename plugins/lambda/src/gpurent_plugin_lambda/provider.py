"""Lambda Cloud's machines: types and regions with capacity, one launch with our name, and what its API says then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

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
    OrderKind,
    PluginContext,
    Requirements,
    Spent,
    UnexpectedResponse,
    Unknown,
    UsageError,
    add_access_source,
    add_access_sources,
    begin_request,
    make_payable_lease,
    make_taken_error,
    may_have_spent,
    quote_reason,
    quote_text,
)
from gpurent_plugin_lambda import _, wire
from gpurent_plugin_lambda.keys import LambdaKeys

# What provider_data holds beside the key. BILLED_FROM: the last moment at which it was known not to be billed.
IMAGE, BILLED_FROM = "image", "billed_from"
ENDED = frozenset({"terminating", "terminated", "preempted"})


class LambdaProvider(KeyedProvider):
    """Lambda Cloud as a provider. A machine is found by its name, which is the order's key."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._api = wire.make_api(context)
        super().__init__(context, wire.SERVICE, LambdaKeys(self._api), wire.MAX_NAME_LENGTH)

    # offers and orders

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(tuple(wire.parse_offers(await self._api.call_checked("GET", wire.TYPES_PATH))))

    async def reserve_lease(self, order: Order) -> Lease:
        if order.kind is not OrderKind.NEW:
            raise UsageError(_("Lambda Cloud can only rent new machines"))
        offers = wire.parse_offers(await self._api.call_checked("GET", wire.TYPES_PATH))
        offer = next((offer for offer in offers if offer.key == order.offer.key), None)
        if (offer is None or not offer.available) and not await self.find_machine(order.key):
            raise make_taken_error(order.offer.key)
        data = {
            PUBLIC_KEY: order.public_key,
            IMAGE: order.image,
            BILLED_FROM: self._context.clock.now().isoformat(),
        }
        return make_payable_lease(order, offer or order.offer, wire.USD, data)

    async def create_machine(self, lease: Lease) -> str:
        kind, region = wire.parse_key(lease.offer.key)
        name = (await self.begin_key(lease)).name
        image = lease.provider_data.get(IMAGE)
        reply = await self._api.call(
            "POST",
            wire.LAUNCH_PATH,
            json={
                "region_name": region,
                "instance_type_name": kind,
                "ssh_key_names": [name],
                "name": name,
                **({"image": {"family": image}} if image else {}),
            },
            spent=Spent.UNKNOWN,
        )
        if reply.error == wire.NO_CAPACITY:
            return ""
        if reply.error:
            raise _make_launch_error(reply)
        ids = reply.get_object(reply.body, "data").get("instance_ids")
        if not isinstance(ids, list) or len(ids) != 1:
            raise reply.make_unexpected_response(_("not exactly one machine was launched"))
        with may_have_spent():
            return await self._find_one(lease.label, reply.get_id({"id": ids[0]}))

    async def find_machine(self, label: str) -> str:
        return await self._find_one(label)

    async def _find_one(self, label: str, launched: str = "") -> str:
        """Find the order's machine. A second one is terminated: something on the way may send a launch twice."""
        found = [one for one in await self._list_instances() if one.name == self.name_machine(label)]
        there = sorted((one.id for one in found if one.status not in ENDED), key=lambda ref: ref != launched)
        for twin in there[1:]:
            await self._terminate(twin)
        return next(iter(there or [one.id for one in found]), launched)

    async def _list_instances(self) -> Sequence[wire.Instance]:
        reply = await self._api.call_checked("GET", wire.INSTANCES_PATH)
        return [wire.parse_instance(reply, row) for row in reply.get_rows("data")]

    # leases

    async def refresh_machine(self, lease: Lease) -> Lease | Absent:
        find_time = begin_request(self._context.clock)
        reply = await self._api.call("GET", f"{wire.INSTANCES_PATH}/{lease.ref}")
        if reply.error == wire.NO_OBJECT:
            return Absent(_("no longer among the account's machines"))
        if reply.error:
            raise reply.make_unexpected_response(quote_reason(reply.message))
        found = wire.parse_instance(reply, reply.get_object(reply.body, "data"))
        if found.id != lease.ref:
            raise reply.make_unexpected_response(_("another machine than the one asked for"))
        seen = apply_instance(await self._note_billing(lease, found, find_time()), found)
        if seen.is_over and not lease.is_over:
            seen = evolve(seen, ended_at=self._context.clock.now())
            await self.end_key(lease)
        return await add_access_source(self._context, seen, self._context.settings["url"])

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        if not await self._terminate(lease.ref, lease):
            return Absent(_("no longer among the account's machines"))
        ended = await self._note_start(lease, self._context.clock.now())
        ended = ended.with_state(LeaseState.RELEASED, _("terminated at Lambda Cloud"))
        return evolve(ended, endpoint=None, ended_at=self._context.clock.now(), pending=None)

    async def _note_billing(self, lease: Lease, instance: wire.Instance, asked_at: datetime) -> Lease:
        """Return the lease with the time from which it costs money: at the latest when it was not active yet."""
        if instance.status == "booting":
            data = {**lease.provider_data, BILLED_FROM: asked_at.isoformat()}
            return evolve(lease, provider_data=data)
        return await self._note_start(lease, asked_at)

    async def _note_start(self, lease: Lease, at: datetime) -> Lease:
        """Return the lease of a machine that may have been active unseen: billed since it was last known not to be.

        A machine of an order of ours that was listed late was not before the first create of that order.
        """
        if lease.started_at is not None:
            return lease
        noted = lease.provider_data.get(BILLED_FROM)
        known = datetime.fromisoformat(noted) if noted else await self.find_first_create(lease.label)
        return evolve(lease, started_at=known or at)

    async def _terminate(self, ref: str, lease: Lease | None = None) -> bool:
        """End a machine; return whether it was there. Raises `LeaseError` if the service refuses it."""
        reply = await self._api.call(
            "POST", wire.TERMINATE_PATH, json={"instance_ids": [ref]}, spent=Spent.YES
        )
        if reply.error == wire.NO_OBJECT:
            return False
        if reply.error:
            raise LeaseError(
                _("Lambda Cloud did not terminate the machine: {why}").format(
                    why=quote_reason(reply.message)
                ),
                hint=_("It still costs money. Terminate it on the page of your instances."),
                spent=Spent.YES,
                burning=(lease.id,) if lease is not None else (),
            )
        rows = reply.get_object(reply.body, "data").get("terminated_instances")
        named = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        if ref not in named:
            what = _("it does not say that the machine was terminated")
            raise reply.make_unexpected_response(what, Spent.UNKNOWN)
        return True

    async def list_leases(self) -> Known[Lease] | Unknown:
        found = []
        for instance in await self._list_instances():
            if instance.status in ENDED:
                continue  # listed for some minutes more, and not billed
            lease = Lease(
                id="", provider=wire.NAME, offer=instance.offer, ref=instance.id, label=instance.name
            )
            found.append(apply_instance(lease, instance))
        return Known(tuple(await add_access_sources(self._context, found, self._context.settings["url"])))


def apply_instance(lease: Lease, instance: wire.Instance) -> Lease:
    """Return the lease as the machine's status has it."""
    match instance.status:
        case "active" if instance.endpoint is not None:
            return evolve(lease.with_state(LeaseState.READY), endpoint=instance.endpoint, note="")
        case "active" | "booting":
            return lease.with_state(LeaseState.PROVISIONING, _("the machine is starting"))
        case "unhealthy":
            note = _("Lambda Cloud does not reach the machine, which costs money all the same")
            return evolve(lease.with_state(LeaseState.INTERRUPTED, note), endpoint=None)
        case "terminating" | "terminated":
            # Nothing is billed from the moment on at which that was asked for.
            note = _("terminated at Lambda Cloud")
            return evolve(lease.with_state(LeaseState.RELEASED, note), endpoint=None)
        case "preempted":
            return evolve(lease.with_state(LeaseState.GONE, _("Lambda Cloud took it back")), endpoint=None)
    raise UnexpectedResponse(
        _("Lambda Cloud names a state of the machine that gpurent does not know: {state}").format(
            state=quote_text(instance.status)
        ),
        url=wire.INSTANCES_PATH,
    )


def _make_launch_error(reply: wire.LambdaReply) -> LeaseError | MoneyError:
    why = quote_reason(reply.message)
    if reply.error in wire.ACCOUNT_ERRORS:
        text = _("Lambda Cloud rents out nothing to this account: {why}").format(why=why)
        return MoneyError(text, spent=Spent.NO)
    # A refusal that is not known may come after a launch all the same.
    spent = Spent.NO if reply.error in wire.LAUNCH_REFUSALS else Spent.UNKNOWN
    return LeaseError(_("Lambda Cloud rejected the order: {why}").format(why=why), spent=spent)
