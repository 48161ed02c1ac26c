"""Which of the listed servers an order created or restarted: MISTGPU has no order numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gpurent.api import CreateClaim, Lease, Order
from gpurent_plugin_mistgpu.wire import ServerRow

# A start that the list shows, and the time of a response, may be cut to whole minutes.
CLOCK_PRECISION = timedelta(minutes=1)


def note_servers_before(order: Order, servers: Sequence[ServerRow], now: datetime) -> dict[str, str]:
    """Return what `find_created_server` needs to know later: ``servers`` are those listed before the order."""
    facts = {
        "servers_before": " ".join(sorted(server.id for server in servers)),
        "reserved_at": now.isoformat(),
        "image": order.image,
    }
    again = order.offer.provider_data.get("restart_server", "")
    if again:
        facts["restart_server"] = again
        facts["started_before"] = "".join(_format_start(server) for server in servers if server.id == again)
    return facts


def make_claim(servers: Sequence[ServerRow], now: datetime) -> CreateClaim:
    """Return what tells core the created server among all; ``servers`` are those listed before the order."""
    return CreateClaim(refs_before=tuple(sorted(server.id for server in servers)), claimed_at=now)


def find_created_server(lease: Lease, servers: Sequence[ServerRow]) -> ServerRow | None:
    """Return the server that this lease's order created or restarted; None if the list shows none yet.

    A created server is recognised by elimination: core has to prove that it is ours.
    """
    again = lease.provider_data.get("restart_server", "")
    if again:
        return next(
            (server for server in servers if server.id == again and _has_restarted(server, lease)), None
        )
    # The newest first: an earlier server of ours on this machine may be listed too.
    fresh = (server for server in servers if _may_be_created_by(server, lease))
    return max(fresh, key=_format_start, default=None)


def _has_restarted(server: ServerRow, lease: Lease) -> bool:
    if server.running:
        return True
    before = lease.provider_data.get("started_before", "")
    return (
        _format_start(server) != before if before else _has_started_since_order(server, lease, unknown=False)
    )


def _may_be_created_by(server: ServerRow, lease: Lease) -> bool:
    """Whether the order may have created it. That the list lacked it before does not tell: it may have been short."""
    is_new = server.id not in lease.provider_data["servers_before"].split()
    return (
        server.machine == lease.offer.key and is_new and _has_started_since_order(server, lease, unknown=True)
    )


def _has_started_since_order(server: ServerRow, lease: Lease, *, unknown: bool) -> bool:
    """Return whether it started after the order was reserved, or ``unknown``."""
    noted = lease.provider_data.get("reserved_at")
    if server.started_at is None or noted is None:
        return unknown
    return server.started_at >= datetime.fromisoformat(noted) - CLOCK_PRECISION


def _format_start(server: ServerRow) -> str:
    return server.started_at.isoformat() if server.started_at else ""
