"""The user repeats a command, looks in between, or starts a second one; the simulators' books are the judge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import OrderKind, Requirements
from gpurent.domain.orders import OrderOutcome
from gpurent.domain.outcomes import DONE
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import LeaseError, MoneyError, SoldOut
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.steps.provider_orders import ProviderOrders
from gpurent.workflow.trips.machine_work import TripResult
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

DAY = timedelta(days=1)


class Killed(BaseException):
    """The process ends here: no clean-up of ours runs."""


def make_spec(root: Path, number: int = 0, provider: str = "mistgpu") -> TripSpec:
    folder = root / f"project{number}"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(f"open('out.txt', 'w').write('{number}')")
    return TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",)),
        provider=provider,
        limits=TripLimits(term=DAY if provider == "1024gpu" else None),
    )


async def log_in_at_mistgpu(sandbox: TripSandbox, yuan: str = "100") -> None:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, yuan)


async def rent_at_1024gpu(sandbox: TripSandbox, application: Application) -> str:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")
    spec = TripSpec(provider="1024gpu", requirements=Requirements(gpu="2080Ti"), limits=TripLimits(term=DAY))
    return (await application.trips.rent(spec)).id


async def run_in_own_process(sandbox: TripSandbox, spec: TripSpec) -> int | BaseException:
    async with sandbox.open_application() as application:
        try:
            return (await application.trips.run(spec)).exit_code or 0
        except (LeaseError, MoneyError) as error:
            return error


@pytest.mark.parametrize(("machines", "trips"), [(3, 2), pytest.param(2, 4, marks=pytest.mark.nightly)])
async def test_trips_at_once_take_no_machine_of_each_other(machines: int, trips: int, tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, machines=machines, speed=60) as sandbox:
        await log_in_at_mistgpu(sandbox)
        specs = [make_spec(tmp_path, number) for number in range(trips)]
        ends = await asyncio.gather(*(run_in_own_process(sandbox, spec) for spec in specs))
        failed = [end for end in ends if end != 0]
        # A machine that is given back early is free for another trip, so more may succeed.
        assert len(failed) <= max(0, trips - machines)
        for number, end in enumerate(ends):
            result = tmp_path / f"project{number}" / "out.txt"
            assert result.exists() == (end == 0)
            if end == 0:
                assert result.read_text() == str(number)
        assert all(isinstance(end, SoldOut) for end in failed), failed
        assert list(sandbox.cloud.burning()) == []


async def test_the_looser_of_a_claim_takes_the_next_offer(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, machines=3) as sandbox:
        await log_in_at_mistgpu(sandbox)
        user = ScriptedUser()
        async with sandbox.open_application(user) as application, sandbox.open_application() as other:
            spec = TripSpec(provider="mistgpu")
            first, second = await asyncio.gather(application.trips.rent(spec), other.trips.rent(spec))
            assert first.offer.key != second.offer.key
            assert len(list(sandbox.cloud.burning())) == 2
            for lease in (first, second):
                await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.parametrize("kill_at", [pytest.param("leg0.pay", marks=pytest.mark.nightly), "leg0.confirm"])
async def test_a_renewal_typed_again_is_paid_once(kill_at: str, tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            lease_id = await rent_at_1024gpu(sandbox, application)
            ends = (await application.leases.get_lease(lease_id)).expires_at
            store = application.store
            record = store.record_step

            async def record_or_die(trip_id: str, step: str, value: object) -> None:
                if step == kill_at and await store.find_order(f"{trip_id}-renew"):
                    raise Killed
                await record(trip_id, step, value)

            store.record_step = record_or_die  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await application.lease_changes.renew(lease_id, timedelta(hours=1))
        async with sandbox.open_application() as application:
            unfinished = await application.store.find_open_order(lease_id)
            if kill_at == "leg0.pay":
                assert unfinished is not None
                with pytest.raises(LeaseError, match="unfinished order") as caught:
                    await application.lease_changes.renew(lease_id, timedelta(hours=2))
                assert unfinished.trip in caught.value.hint
            else:
                assert unfinished is None, "the provider has counted it, but the user does not know"
            renewed = await application.lease_changes.renew(lease_id, timedelta(hours=1))
            assert ends is not None
            assert renewed.expires_at == ends + timedelta(hours=1)
            kinds = [line.kind for line in sandbox.cloud.ledgers()["1024gpu"]]
            assert kinds.count("renewal") == 1
            more = await application.lease_changes.renew(lease_id, timedelta(hours=1))
            assert more.expires_at == ends + timedelta(hours=2), (
                "the first one was shown, so this is another one"
            )
            await application.releases.release_lease(lease_id)
        assert list(sandbox.cloud.burning()) == []


async def test_a_rent_that_died_before_it_was_shown_is_shown_when_typed_again(tmp_path: Path) -> None:
    async def die(_end: object) -> None:
        raise Killed

    spec, shown = TripSpec(provider="mistgpu"), list[str]()

    async def show(end: TripResult) -> None:
        shown.append(end.lease_id)

    async with trip_sandbox(tmp_path, machines=3) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            with pytest.raises(Killed):
                await application.trips.rent(spec, show=die)
        async with sandbox.open_application() as application:
            known = await application.repeated_runs.find_trip_to_resume("rent", spec)
            await application.trips.resume(known, show=show)
            (lease,) = await application.leases.list_leases()
            assert shown == [lease.id]
            assert await application.repeated_runs.find_trip_to_resume("rent", spec) == "", (
                "this is another one"
            )
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []


async def test_a_run_that_died_before_it_was_shown_is_shown_when_typed_again(tmp_path: Path) -> None:
    async def die(_end: object) -> None:
        raise Killed

    async with trip_sandbox(tmp_path, machines=3, speed=60) as sandbox:
        await log_in_at_mistgpu(sandbox)
        spec = make_spec(tmp_path)
        async with sandbox.open_application() as application:
            with pytest.raises(Killed):
                await application.trips.run(spec, show=die)
        assert list(sandbox.cloud.burning()) == []
        user = ScriptedUser()
        async with sandbox.open_application(user) as application:
            elsewhere = evolve(spec, results=evolve(spec.results, dir=str(tmp_path / "elsewhere")))
            known = await application.repeated_runs.find_trip_to_resume("run", spec)
            assert not any("its results stay" in event.text for event in user.events)
            assert await application.repeated_runs.find_trip_to_resume("run", elsewhere) == known
            assert any(f"gpurent resume {known} --results-dir" in event.text for event in user.events)
            end = await application.trips.resume(known)
            assert (end.exit_code, end.receipt is None) == (0, False)
            assert len(await application.store.list_leases()) == 1


@pytest.mark.parametrize("looks", [False, True])
async def test_an_upgrade_typed_again_goes_on_while_its_machine_starts(
    looks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when the provider had counted the payment: the order is no longer open, its trip is."""
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            wanted = Requirements(gpus=0, cpu_only=True)
            staged = await application.trips.rent(
                TripSpec(provider="1024gpu", requirements=wanted, limits=TripLimits(term=DAY))
            )

            async def die(*_arguments: object) -> None:
                raise Killed

            monkeypatch.setattr(ProviderOrders, "wait_until_ready", die)
            spec = TripSpec(limits=TripLimits(term=DAY))
            with pytest.raises(Killed):
                await application.lease_changes.upgrade(staged.id, spec)
            monkeypatch.undo()
        async with sandbox.open_application() as application:
            assert await application.store.find_open_order(staged.id) is None
            if looks:
                await application.leases.list_refreshed_leases()
            upgraded = await application.lease_changes.upgrade(staged.id, spec)
            assert upgraded.offer.hardware.gpus == 1
            assert [trip.outcome for trip in await application.store.list_trips()] == [DONE, DONE]
            await application.releases.release_lease(upgraded.id)
        assert list(sandbox.cloud.burning()) == []


