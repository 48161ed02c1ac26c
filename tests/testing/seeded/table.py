"""All seeded faults, and what of a contract they need: `python -m tests.roots --kind ROLE…` puts them back."""

from __future__ import annotations

from collections.abc import Sequence

from tests.roots.root import TestedRoot
from tests.testing.seeded.account_faults import AUTH_FAULTS, BILLING_FAULTS
from tests.testing.seeded.capability_faults import CAPABILITY_FAULTS
from tests.testing.seeded.lease_faults import LEASE_FAULTS
from tests.testing.seeded.machine_faults import MACHINE_FAULTS
from tests.testing.seeded.message_faults import MESSAGE_FAULTS
from tests.testing.seeded.pure_faults import LAUNCHER_AND_RATE_FAULTS
from tests.testing.seeded.reading_faults import READING_FAULTS
from tests.testing.seeded.simulator_faults import SIMULATOR_FAULTS
from tests.testing.seeded.volume_faults import VOLUME_FAULTS

SEEDED_FAULTS: Sequence[TestedRoot] = (
    *AUTH_FAULTS,
    *BILLING_FAULTS,
    *LEASE_FAULTS,
    *READING_FAULTS,
    *CAPABILITY_FAULTS,
    *VOLUME_FAULTS,
    *SIMULATOR_FAULTS,
    *MESSAGE_FAULTS,
    *LAUNCHER_AND_RATE_FAULTS,
    *MACHINE_FAULTS,
)


def make_row(fault: TestedRoot) -> str:
    """Return the fault's row in docs/contracts.md."""
    (test,) = fault.tests
    name = test.rpartition("::")[2].partition("[")[0]
    return f"| {fault.kind} | {fault.summary} | `{name}` |"
