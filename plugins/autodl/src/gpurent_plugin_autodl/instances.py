"""The account's machines: finding them by name or id, and what their states mean for a lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.api import Lease, LeaseState, UnexpectedResponse, list_machine_runs, note_machine_run, quote_text
from gpurent_plugin_autodl import _, wire

PAGE_SIZE, MAX_PAGES = 100, 100
STARTING = frozenset({"creating", "created", "starting"})
# Nothing stops a release that has begun.
GONE = frozenset({"releasing", "released"})
OFF = GONE | {"shutdown"}
FILES_KEPT_FOR = timedelta(days=15)
TWIN_INTERVAL = timedelta(seconds=10)


def is_off(status: str) -> bool:
    """Whether it is shut down, or will be without another request."""
    return status in OFF or status == "shutting_down"


@frozen
class InstanceList:
    """Reads the account's machines."""

    client: wire.AutodlApi

    async def list_instances(self) -> Sequence[wire.Instance]:
        """Return all machines that are not released; raises `UnexpectedResponse` for an incomplete list."""
        found: dict[str, wire.Instance] = {}
        for page in range(1, MAX_PAGES + 1):
            reply = await self.client.call_checked(
                "POST", f"{wire.PRO_PATH}/list", json={"page_index": page, "page_size": PAGE_SIZE}
            )
            rows = [wire.parse_instance(reply, row) for row in reply.get_rows("list")]
            found |= {row.id: row for row in rows}
            total = reply.get_integer(reply.body, "result_total")
            if page >= reply.get_integer(reply.body, "max_page"):
                if len(found) < total:
                    raise reply.make_unexpected_response(_("the list of machines is incomplete"))
                return list(found.values())
        raise UnexpectedResponse(_("the list of machines does not end"), url=wire.PRO_PATH)

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

    async def get_access(self, ref: str) -> wire.Access:
        path = f"{wire.PRO_PATH}/snapshot"
        return wire.parse_access(await self.client.call_checked("GET", path, params={"instance_uuid": ref}))


def apply_instance(lease: Lease, instance: wire.Instance, access: wire.Access | None, now: datetime) -> Lease:
    """Return the lease as the machine's state has it. ``access``: of a running machine."""
    status = instance.status
    stop = _find_stop(lease, instance, now) if status in OFF else None
    is_priced = access is not None and access.price is not None
    seen = note_machine_run(lease, instance.started_at, stop, lease.offer.tariff.price if is_priced else None)
    seen = evolve(seen, started_at=lease.started_at or instance.started_at)
    if status == "running":
        endpoint = access.endpoint if access is not None else None
        if endpoint is None:
            return _move(seen, LeaseState.PROVISIONING, _("its SSH port is not open yet"))
        return evolve(_move(seen, LeaseState.READY), endpoint=endpoint, note="")
    seen = evolve(seen, endpoint=None)
    if status in STARTING:
        return _move(seen, LeaseState.PROVISIONING, _("the machine is starting: {said}").format(said=status))
    if status == "shutting_down":
        is_release = lease.release_requested_at is not None
        state = LeaseState.RELEASING if is_release else LeaseState.INTERRUPTED
        return _move(seen, state, _("the machine is being shut down"))
    if status == "shutdown":
        note = _("shut down, costs nothing; AutoDL deletes it once it was off for 15 days")
        return evolve(_move(seen, LeaseState.STOPPED, note), kept_until=(stop or now) + FILES_KEPT_FOR)
    if status in GONE:
        ended = _move(seen, LeaseState.RELEASED, _("released at AutoDL"))
        return evolve(ended, ended_at=lease.ended_at or now, kept_until=None)
    if status == "failed":
        # Nothing says that a machine that has run costs nothing then.
        state = LeaseState.FAILED if instance.started_at is None else LeaseState.INTERRUPTED
        return _move(seen, state, _("AutoDL says that the machine failed"))
    raise UnexpectedResponse(
        _("AutoDL names a state of the machine that gpurent does not know: {state}").format(
            state=quote_text(status)
        ),
        url=f"{wire.PRO_PATH}/status",
    )


def _is_twin(other: wire.Instance, own: wire.Instance) -> bool:
    """Whether both were created by one request. A copy that the user made later may have the same name."""
    if not own.name or other.name != own.name or other.id == own.id:
        return False
    one, two = own.created_at, other.created_at
    return one is not None and two is not None and abs(one - two) <= TWIN_INTERVAL


def _find_stop(lease: Lease, instance: wire.Instance, now: datetime) -> datetime:
    """Return when a machine that is off was shut down: as AutoDL says, as noted before, or now at the latest."""
    start, told = instance.started_at, instance.stopped_at
    if told is not None and (start is None or told >= start):
        return told
    last = next(reversed(list_machine_runs(lease)), None)
    is_same = last is not None and start in (None, last.started_at)
    return last.stopped_at if is_same and last is not None and last.stopped_at is not None else now


def _move(lease: Lease, state: LeaseState, note: str = "") -> Lease:
    moved = lease if lease.state is state else lease.with_state(state)
    return evolve(moved, note=note, kept_until=None)
