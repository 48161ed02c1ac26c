"""A lease whose machine nobody vouches for is not used, but its limits stay in force and it can be released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.trip import TripLimits
from gpurent.errors import AuthError, ForeignMachine, InputRequired, UnavailableError
from gpurent.testing.fakes.connector import FakeConnector
from gpurent.workflow.guard.observe_lease import StoreObserver
from tests.guard.running_guard import running_guard
from tests.guard.virtual_sandbox import VirtualSandbox, is_lease_over, wait_until_true
from tests.security.attacks import Adversary, Outcome, attack
from tests.workflow.trip_sandbox import ScriptedUser

pytestmark = pytest.mark.virtual_time


class _DoubtfulSandbox(VirtualSandbox):
    """A sandbox that cannot prove that it is one: anybody may listen on its ports."""

    async def _is_own_service(self, environment: Mapping[str, str], url: str) -> bool:
        return False


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[VirtualSandbox]:
    async with _DoubtfulSandbox.open_sandbox(tmp_path, "mistgpu") as made:
        yield made


async def run_into_doubt(sandbox: VirtualSandbox, application: Application, limits: TripLimits) -> Lease:
    """Run a trip at the metered provider; it stops before anything is sent to the machine."""
    await sandbox.log_in_to_mistgpu(application, "300")
    spec = sandbox.make_job(ScriptedUser()).make_spec("mistgpu", limits)
    with pytest.raises(InputRequired) as caught:
        await application.trips.run(spec)
    (lease,) = await application.store.list_leases()
    assert caught.value.burning == (lease.id,)
    assert f"gpurent connect {lease.id}" in caught.value.hint
    assert len(list(sandbox.list_burning())) == 1, "the lease is kept"
    assert lease.needs_proof
    assert lease.endpoint is not None
    return lease


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(TripLimits(budget=CNY.money("3.20")), marks=pytest.mark.nightly),
        TripLimits(deadline_in=timedelta(hours=3)),
    ],
    ids=["budget", "deadline"],
)
@attack(
    Adversary.LOCAL_USER,
    "answers as a metered provider's service, so that a machine is never used and never released",
    Outcome.ASKED,
    kind="S3",
)
async def test_the_guard_ends_a_doubtful_lease_at_its_limit(
    sandbox: VirtualSandbox, limits: TripLimits
) -> None:
    async with sandbox.open_application() as application:
        lease = await run_into_doubt(sandbox, application, limits)
        async with running_guard(application):
            await wait_until_true(lambda: is_lease_over(application, lease.id))
        used = -sum(line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == "usage")
        assert 0 < used <= CNY.money("9.50").amount
    assert list(sandbox.list_burning()) == []


async def test_a_doubtful_lease_can_be_released(
    sandbox: VirtualSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sandbox.open_application() as application:
        lease = await run_into_doubt(sandbox, application, TripLimits())
        _forbid_contact(monkeypatch, AssertionError("it was contacted"))
        released = await application.releases.release_lease(lease.id)
        assert released.lease == lease.id
        assert application.connector.list_host_keys(lease.id) == [], "nothing was pinned for it"
    assert list(sandbox.list_burning()) == []


async def test_a_lease_that_moved_is_released_too(tmp_path: Path) -> None:
    """Its provider names another place, as a broken or hostile one would; nothing is sent there."""
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as sandbox:
        async with sandbox.open_application() as application:
            await sandbox.log_in_to_mistgpu(application, "300")
            spec = sandbox.make_job(ScriptedUser()).make_spec(
                "mistgpu", TripLimits(deadline_in=timedelta(hours=3))
            )
            begun = await application.trips.run(spec, detach=True)
            connector = application.connector
            lease = await application.leases.get_lease(begun.lease_id)
            assert lease.endpoint is not None
            elsewhere = evolve(lease.endpoint, port=lease.endpoint.port + 1000)
            pinned = connector.find_pinned_host_key(lease.id, lease.endpoint)
            assert pinned is not None
            connector.unpin_host_key(lease.id, lease.endpoint)
            connector.pin_host_key(lease.id, elsewhere, pinned)
            with pytest.raises(InputRequired):
                await application.machine_commands.run_command(lease.id, "true")
            async with running_guard(application):
                await wait_until_true(lambda: is_lease_over(application, lease.id))
        assert list(sandbox.list_burning()) == []


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(AuthError("rejected"), marks=pytest.mark.nightly),
        UnavailableError("no answer"),
    ],
    ids=["rejects", "dead"],
)
@attack(
    Adversary.PROVIDER,
    "names a place that rejects the password or does not answer, so that a metered machine never ends",
    Outcome.REPORTED,
    kind="S3",
)
async def test_the_guard_ends_a_lease_whose_place_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as sandbox:
        async with sandbox.open_application() as application:
            lease = await run_at_odd_place(sandbox, application)
            _forbid_contact(monkeypatch, failure)
            async with running_guard(application), asyncio.timeout(timedelta(hours=6).total_seconds()):
                await wait_until_true(lambda: is_lease_over(application, lease.id))
            used = -sum(line.amount.amount for line in sandbox.get_ledger("mistgpu") if line.kind == "usage")
            assert 0 < used <= CNY.money("9.50").amount
        assert list(sandbox.list_burning()) == []


async def test_where_nothing_proves_it_the_user_names_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after it was dropped: one machine is one lease, with its money."""
    async with VirtualSandbox.open_sandbox(tmp_path, "mistgpu") as sandbox:
        user = ScriptedUser(confirms=True)
        async with sandbox.open_application(user) as application:
            lease = await run_at_odd_place(sandbox, application)
            await application.leases.update_lease(lease.id, lambda seen: evolve(seen, claim=None))
            _forbid_contact(monkeypatch, AuthError("rejected"))
            with pytest.raises(ForeignMachine) as caught:
                await application.releases.release_lease(lease.id)
            assert f"gpurent orphans --release {lease.ref} --provider mistgpu" in caught.value.hint
            await application.releases.drop_lease(lease.id)
            adopted = await application.orphan_commands.adopt_orphan(lease.ref)
            assert (adopted.id, adopted.needs_proof) == (lease.id, False)
            observer = StoreObserver(application.store, application.releases.release_step.locks)
            policy_trip = await observer.find_trip(lease.id)
            assert policy_trip is not None
            assert policy_trip.spec.limits.deadline_in == timedelta(hours=3)
            await application.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=True))
            receipt = await application.orphan_commands.release_orphan(lease.ref)
            assert receipt.lease == lease.id
            assert len(await application.leases.list_leases(include_over=True)) == 1
        assert list(sandbox.list_burning()) == []


async def run_at_odd_place(sandbox: VirtualSandbox, application: Application) -> Lease:
    """Return a lease whose machine is not proven to be ours, of a trip that has a limit."""
    await sandbox.log_in_to_mistgpu(application, "300")
    limits = TripLimits(deadline_in=timedelta(hours=3))
    spec = sandbox.make_job(ScriptedUser()).make_spec("mistgpu", limits)
    begun = await application.trips.run(spec, detach=True)
    lease = await application.leases.update_lease(begun.lease_id, lambda seen: evolve(seen, needs_proof=True))
    assert lease.endpoint is not None
    application.connector.unpin_host_key(lease.id, lease.endpoint)
    return lease


def _forbid_contact(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    async def fail(*_arguments: object, **_named: object) -> None:
        raise failure

    names = ["check_password", "open_connection"]
    if not isinstance(failure, AuthError):
        names.append("fetch_host_key")
    for name in names:
        monkeypatch.setattr(FakeConnector, name, fail)
