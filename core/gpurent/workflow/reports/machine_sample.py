"""What a machine itself tells: its GPU's load and the last words of its newest job, in one command."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.terminal_text import strip_terminal
from gpurent.errors import UnavailableError

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk

LINES = 8
LONGEST = 300
_MARK = "gpurent-glimpse"
# Load of each GPU, then the newest log among the jobs. What the machine's start files print comes before the mark.
_LOOK = rf"""
echo {_MARK}
command -v nvidia-smi >/dev/null 2>&1 &&
  nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null
echo {_MARK}
log=$(ls -t "$HOME"/.gpurent/jobs/*/log 2>/dev/null | head -n 1)
[ -n "$log" ] && tail -c 4000 "$log"
true
"""


@frozen(kw_only=True)
class MachineSample:
    """``load`` in percent, the mean of all GPUs, None without one. ``at``: when the machine last answered."""

    load: int | None = None
    lines: tuple[str, ...] = ()
    at: datetime | None = None
    stale: str = ""


class MachineSampler:
    """Keeps one line open to each machine that is looked at."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._links: dict[str, Any] = {}

    async def look(self, lease: Lease) -> MachineSample:
        """One look; a machine that does not answer is an `UnavailableError`."""
        link = self._links.get(lease.id)
        if link is None or not link.alive or link.endpoint != lease.endpoint:
            await self.drop(lease.id)
            if lease.endpoint is None:
                raise UnavailableError(f"{lease.id}: no machine")
            password = self._desk.vault.scoped(lease.provider).get(lease.password_ref)
            link = await self._desk.ssh.open(lease.id, lease.endpoint, password)
            self._links[lease.id] = link
        ran = await link.run(_LOOK)
        load, lines = parse(ran.out)
        return MachineSample(load=load, lines=lines, at=self._desk.clock.now())

    async def drop(self, lease: str) -> None:
        link = self._links.pop(lease, None)
        if link is not None:
            await link.aclose()

    async def keep_only(self, leases: Collection[str]) -> None:
        """Close the lines to all other machines."""
        for name in [name for name in self._links if name not in leases]:
            await self.drop(name)

    async def close(self) -> None:
        await self.keep_only(())


def parse(output: str) -> tuple[int | None, tuple[str, ...]]:
    """The load and the last lines, shown safely; of a line that was drawn over, only what is to be seen."""
    _before, mark, rest = output.partition(f"{_MARK}\n")
    smi, _mark, log = rest.partition(f"{_MARK}\n")
    if not mark:
        return None, ()
    loads = [int(word) for word in smi.split() if re.fullmatch(r"[0-9]{1,3}", word)]
    seen = (line.rstrip("\r").rpartition("\r")[2] for line in log.split("\n"))
    lines = [strip_terminal(line)[:LONGEST].rstrip() for line in seen]
    return round(sum(loads) / len(loads)) if loads else None, tuple([x for x in lines if x][-LINES:])
