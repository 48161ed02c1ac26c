"""The exit status of ``watch --once``: whether everything that was due was read and done."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.trip import TripSpec
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import trip_sandbox


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_release_that_a_provider_refuses_shows_in_the_exit_status(
    tmp_path: Path, is_refused: bool
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        (sandbox.home / "state" / "config.toml").write_text('[guard]\ndeadline = "10m"\n')
        await sandbox.cloud.advance(timedelta(minutes=30))
        if is_refused:
            await sandbox.cloud.faults.add(
                ServiceFault(service="mistgpu", method="POST", path="/user/shutdown/", status=403, body="no")
            )
        watched = await sandbox.run_command("--json", "watch", "--once")
        (row,) = json.loads(watched.out)["data"]
        assert row["lease"] == lease.id
        assert bool(row["error"]) == is_refused
        assert watched.code == (8 if is_refused else 0)
