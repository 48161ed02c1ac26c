"""Step: the first time on the machine; its host key is pinned from here on."""

from __future__ import annotations

from gpurent.workflow.machine.line import Line
from gpurent.workflow.trail import Trail


async def connect(trail: Trail, leg: str, lease_id: str) -> Line:
    """A line that answers."""
    line = Line(trail.desk, lease_id, trail.trip)

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
