"""The account's machines: finding them by name or id, and what their states mean for a lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from attrs import evolve, frozen

from gpurent.api import Lease, LeaseState, list_machine_runs, make_state_error, note_machine_run, quote_text
from gpurent_plugin_autodl import _, wire
from gpurent_plugin_autodl.specs import make_tariff

PAGE_SIZE = 100
STARTING = frozenset({"creating", "created", "starting"})
# Nothing stops a release that has begun.
GONE = frozenset({"releasing", "released"})
ENDED = GONE | {"shutdown"}
# It is off, or will be without another request.
OFF = ENDED | {"shutting_down"}
FILES_KEPT_FOR = timedelta(days=15)
TWIN_INTERVAL = timedelta(seconds=10)
# In provider_data: what was agreed to be paid per hour.
AGREED = "price"


@frozen
class InstanceList:
    """Reads the account's machines."""

    client: wire.AutodlApi

    async def list_instances(self) -> Sequence[wire.Instance]:
        """Return all machines that are not released; raises `UnexpectedResponse` for an incomplete list."""
        found: dict[str, wire.Instance] = {}
        for page in count(1):
            asked = {"page_index": page, "page_size": PAGE_SIZE}
            reply = await self.client.call_checked("POST", f"{wire.PRO_PATH}/list", json=asked)
            before = len(found)
            found |= {
                row.id: row for row in (wire.parse_instance(reply, one) for one in reply.get_rows("list"))
            }
            if page >= reply.get_integer(reply.body, "max_page") or len(found) == before:
                if len(found) < reply.get_integer(reply.body, "result_total"):
                    raise reply.make_unexpected_response(_("the list of machines is incomplete"))
                break
        return list(found.values())

    async def find_by_name(self, name: str) -> str:
        """Return the id of the machine with this name, the oldest if there are several; empty if there is none."""
        found = [instance for instance in await self.list_instances() if instance.name == name]
        return min(found, key=lambda instance: (instance.created_at, instance.id)).id if found else ""

    async def find_by_id(self, ref: str) -> tuple[wire.Instance | None, Sequence[wire.Instance]]:
        """Return the machine, and others that the same order created because its request arrived twice.

        None if AutoDL says by name that there is none: one that the list lacks is asked for, and described by its state
        alone.
        """
        listed = await self.list_instances()
        found = next((instance for instance in listed if instance.id == ref), None)
        if found is None:
            status = await self.find_status(ref)
            return (None if status is None else wire.Instance(id=ref, status=status)), ()
        return found, [other for other in listed if _is_twin(other, found)]

    async def find_status(self, ref: str) -> str | None:
        """Return the machine's state; None if AutoDL says by name that there is none."""
        # The documentation sends a body with this GET; the service reads the query.
        reply = await self.client.call("GET", f"{wire.PRO_PATH}/status", params={"instance_uuid": ref})
        if reply.error == wire.GONE_ERROR:
            return None
        if reply.error:
            raise reply.make_unexpected_response(quote_text(reply.message))
        return reply.get_value()

    async def add_access(self, instance: wire.Instance) -> wire.Instance:
        """Return the machine with how to reach it and its price, if it runs."""
        if instance.status != "running":
            return instance
        asked = {"instance_uuid": instance.id}
        return wire.add_access(
            instance, await self.client.call_checked("GET", f"{wire.PRO_PATH}/snapshot", params=asked)
        )


def apply_instance(lease: Lease, instance: wire.Instance, now: datetime) -> Lease:
    """Return the lease as the machine's state has it."""
    seen, status = _note_run(lease, instance, now), instance.status
    if status == "running" and seen.endpoint is None:
        return _move(seen, LeaseState.PROVISIONING, _("its SSH port is not open yet"))
    if status == "running":
        paid, agreed = seen.offer.tariff.price, Decimal(seen.provider_data.get(AGREED, "Infinity"))
        note = _("it costs {price}, more than what was agreed").format(price=paid)
        return _move(seen, LeaseState.READY, note if paid.value > agreed else "")
    if status in STARTING:
        return _move(seen, LeaseState.PROVISIONING, _("the machine is starting: {said}").format(said=status))
    if status == "shutting_down":
        is_release = lease.release_requested_at is not None
        state = LeaseState.RELEASING if is_release else LeaseState.INTERRUPTED
        return _move(seen, state, _("the machine is being shut down"))
    if status == "shutdown":
        note = _("shut down, costs nothing; AutoDL deletes it once it was off for 15 days")
        stops = [now, *(run.stopped_at for run in list_machine_runs(seen) if run.stopped_at)]
        return evolve(_move(seen, LeaseState.STOPPED, note), kept_until=stops[-1] + FILES_KEPT_FOR)
    if status in GONE:
        return evolve(
            _move(seen, LeaseState.RELEASED, _("released at AutoDL")), ended_at=lease.ended_at or now
        )
    if status == "failed":
        # Nothing says that a machine that has run costs nothing then.
        state = LeaseState.FAILED if instance.started_at is None else LeaseState.INTERRUPTED
        return _move(seen, state, _("AutoDL says that the machine failed"))
    raise make_state_error(wire.SERVICE, status, f"{wire.PRO_PATH}/status")


def note_twin(lease: Lease, twin: wire.Instance, now: datetime) -> Lease:
    """Return the lease with the last run of a second machine of its order, which costs the same."""
    start, stop = _read_run(twin, now)
    return lease if start is None else note_machine_run(lease, start, stop, None, second=twin.id)


def _read_run(instance: wire.Instance, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return start and stop of its last run; None for what is not told, or has not come yet."""
    start, stop = instance.started_at, instance.stopped_at
    if instance.status not in ENDED:
        return start, None
    if stop is None or (start is not None and stop < start):
        # Of an earlier run, or not told: it is off now at the latest.
        stop = now
    return start, stop


def _note_run(lease: Lease, instance: wire.Instance, now: datetime) -> Lease:
    """Return the lease with the machine's last run, and the price and address that AutoDL states now."""
    start, stop = _read_run(instance, now)
    if instance.price is not None:
        price = evolve(instance.price, value=instance.price.value * max(1, lease.offer.hardware.gpus))
        lease = evolve(lease, offer=evolve(lease.offer, tariff=make_tariff(price), note=""))
    seen = note_machine_run(lease, start, stop, lease.offer.tariff.price if instance.price else None)
    return evolve(seen, started_at=lease.started_at or start, endpoint=instance.endpoint)


def _is_twin(other: wire.Instance, own: wire.Instance) -> bool:
    """Whether both were created by one request. A copy that the user made later may have the same name."""
    if not own.name or other.name != own.name or other.id == own.id:
        return False
    one, two = own.created_at, other.created_at
    return one is not None and two is not None and abs(one - two) <= TWIN_INTERVAL


def _move(lease: Lease, state: LeaseState, note: str = "") -> Lease:
    return evolve(lease.enter_state(state), note=note, kept_until=None)
