"""A machine that is shut down may still cost money, and has cost some: as much as the provider's books say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.trip import TripSpec
from gpurent.errors import MoneyError
from gpurent.roles.simulator import SupportsFunding
from gpurent.testing.load_timeouts import wait_until
from tests.reliability.test_repeated_commands import Killed, log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


async def log_in_at_vast(sandbox: TripSandbox) -> str:
    """Log in with credit; return the key of the API."""
    simulator: object = sandbox.cloud.simulators_by_name["vast"]
    assert isinstance(simulator, SupportsFunding)
    fields = dict(simulator.get_login_fields())
    async with sandbox.open_application() as application:
        await application.account_commands.log_in("vast", fields)
        ((_provider, account),) = application.account_commands.list_logins()
        await simulator.add_money(account)
    return fields["api_key"]


async def shut_down_on_the_page(sandbox: TripSandbox, key: str, instance: str) -> None:
    async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["vast"], verify=False) as client:
        answer = await client.put(
            f"/api/v0/instances/{instance}/",
            headers={"Authorization": f"Bearer {key}"},
            json={"state": "stopped"},
        )
    assert answer.status_code == 200, answer.text


async def wait_until_shut(application: Application, lease_id: str) -> Lease:
    async def is_shut() -> bool:
        return (await application.leases.refresh_lease(lease_id)).state is not LeaseState.READY

    await wait_until(is_shut)
    return await application.leases.get_lease(lease_id)


def write_config(sandbox: TripSandbox, text: str) -> None:
    (sandbox.home / "state" / "config.toml").write_text(text)


async def test_a_machine_whose_disk_is_billed_is_not_over_and_is_deleted_by_a_release(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        key = await log_in_at_vast(sandbox)
        async with sandbox.open_application() as application:
            rented = await application.trips.rent(TripSpec(provider="vast"))
            await shut_down_on_the_page(sandbox, key, rented.ref)
            shut = await wait_until_shut(application, rented.id)
            assert shut.state is LeaseState.STOPPED
            assert sandbox.cloud.burning() == [f"vast:{rented.ref}"], "its disk is billed"
            price = shut.current_price.value
            assert 0 < price < rented.current_price.value
        shown = await sandbox.run_command("ls", "--json")
        assert [lease["id"] for lease in shown.data] == [rented.id]
        released = await sandbox.run_command("release", rented.id, "--json")
        assert released.code == 0, released.err
        assert sandbox.cloud.burning() == []
        assert released.data["totals"], "what it cost is in the receipt"
        assert (await sandbox.run_command("ls", "--json")).data == []


async def test_the_guard_holds_the_deadline_of_a_machine_that_is_shut_down(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        key = await log_in_at_vast(sandbox)
        async with sandbox.open_application() as application:
            rented = await application.trips.rent(TripSpec(provider="vast"))
            await shut_down_on_the_page(sandbox, key, rented.ref)
            await wait_until_shut(application, rented.id)
        write_config(sandbox, '[guard]\ndeadline = "2h"\n')
        early = await sandbox.run_command("watch", "--once", "--json")
        assert [row["actions"] for row in early.data] == [[]]
        await sandbox.cloud.advance(timedelta(hours=2))
        late = await sandbox.run_command("watch", "--once", "--json")
        assert [row["actions"][-1:] for row in late.data] == [["release"]]
        assert sandbox.cloud.burning() == []
        assert (await sandbox.run_command("ls", "--json")).data == []


async def test_a_restart_for_a_price_that_rose_needs_a_question(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application(user) as application:
            first = await application.trips.rent(TripSpec(provider="mistgpu"))
            await application.releases.release_lease(first.id)
            for machine in sandbox.get_simulator_state("mistgpu").machines.values():
                machine.price = machine.price * 3 // 2
            with pytest.raises(MoneyError, match=r"more than the .* of the quote"):
                await application.lease_changes.restart(first.id)
            assert sandbox.cloud.burning() == []
            user.confirms = True
            again = await application.lease_changes.restart(first.id)
            await application.releases.release_lease(again.id)
        assert sandbox.cloud.burning() == []


async def test_a_restart_that_was_shut_down_unseen_is_kept_and_costs_what_the_books_say(
    tmp_path: Path,
) -> None:
    """Killed right after the provider had started the machine; then it is shut down on the provider's page."""
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            first = await application.trips.rent(TripSpec(provider="mistgpu"))
            await application.releases.release_lease(first.id)

            async def die(before: Lease, after: Lease) -> bool:
                raise Killed

            application.store.swap_lease = die  # type: ignore[method-assign]
            with pytest.raises(Killed):
                await application.lease_changes.restart(first.id)
        await sandbox.cloud.advance(timedelta(minutes=5))
        state = sandbox.get_simulator_state("mistgpu")
        await state.shut_down_by_user(state.servers[first.ref].user, first.ref)
        async with sandbox.open_application() as application:
            (again,) = await application.store.list_open_leases()
            for _time in range(2):
                await application.releases.release_lease(again.id)
            released = await application.leases.get_lease(again.id)
            assert released.state is LeaseState.KEPT, "it was created, so it is not cancelled"
            receipts = [await application.receipts.get_lease_receipt(lease) for lease in (first, released)]
        used = [line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage"]
        assert sum(total.spent.amount for receipt in receipts for total in receipt.totals()) == -sum(used)
        assert sandbox.cloud.burning() == []
