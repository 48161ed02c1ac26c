"""What an error says of money while a machine runs: nothing, unless the command itself could have spent some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, LeaseError, UnavailableError, UnexpectedResponse, UsageError
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.workflow.test_failures import log_in_with_money
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

MAINTENANCE = ServiceFault(service="mistgpu", path="/user/*", body="<html>维护中</html>")
LOST = ServiceFault(service="mistgpu", path="/user/*", lose=True)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        async with made.open_application() as application:
            await log_in_with_money(made, application)
            await application.trips.rent(TripSpec(provider="mistgpu"))
        yield made


def check_words(shown: str) -> None:
    assert shown.startswith("Error: ")
    for word in ("charged", "spent", "gpurent balance"):
        assert word not in shown


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [(("show", "no-such"), LeaseError), (("renew", "mistgpu", "--for", "1d"), UsageError)],
    ids=["show", "renew"],
)
async def test_a_mistake_beside_a_running_meter_has_nothing_to_do_with_money(
    sandbox: TripSandbox, arguments: tuple[str, ...], kind: type[GpurentError]
) -> None:
    result = await sandbox.run_command(*arguments)
    assert result.code == kind.exit_code, result.err
    check_words(result.err)


@pytest.mark.parametrize(
    ("fault", "kind"), [(MAINTENANCE, UnexpectedResponse), (LOST, UnavailableError)], ids=["page", "lost"]
)
async def test_a_balance_that_cannot_be_read_has_spent_nothing_and_advises_no_balance(
    sandbox: TripSandbox, fault: ServiceFault, kind: type[GpurentError]
) -> None:
    await sandbox.cloud.faults.add(fault)
    result = await sandbox.run_command("balance", "mistgpu")
    assert result.code == kind.exit_code, result.err
    check_words(result.err)
