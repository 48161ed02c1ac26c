"""What the guard cannot read hides nothing else; what it counts by itself is marked; what it cannot guard is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import CNY
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import BudgetExceeded
from gpurent_plugin_mistgpu.simulator import pages
from tests.guard.running_guard import EXPECTED_ORDER, first_events, running_guard
from tests.guard.test_limits import get_outcome, get_used, is_saved, run_detached
from tests.guard.virtual_sandbox import VirtualSandbox, wait_until_true
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time
BUDGET = TripLimits(budget=CNY.money("3.20"))


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


def warnings_about(user: ScriptedUser, words: str) -> list[str]:
    return [event.text for event in user.events if event.kind is EventKind.WARNING and words in event.text]


def make_meters_run_faster(sandbox: VirtualSandbox, factor: int) -> None:
    """Bill what runs at a multiple of the price that was ordered."""
    simulator: Any = sandbox.simulators.simulators["mistgpu"]
    for server in simulator.state.servers.values():
        server.runs[-1].price *= factor


@pytest.mark.nightly
async def test_a_month_s_budget_without_a_rate_switches_nothing_else_off(sandbox: VirtualSandbox) -> None:
    sandbox.write_config('[guard]\ndeadline = "45m"\n')
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job)
    sandbox.write_config('[guard]\ndeadline = "45m"\n[budget]\nmonth = "100EUR"\n')
    async with sandbox.open_application(user) as application:
        async with running_guard(application):
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: deadline"
        assert first_events(user, *EXPECTED_ORDER) == EXPECTED_ORDER
        assert is_saved(job)
    assert len(warnings_about(user, "the monthly budget cannot be checked")) == 1
    assert list(sandbox.list_burning()) == []


async def test_a_month_s_budget_without_a_rate_keeps_no_check_from_the_deadline(
    sandbox: VirtualSandbox,
) -> None:
    async with sandbox.open_application() as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        lease = await application.trips.rent(TripSpec(provider="mistgpu", rent_only=True))
    sandbox.write_config('[guard]\ndeadline = "45m"\n[budget]\nmonth = "100EUR"\n')
    await sandbox.advance(timedelta(hours=1))
    async with sandbox.open_application() as application:
        report = await application.guard.run_once()
        assert [result.actions[-1] for result in report.results] == ["release"]
        assert "the monthly budget cannot be checked" in report.failures["mistgpu"]
        assert (await application.leases.get_lease(lease.id)).is_over
    assert list(sandbox.list_burning()) == []


@pytest.mark.parametrize("factor", [pytest.param(1, marks=pytest.mark.nightly), 3])
async def test_a_budget_counts_what_the_statement_shows(sandbox: VirtualSandbox, factor: int) -> None:
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job, BUDGET)
        make_meters_run_faster(sandbox, factor)
        async with running_guard(application) as guard:
            await wait_until_true(lambda: guard.results)
            assert all(not result.facts.is_own_count for result in guard.results.values())
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: budget"
        assert is_saved(job)
        assert 160 < get_used(sandbox) <= 320, "not a fen above, and not far below"
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_without_the_statement_gpurent_counts_by_itself_and_says_so(
    sandbox: VirtualSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ScriptedUser()
    job = sandbox.make_job(user)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        await run_detached(application, job, BUDGET)
        monkeypatch.setattr(pages, "render_bills", lambda *_given: "<html>维护中</html>")
        async with running_guard(application) as guard:
            await wait_until_true(lambda: guard.results)
            assert all(result.facts.is_own_count for result in guard.results.values())
            await wait_until_true(lambda: get_outcome(application))
        assert await get_outcome(application) == "stopped: budget"
        assert 0 < get_used(sandbox) <= 320
    assert len(warnings_about(user, "the bill is incomplete")) >= 1
    assert warnings_about(user, "Counted by gpurent")
    assert list(sandbox.list_burning()) == []


@pytest.mark.nightly
async def test_a_running_trip_counts_what_the_statement_shows(sandbox: VirtualSandbox) -> None:
    user = ScriptedUser()
    job = sandbox.make_job(user)

    def on_event(event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED:
            make_meters_run_faster(sandbox, 3)

    user.watchers.append(on_event)
    async with sandbox.open_application(user) as application:
        await sandbox.log_in_to_mistgpu(application, "300")
        with pytest.raises(BudgetExceeded):
            await application.trips.run(job.make_spec("mistgpu", BUDGET))
        assert is_saved(job)
        assert 160 < get_used(sandbox) <= 320
    assert list(sandbox.list_burning()) == []
