"""A machine that its provider does not list is missing, not over: the job runs on, and the money may too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import TripSpec
from gpurent.errors import LeaseError
from gpurent.workflow.payments.missing_leases import MissingLeases
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


def hide_servers(sandbox: TripSandbox) -> None:
    """From now on the provider's list lacks all servers; they run on and are billed."""
    sandbox.get_simulator_state("mistgpu").list_servers = lambda user: []


def show_servers(sandbox: TripSandbox) -> None:
    del sandbox.get_simulator_state("mistgpu").list_servers


async def test_a_machine_that_was_missing_once_is_released_when_it_is_seen_again(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
            hide_servers(sandbox)
            (missing,) = await application.leases.list_refreshed_leases()
            assert missing.state is LeaseState.MISSING
            show_servers(sandbox)
            with pytest.raises(LeaseError) as caught:
                await application.releases.drop_lease(lease.id)
            assert caught.value.burning == (lease.id,), "the provider shows it as running"
            await application.releases.release_lease(lease.id)
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.KEPT
        assert list(sandbox.cloud.burning()) == []


async def test_what_is_released_while_it_is_not_listed_is_shut_down_all_the_same(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=300) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
            hide_servers(sandbox)
            await application.releases.release_lease(lease.id)
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.RELEASED
        assert list(sandbox.cloud.burning()) == []


async def test_a_missing_machine_is_dropped_by_its_user_or_by_the_accounts_statement(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application(user) as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
            hide_servers(sandbox)
            rule = MissingLeases(application.leases, application.bookkeeping)
            since = application.clock.now() - timedelta(hours=25)
            missing = evolve(
                lease, state=LeaseState.MISSING, last_seen_state=LeaseState.READY, absent_since=since
            )
            await application.leases.save_lease(missing)
            assert await rule.end_if_uncharged(missing) == missing, "the meter runs"
            run = sandbox.get_simulator_state("mistgpu").servers[lease.ref].runs[-1]
            run.started_at, run.ended_at = since - timedelta(hours=1), since
            missing = await application.leases.save_lease(evolve(missing, started_at=run.started_at))
            early = evolve(missing, absent_since=application.clock.now() - timedelta(hours=23))
            assert await rule.end_if_uncharged(early) == early
            assert (await rule.end_if_uncharged(missing)).state is LeaseState.GONE
            assert await application.store.list_open_leases() == []
            run.ended_at = None
            show_servers(sandbox)
            assert (await application.leases.refresh_lease(lease.id)).state is LeaseState.READY
            warnings = [event.text for event in user.events if event.kind is EventKind.WARNING]
            assert any("was taken for ended" in text for text in warnings)
            hide_servers(sandbox)
            await application.leases.refresh_lease(lease.id)
            assert (await application.releases.drop_lease(lease.id)).lease == lease.id
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.GONE
            show_servers(sandbox)
            await application.releases.release_lease(lease.id)
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.KEPT, (
                "the end was revised"
            )
        assert list(sandbox.cloud.burning()) == []
