"""A simulator that nobody calls, to look at what it states."""

from __future__ import annotations

from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import ProviderSimulator, SimulatorContext
from gpurent.testing.fakes import FakeMachines, FakePostOffice, ManualClock


def make_simulator(entry: SimulatorEntry) -> ProviderSimulator:
    """Build a simulator that nobody calls."""
    clock = ManualClock()
    return entry.build(
        SimulatorContext(
            clock=clock,
            machines=FakeMachines(clock=clock),
            send_mail=FakePostOffice(clock).send,
            urls={},
            machine_count=2,
            settings={},
        )
    )
