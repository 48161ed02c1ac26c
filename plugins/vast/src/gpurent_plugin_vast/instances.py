"""The account's machines: finding them by label or id, and what their status means for a lease."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import evolve

from gpurent.api import Lease, LeaseState, PluginContext, make_state_error, quote_text
from gpurent_plugin_vast import _, wire

PAGE_SIZE = 25
STARTING = frozenset({"", "created", "loading", "rebooting", "recycling"})
STOPPED = frozenset({"stopped", "exited"})
# Not billed for its GPU then, and it comes back only by itself.
UNREACHABLE = frozenset({"offline", "unknown", "frozen"})


class InstanceList:
    """Reads the account's machines."""

    def __init__(self, context: PluginContext, client: wire.VastApi) -> None:
        self._context = context
        self._client = client

    async def list_instances(self, label: str = "") -> Sequence[wire.Instance]:
        """Return all machines, or all with this label; raises `UnexpectedResponse` for a list without an end."""
        params = {"limit": str(PAGE_SIZE)}
        if label:
            params["select_filters"] = json.dumps({"label": {"eq": label}})
        pages = self._client.read_pages("/api/v1/instances/", params, **wire.PAGES)
        found = [wire.parse_instance(page, row) async for page in pages for row in page.get_rows("instances")]
        # A service that ignores the filter lists the machines of other orders too.
        return [instance for instance in found if not label or instance.label == label]

    async def find_by_label(self, label: str) -> wire.Instance | None:
        """Return the machine of the order with this label, the oldest if there are several."""
        found = await self.list_instances(label)
        return min(found, key=lambda instance: int(instance.id), default=None)

    async def find_by_id(self, ref: str) -> wire.Instance | None:
        """Return the machine; None if a complete answer lacks it."""
        reply = await self._client.call_checked(
            "GET", f"/api/v0/instances/{int(ref)}/", params={"owner": "me"}
        )
        row = reply.body.get("instances", ...)
        if row is None:
            return None
        if not isinstance(row, dict):
            raise reply.make_unexpected_response(_("object expected"))
        found = wire.parse_instance(reply, row)
        if found.id != ref:
            raise reply.make_unexpected_response(_("another machine than the one asked for"))
        return found


def apply_instance(lease: Lease, instance: wire.Instance) -> Lease:
    """Return the lease as the machine's status has it."""
    seen = evolve(lease, started_at=instance.started_at or lease.started_at)
    if instance.is_bid:
        # A change of the bid may have taken effect although its answer was lost.
        seen = evolve(seen, offer=evolve(lease.offer, spot=True, tariff=instance.offer.tariff))
    status = instance.status
    if status == "running":
        if instance.endpoint is None:
            return seen.enter_state(LeaseState.PROVISIONING, _("its SSH port is not mapped yet"))
        return evolve(seen.enter_state(LeaseState.READY), endpoint=instance.endpoint, note="")
    said = quote_text(instance.note) if instance.note else status
    if status in STARTING:
        return seen.enter_state(
            LeaseState.PROVISIONING, _("the machine is starting: {said}").format(said=said)
        )
    if status == "stopped" and instance.wants_to_run and instance.is_bid:
        note = _("others pay more for its GPUs; it starts again once they do not, or when you raise your bid")
        return evolve(seen.enter_state(LeaseState.INTERRUPTED, note), endpoint=None)
    if status == "stopped" and instance.wants_to_run:
        note = _("the machine waits for its GPUs, which others use")
        return evolve(seen.enter_state(LeaseState.PROVISIONING, note), endpoint=None)
    if status in STOPPED:
        note = _("its disk costs money until it is deleted")
        return evolve(seen.enter_state(LeaseState.STOPPED, note), endpoint=None)
    if status in UNREACHABLE:
        note = _("vast.ai does not reach the machine: {said}").format(said=said)
        return evolve(seen.enter_state(LeaseState.INTERRUPTED, note), endpoint=None)
    raise make_state_error(wire.SERVICE, status, "/api/v0/instances/")
