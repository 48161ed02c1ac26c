"""What another command holds is no mistake, and what only the user can answer is no fault of the network."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import InputRequired
from tests.workflow.trip_sandbox import trip_sandbox


async def test_a_trip_that_another_command_holds_is_no_mistake_of_the_user(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        trip = await application.trip_tracker.begin_trip("rent", TripSpec(provider="mistgpu"))
        async with application.locks.lock_trip(trip.id):
            held = await sandbox.run_command("resume", trip.id, "--json")
        mistyped = await sandbox.run_command("resume", "t-none", "--json")
    errors = [json.loads(result.out)["error"] for result in (held, mistyped)]
    assert [(error["exit_code"], error["code"]) for error in errors] == [(10, "busy"), (2, "usage")]
    assert [error["retryable"] for error in errors] == [True, False]


async def test_a_code_that_nobody_can_enter_is_not_asked_for_again_and_again(tmp_path: Path) -> None:
    """Without a mailbox and without a terminal, a release that needs a mailed code ends at once and can be repeated."""
    async with trip_sandbox(tmp_path, speed=600) as sandbox:
        async with sandbox.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            limits = TripLimits(term=timedelta(days=1))
            spec = TripSpec(provider="1024gpu", requirements=Requirements(gpu="2080Ti"), limits=limits)
            lease = await application.trips.rent(spec)
        with_mailbox, sandbox.extra_environment = (
            sandbox.extra_environment,
            {**sandbox.extra_environment, "GPURENT_IMAP_HOST": ""},
        )
        async with sandbox.open_application() as application:
            assert not application.mail.is_available
            with pytest.raises(InputRequired):
                await application.releases.release_lease(lease.id)
        assert len(sandbox.cloud.burning()) == 1
        sandbox.extra_environment = with_mailbox
        async with sandbox.open_application() as application:
            await application.releases.release_lease(lease.id)
        assert sandbox.cloud.burning() == []
