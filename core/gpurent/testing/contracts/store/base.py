"""What all contract tests of the Store share: handles to one state, a clock, and sample values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import define, evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer
from gpurent.domain.trip import TripSpec
from gpurent.ports.store import Store
from gpurent.testing.contracts.contract import Contract

# A zone other than UTC, and of the second: both must come back as the same moment.
START = datetime(2026, 12, 1, 7, 30, 15, 123456, tzinfo=timezone(timedelta(hours=8)))
MINUTE = timedelta(minutes=1)
SPEC = TripSpec(provider="acme")


@define
class SteppedClock:
    """Returns ``at``, which the test moves."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def advance(self) -> datetime:
        """Go on by a minute; return the time as the Store returns it."""
        self.at += MINUTE
        return self.at.astimezone(UTC)


def make_lease(lease_id: str = "l1", state: LeaseState = LeaseState.READY, *, note: str = "") -> Lease:
    tariff = Metered(price=UnitPrice(Decimal("1.50"), CNY))
    offer = Offer(key="m", provider="acme", hardware=Hardware(gpu="4090"), tariff=tariff)
    lease = Lease(id=lease_id, provider="acme", account="me", offer=offer, state=state)
    return evolve(lease, note=note, started_at=START)


class StoreContract(Contract):
    """The base of all contract tests of the Store."""

    @abstractmethod
    def open_store(self, folder: Path, now: Callable[[], datetime], command: str) -> Store:
        """Open one more handle to the state in ``folder``, which begins empty."""

    @abstractmethod
    def free_lock(self, folder: Path, name: str) -> None:
        """Let another handle take the lock ``name`` although its holder lives, as after a holder that was frozen."""

    @pytest.fixture
    def clock(self) -> SteppedClock:
        return SteppedClock()

    @pytest.fixture
    def open_handle(self, tmp_path: Path, clock: SteppedClock) -> Iterator[Callable[[], Store]]:
        """A function that opens one more handle to the same state."""
        with ExitStack() as stack:
            yield lambda: stack.enter_context(closing(self.open_store(tmp_path, clock, "gpurent run")))

    @pytest.fixture
    def store(self, open_handle: Callable[[], Store]) -> Store:
        return open_handle()

    @pytest.fixture
    def other(self, store: Store, open_handle: Callable[[], Store]) -> Store:
        return open_handle()
