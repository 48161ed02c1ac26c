"""What only both ends together can tell: how far the clocks are apart, and how fast the line is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

from attrs import frozen

from gpurent.ports.connection import SshConnection

FIRST = 64 << 10
SECOND = 1 << 20
QUICK = 0.5
LIMIT = 30.0


@frozen(kw_only=True)
class Measured:
    """``ahead``: seconds that the machine's clock is ahead, known to within ``margin``; rates in bytes a second.

    None: it could not be measured.
    """

    ahead: float | None = None
    margin: float = 0.0
    up: float | None = None
    down: float | None = None


async def measure(link: SshConnection) -> Measured:
    """A few round trips; some 2 MiB where the line is quick, 128 KiB where it is not."""
    ahead, margin = await _clock(link)
    return Measured(ahead=ahead, margin=margin, up=await _rate(link, _up), down=await _rate(link, _down))


async def _clock(link: SshConnection) -> tuple[float | None, float]:
    before = datetime.now(UTC).timestamp()
    ran = await link.run("date +%s", timeout=LIMIT)
    after = datetime.now(UTC).timestamp()
    said = re.search(r"^(\d{9,11})$", ran.out.strip(), re.MULTILINE | re.ASCII)
    if said is None:
        return None, 0.0
    # The machine says whole seconds: half of one is the best guess of the rest.
    return int(said[1]) + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2


async def _rate(
    link: SshConnection, carry: Callable[[SshConnection, int], Awaitable[float | None]]
) -> float | None:
    size = FIRST
    took = await carry(link, size)
    if took is not None and took < QUICK:
        size = SECOND
        took = await carry(link, size)
    return size / took if took else None


async def _up(link: SshConnection, size: int) -> float | None:
    # Random, so that a line that compresses is not taken for a quick one.
    load = secrets.token_hex(size // 2)
    begun = monotonic()
    ran = await link.run("wc -c", input=load, timeout=LIMIT)
    took = monotonic() - begun
    return took if str(size) in ran.out.split() else None


async def _down(link: SshConnection, size: int) -> float | None:
    begun = monotonic()
    ran = await link.run(f"head -c {size * 3 // 4} /dev/urandom | base64 | tr -d '\\n'", timeout=LIMIT)
    took = monotonic() - begun
    return took if len(ran.out) >= size * 9 // 10 else None
