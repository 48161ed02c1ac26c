"""A computer whose clock is wrong, at providers whose time decides: mailed codes, bills that run out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.events import EventKind
from tests.workflow.test_payment_limits import GPU_SPEC, log_in_with_dbc
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=60) as made:
        yield made


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(minutes=25), -timedelta(hours=8)])
async def test_bills_are_paid_and_codes_found_by_the_services_time(
    sandbox: TripSandbox, ahead: timedelta
) -> None:
    sandbox.cloud.clock.set_client_error(ahead)
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        assert abs(application.clock.now() - sandbox.cloud.clock.now() - ahead) < timedelta(minutes=1)
        await log_in_with_dbc(sandbox, application)
        lease = await application.trips.rent(GPU_SPEC)
        begun = sandbox.cloud.clock.now()
        receipt = await application.releases.release_lease(lease.id)
        took = sandbox.cloud.clock.now() - begun
        assert receipt.charges
        assert took < timedelta(minutes=6), "the code is found at once"
    warnings = [
        event.text for event in user.events if event.kind is EventKind.WARNING and "clock" in event.text
    ]
    assert len(warnings) == 1, warnings
    assert list(sandbox.cloud.burning()) == []