async def test_a_metered_price_that_rose_is_not_paid_without_a_question(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)

        def raise_prices(event: object) -> None:
            if getattr(event, "step", "") == "leg0.reserve":
                for machine in sandbox.get_simulator_state("mistgpu").machines.values():
                    machine.price = machine.price * 3 // 2

        user.watchers.append(raise_prices)
        async with sandbox.open_application(user) as application:
            with pytest.raises(MoneyError, match=r"more than the .* of the quote"):
                await application.trips.rent(TripSpec(provider="mistgpu"))
            assert list(sandbox.cloud.burning()) == []
            (lease,) = await application.store.list_leases()
            assert lease.state is LeaseState.CANCELLED
            assert await application.store.find_open_order(lease.id) is None
            user.confirms = True
            rented = await application.trips.rent(TripSpec(provider="mistgpu"))
            await application.releases.release_lease(rented.id)
            order = await application.store.find_order(rented.completed_orders[0])
            assert order is not None
            assert order.outcome is OrderOutcome.COMPLETED


@pytest.mark.nightly
async def test_a_look_in_the_middle_of_a_switch_keeps_the_gpu_machine_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after the provider switched to the GPU; then the user looks, and releases."""
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application(user) as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            apply = LeaseTracker.apply_answer

            async def apply_or_die(self: LeaseTracker, asked: Lease, answer: Lease | Absent) -> Lease:
                is_switched = isinstance(answer, Lease) and answer.pending is None
                if is_switched and asked.pending is not None and asked.pending.kind is OrderKind.SWITCH:
                    raise Killed
                return await apply(self, asked, answer)

            monkeypatch.setattr(LeaseTracker, "apply_answer", apply_or_die)
            with pytest.raises(Killed):
                await application.trips.run(make_spec(tmp_path, provider="1024gpu"))
            monkeypatch.undo()
        async with sandbox.open_application(user) as application:
            (before,) = await application.store.list_leases()
            (seen,) = await application.leases.list_refreshed_leases()
            assert seen.ref != before.ref, "it follows the order that took the old one's place"
            assert seen.offer.hardware.gpus == 1
            assert seen.completed_orders[-1].endswith("-main")
            await application.releases.release_lease(seen.id)
        assert list(sandbox.cloud.burning()) == []
        assert EventKind.RELEASED in user.event_kinds()


async def test_a_restart_killed_after_its_effect_is_released_as_what_it_is(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
            await application.releases.release_lease(lease.id)
            store = application.store

            async def die(before: Lease, after: Lease) -> bool:
                raise Killed

            store.swap_lease = die  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await application.lease_changes.restart(lease.id)
        assert len(list(sandbox.cloud.burning())) == 1
        async with sandbox.open_application() as application:
            (again,) = await application.store.list_open_leases()
            await application.releases.release_lease(again.id)
            released = await application.leases.get_lease(again.id)
            assert released.state is LeaseState.KEPT, "it was created, so it is not cancelled"
            await application.releases.release_lease(again.id)
        assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_staged_trips_at_once_switch_on_different_machines(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        async with sandbox.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "900000")
        ends = await asyncio.gather(
            *(run_in_own_process(sandbox, make_spec(tmp_path, number, "1024gpu")) for number in (1, 2))
        )
        assert ends == [0, 0]
        kinds = [line.kind for line in sandbox.cloud.ledgers()["1024gpu"]]
        assert kinds.count("binding") == 1, "the account's address is bound and paid once"
        for number in (1, 2):
            assert (tmp_path / f"project{number}" / "out.txt").read_text() == str(number)


async def kill_at_confirmation(
    application: Application, monkeypatch: pytest.MonkeyPatch, go: Callable[[], Awaitable[object]]
) -> None:
    """Run ``go`` and end its process right after the provider carried out the order."""
    apply = LeaseTracker.apply_answer

    async def apply_or_die(self: LeaseTracker, asked: Lease, answer: Lease | Absent) -> Lease:
        if asked.pending is not None and asked.pending.sent_at is not None and isinstance(answer, Lease):
            raise Killed
        return await apply(self, asked, answer)

    monkeypatch.setattr(LeaseTracker, "apply_answer", apply_or_die)
    with pytest.raises(Killed):
        await go()
    monkeypatch.undo()


async def test_a_rent_typed_again_after_a_kill_is_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            spec = TripSpec(provider="mistgpu")
            await kill_at_confirmation(application, monkeypatch, lambda: application.trips.rent(spec))
        assert len(list(sandbox.cloud.burning())) == 1
        again = await sandbox.run_command("-y", "rent", "-p", "mistgpu", "--json")
        assert again.code == 0, again.err
        assert "continuing with it" in again.err
        assert len(list(sandbox.cloud.burning())) == 1
        async with sandbox.open_application() as application:
            (lease,) = await application.store.list_leases()
            assert lease.id == again.data["id"]
            await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []


async def test_an_upgrade_typed_again_after_a_kill_continues_its_own_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "900000")
        staged = TripSpec(
            provider="1024gpu",
            requirements=Requirements(gpus=0, cpu_only=True),
            limits=TripLimits(term=DAY),
        )
        lease = await application.trips.rent(staged)
        spec = TripSpec(provider="1024gpu", limits=TripLimits(term=timedelta(hours=2)))
        await kill_at_confirmation(
            application, monkeypatch, lambda: application.lease_changes.upgrade(lease.id, spec)
        )
        upgraded = await application.lease_changes.upgrade(lease.id, spec)
        assert upgraded.offer.hardware.gpus == 1
        kinds = [line.kind for line in sandbox.cloud.ledgers()["1024gpu"]]
        assert kinds.count("rent") == 1, kinds
        await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []
