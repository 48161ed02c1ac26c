"""A connection that drops at its very start costs a trip nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.events import EventKind
from gpurent.testing.fakes.connector import FakeConnector
from tests.guard.virtual_sandbox import VirtualSandbox
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


@pytest.mark.nightly
async def test_a_connection_cut_right_after_the_login_is_reopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = FakeConnector.open_connection

    async def open_and_cut(self: FakeConnector, *args: Any, **named: Any) -> Any:
        opened.append(await real(self, *args, **named))
        if len(opened) <= 2:
            await opened[-1].close()
        return opened[-1]

    monkeypatch.setattr(FakeConnector, "open_connection", open_and_cut)
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as sandbox:
        user = ScriptedUser()
        job = sandbox.make_job(user, lines=3)
        async with sandbox.open_application(user) as application:
            await sandbox.log_in_to_mistgpu(application, "4")
            end = await application.trips.run(job.make_spec("mistgpu"))
            assert end.exit_code == 0
        assert job.results.read_text().endswith("done\n")
        assert len(opened) >= 3
        assert EventKind.CONNECTION_LOST in user.event_kinds()
        assert list(sandbox.list_burning()) == []
