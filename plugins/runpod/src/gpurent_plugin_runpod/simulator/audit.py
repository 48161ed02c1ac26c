"""An account for automatic tests, and what does not add up in the simulator's books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import ceil

from gpurent.api import (
    Discrepancy,
    DiscrepancyKind,
    Money,
    SimulatedAccounts,
    SupportsPaging,
)
from gpurent_plugin_runpod.simulator.bills import MICRO_USD
from gpurent_plugin_runpod.simulator.pods import RunpodPod
from gpurent_plugin_runpod.simulator.state import NetworkVolume, RunpodAccount, RunpodState

HOUR = timedelta(hours=1)


class RunpodAudit(SimulatedAccounts[RunpodAccount], SupportsPaging):
    """Opens the first account, and recomputes what each pod may have cost from the history of its states."""

    state: RunpodState
    funds = Money(100_000_000, MICRO_USD)

    def get_login_fields(self) -> Mapping[str, str]:
        return {"api_key": self.state.accounts[0].api_key}

    def pay_in(self, account: RunpodAccount, amount: int) -> None:
        self.state.add_credit(account, amount)

    def limit_pages(self, rows: int) -> None:
        self.state.longest_page = rows

    def audit_account(self, account: RunpodAccount) -> Iterator[Discrepancy]:
        """Yield second pods and volumes of one name, and charges for GPUs that were not had.

        A pod that has cost nothing yet counts as one micro-USD.
        """
        now = self.state.at
        for pod in account.pods:
            cost = max(1, pod.costs.compute_cost(now))
            if _has_twin(account, pod):
                yield _make(DiscrepancyKind.DOUBLE_ORDER, account, pod.id, cost)
            booked = sum(
                booking.amounts.get("gpu", 0) + booking.amounts.get("cpu", 0)
                for booking in account.bookings
                if booking.ref == pod.id
            )
            if (excess := booked - _compute_limit(pod, now)) > 0:
                yield _make(DiscrepancyKind.UNUSED_PAYMENT, account, pod.id, excess)
        for volume in account.volumes:
            cost = volume.costs.compute_cost(now)
            if cost and _has_twin_volume(account, volume):
                yield _make(DiscrepancyKind.DOUBLE_ORDER, account, volume.id, cost)


def _make(kind: DiscrepancyKind, account: RunpodAccount, ref: str, micros: int) -> Discrepancy:
    return Discrepancy(kind=kind, account=account.id, ref=ref, amount=Money(micros, MICRO_USD))


def _has_twin(account: RunpodAccount, pod: RunpodPod) -> bool:
    """Return whether it was created with the name of a pod that was there then."""
    return any(
        other is not pod
        and other.wish.name == pod.wish.name
        and other.id < pod.id
        and (other.terminated_at is None or other.terminated_at > pod.created_at)
        for other in account.pods
    )


def _has_twin_volume(account: RunpodAccount, volume: NetworkVolume) -> bool:
    """Return whether it was created with the name of a volume that was there then."""
    return any(
        other.name == volume.name
        and other.id < volume.id
        and (other.deleted_at is None or other.deleted_at > volume.created_at)
        for other in account.volumes
    )


def _compute_limit(pod: RunpodPod, now: datetime) -> int:
    """Return the most that its GPUs may have cost."""
    times = [*pod.history, (now, "")]
    had = sum(
        (end - start for (start, status), (end, _next) in pairwise(times) if status not in _ENDED),
        timedelta(),
    )
    return ceil(
        pod.wish.price * Fraction(had // timedelta(microseconds=1), HOUR // timedelta(microseconds=1))
    )


_ENDED = ("EXITED", "ERROR", "TERMINATED")
