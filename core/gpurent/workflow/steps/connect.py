"""Step: the first time on the machine; its host key is pinned from here on."""

from __future__ import annotations

from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext


async def connect(trail: TripContext, leg: str, lease_id: str) -> ReconnectingConnection:
    """A line that answers."""
    line = ReconnectingConnection(trail.desk, lease_id, trail.trip)

    async def greet() -> str:
        link = await line.link()
        ran = await link.run("uname -sn && pwd")
        return ran.out.strip()[:200]

    try:
        await trail.once(f"{leg}.connect", str, greet)
    except BaseException:
        await line.close()
        raise
    return line
