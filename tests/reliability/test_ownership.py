"""A machine that was recognised by elimination is neither used nor shut down before it is proven to be ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.lease import LeaseState
from gpurent.domain.trip import TripSpec
from gpurent.errors import Declined, ForeignMachine, UnavailableError
from gpurent.infra.ssh.connector import SshConnector
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import ScriptedUser, trip_sandbox


async def test_a_machine_of_another_computer_is_not_touched(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        state = sandbox.get_simulator_state("mistgpu")
        boot = state._boot_server

        async def boot_theirs(server: object, _password: str) -> None:
            """Our request arrives just after that of another computer on the account, and its answer is lost."""
            state._boot_server = boot
            await boot(server, "another-password")
            raise RuntimeError("the connection breaks after the effect")

        state._boot_server = boot_theirs
        user = ScriptedUser()
        async with sandbox.open_application(user) as application:
            with pytest.raises(ForeignMachine) as caught:
                await application.trips.rent(TripSpec(provider="mistgpu"))
            (lease,) = await application.store.list_leases()
            assert "--confirmed" in caught.value.hint
            assert not lease.is_over
            with pytest.raises(ForeignMachine):
                await application.releases.release_lease(lease.id)
            assert len(list(sandbox.cloud.burning())) == 1, "it is theirs"
            with pytest.raises(Declined, match="still lists"):
                await application.releases.drop_lease(lease.id)
            user.confirms = True
            await application.releases.drop_lease(lease.id)
            assert (await application.leases.get_lease(lease.id)).state is LeaseState.GONE
            assert all(not trip.is_open for trip in await application.store.list_trips())
        assert len(list(sandbox.cloud.burning())) == 1


async def test_no_password_is_sent_to_a_machine_whose_host_key_another_lease_has_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        async with sandbox.open_application() as application:
            first = await application.trips.rent(TripSpec(provider="mistgpu"))
            second = await application.trips.rent(TripSpec(provider="mistgpu"))
            assert first.endpoint is not None
            opened: list[object] = []

            async def never(self: SshConnector, endpoint: object, *_more: object) -> None:
                opened.append(endpoint)
                raise UnavailableError("the password would be sent now")

            monkeypatch.setattr(SshConnector, "check_password", never)
            confused = await application.leases.update_lease(
                second.id, lambda lease: evolve(lease, endpoint=first.endpoint, needs_proof=True, claim=None)
            )
            with pytest.raises(ForeignMachine):
                await application.machines.ownership.prove_for_release(confused)
            assert opened == []
            # The same key at another provider says nothing, so the password decides: at a first contact.
            await application.leases.update_lease(first.id, lambda lease: evolve(lease, provider="1024gpu"))
            assert second.endpoint is not None
            application.connector.unpin_host_key(second.id, second.endpoint)
            application.machines.ownership.contacts.secrets.get_vault("mistgpu").delete(
                f"{second.password_ref}-place"
            )
            source = second.access_source.vouch_for(first.endpoint)
            confused = evolve(confused, access_source=source)
            with pytest.raises(UnavailableError, match="would be sent"):
                await application.machines.ownership.prove_for_release(confused)
            assert opened == [first.endpoint]
            await application.leases.update_lease(first.id, lambda lease: evolve(lease, provider="mistgpu"))
            monkeypatch.undo()
            for lease in (first, second):
                await application.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))
                await application.releases.release_lease(lease.id)
        assert list(sandbox.cloud.burning()) == []
