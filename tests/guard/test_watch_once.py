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

# The guard tries a release again and again before it gives up: 40 s.
REFUSED_RELEASE = pytest.param("POST", "/user/shutdown/", 8, id="release", marks=pytest.mark.nightly)


@pytest.mark.parametrize(("method", "path", "code"), [REFUSED_RELEASE, ("", "", 0)])
async def test_what_a_provider_refuses_shows_in_the_exit_status(
    tmp_path: Path, method: str, path: str, code: int
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
        (sandbox.home / "state" / "config.toml").write_text('[guard]\ndeadline = "10m"\n')
        await sandbox.cloud.advance(timedelta(minutes=30))
        if path:
            fault = ServiceFault(service="mistgpu", method=method, path=path, status=403, body="no")
            await sandbox.cloud.faults.add(fault)
        watched = await sandbox.run_command("--json", "watch", "--once")
        (row,) = json.loads(watched.out)["data"]
        assert row["lease"] == lease.id
        assert bool(row["error"]) == bool(code)
        assert watched.code == code
