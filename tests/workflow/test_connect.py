"""A line that is cut in the first moment of a connection costs a trip nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.events import EventKind
from gpurent.testing.fakes.connector import FakeConnector
from tests.guard.sandbox import Sandbox
from tests.workflow.world import Person

pytestmark = pytest.mark.virtual_time


async def test_a_line_cut_right_after_the_login_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = FakeConnector.open

    async def open_and_cut(self: FakeConnector, *given: Any) -> Any:
        opened.append(await real(self, *given))
        if len(opened) <= 2:
            await opened[-1].aclose()
        return opened[-1]

    monkeypatch.setattr(FakeConnector, "open", open_and_cut)
    async with Sandbox.make(tmp_path, "mistgpu") as sandbox:
        person = Person()
        job = sandbox.job(person, lines=3)
        async with sandbox.application(person) as application:
            await sandbox.log_in_to_mistgpu(application, "4")
            end = await application.trips.run(job.spec("mistgpu"))
            assert end.exit_code == 0
        assert job.results.read_text().endswith("done\n")
        assert len(opened) >= 3
        assert EventKind.LINE_LOST in person.kinds()
        assert list(sandbox.burning()) == []
