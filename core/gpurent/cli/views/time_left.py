"""What listings say about time: the figure of each lease, and whether it is low."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.cli.data import plain
from gpurent.workflow.timing.alarms import below, thresholds
from gpurent.workflow.timing.last_seen import last_seen
from gpurent.workflow.timing.machine_timer import remembered
from gpurent.workflow.timing.time_text import sentence, words

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.domain.time_left import TimeLeft
    from gpurent.workflow.runtime.desk import Desk
    from gpurent.workflow.runtime.state import Records


@frozen(kw_only=True)
class Times:
    """By the lease's id: its figure, the thresholds that it lies below, when the timer in its machine shuts it."""

    figures: Mapping[str, TimeLeft]
    passed: Mapping[str, tuple[timedelta, ...]]
    timers: Mapping[str, datetime | None]
    shortest: Mapping[str, timedelta | None]

    @classmethod
    async def of(cls, desk: Desk, leases: Sequence[Lease]) -> Times:
        """Asks the accounts."""
        from gpurent.workflow.timing.time_left import time_left

        return cls._of(desk, leases, await time_left(desk, leases))

    @classmethod
    def read(cls, records: Records, leases: Sequence[Lease]) -> Times:
        """As last seen; asks nobody."""
        return cls._of(records, leases, last_seen(records, leases))

    @classmethod
    def _of(cls, records: Records, leases: Sequence[Lease], figures: Mapping[str, TimeLeft]) -> Times:
        limits = {lease.id: thresholds(records, lease.provider) for lease in leases}
        return cls(
            figures=figures,
            passed={name: below(figures[name].left, found) for name, found in limits.items()},
            timers={lease.id: remembered(records, lease) for lease in leases},
            shortest={name: min(found, default=None) for name, found in limits.items()},
        )

    def shade(self, lease: Lease) -> str | None:
        """Red below the shortest threshold, yellow below another."""
        passed = self.passed[lease.id]
        if not passed:
            return None
        return "red" if self.shortest[lease.id] in passed else "yellow"

    def data(self, lease: Lease) -> dict[str, Any]:
        """The lease for ``--json``, with its figure and its timer."""
        timer = plain(self.timers[lease.id])
        return {**plain(lease), "time_left": self.figure_data(lease.id), "timer": timer}

    def figure_data(self, lease_id: str) -> dict[str, Any]:
        """The figure for ``--json``; spans in seconds, ``words`` in the user's language."""
        figure = self.figures[lease_id]
        return {**plain(figure), "words": words(figure), "low": bool(self.passed[lease_id])}

    def sentence(self, lease_id: str) -> str:
        return sentence(self.figures[lease_id])
