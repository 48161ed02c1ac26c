"""The exit status of ``watch --once``: whether everything that was due was read and done."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.trip import TripSpec
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.test_repeated_commands import log_in_at_mistgpu, rent_at_1024gpu
from tests.workflow.trip_sandbox import trip_sandbox

# The guard tries a release again and again before it gives up: 40 s.
REFUSED_RELEASE = pytest.param("POST", "/user/shutdown/", 8, id="release", marks=pytest.mark.nightly)

# It is asked about for an hour of the provider's time.
UNKNOWN_RENEWAL = pytest.param(
    {"status": 502, "body": "<html>nginx</html>"}, 8, "renewal not confirmed", marks=pytest.mark.nightly
)


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


@pytest.mark.parametrize(
    ("answer", "code", "shown"),
    [
        UNKNOWN_RENEWAL,
        ({"body": '{"status": -1, "msg": "不能续租", "content": null}'}, 8, "renewal not confirmed"),
        pytest.param(None, 0, "renewed", marks=pytest.mark.nightly),
    ],
)
async def test_a_renewal_is_told_as_far_as_it_is_known(
    tmp_path: Path, answer: dict[str, Any] | None, code: int, shown: str
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            await rent_at_1024gpu(sandbox, application)
        (sandbox.home / "state" / "config.toml").write_text('[guard]\nrenew = "1d"\nrenew_before = "30h"\n')
        if answer is not None:
            path = "/rent_continue/continue_pay_voc_pay"
            await sandbox.cloud.faults.add(ServiceFault(service="1024gpu", path=path, **answer))
        for _attempt in range(2 if code else 1):
            watched = await sandbox.run_command("watch", "--once")
            assert watched.code == code, watched.err
            (row,) = [line for line in watched.out.splitlines() if line.startswith("1024gpu-")]
            assert row.endswith(shown)
