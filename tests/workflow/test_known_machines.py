"""Machines that are ours already: adopted under another address, and adopted again because their password is lost."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import asyncssh

from gpurent.domain.secret import Secret
from gpurent.domain.trip import TripSpec
from tests.workflow.test_manual_leases import adopt_machine
from tests.workflow.test_timer import log_in_with_money
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

MANUAL = {"mistgpu.api": "off"}


async def adopt_again(sandbox: TripSandbox, line: str, password: str, *more: str) -> tuple[int, str]:
    result = await sandbox.run_command(
        "adopt", line, "-p", "mistgpu", "--stdin", "password", *more, input_text=f"{password}\n"
    )
    return result.code, result.out + result.err


async def list_ids(sandbox: TripSandbox) -> list[str]:
    return [row["id"] for row in (await sandbox.run_command("ls", "--json")).data]


async def test_a_machine_is_known_by_its_host_key_under_any_address(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, settings=MANUAL) as sandbox:
        access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
        lease = await adopt_machine(sandbox, access)
        other_line = access.ssh_command.replace("127.0.0.1", "localhost")
        assert other_line != access.ssh_command
        code, shown = await adopt_again(sandbox, other_line, access.password)
        assert (code, f"already belongs to {lease}" in shown) == (2, True)
        assert await list_ids(sandbox) == [lease]
        assert [path.name for path in (sandbox.home / "state" / "ssh").iterdir()] == [lease]
        (machine,) = sandbox.cloud.driver.list_machines()
        fingerprint = asyncssh.import_public_key(machine.host_key).get_fingerprint()
        assert f"--fingerprint {fingerprint}" in shown
        code, shown = await adopt_again(sandbox, other_line, access.password, "--fingerprint", fingerprint)
        assert code == 0, shown
        assert len(await list_ids(sandbox)) == 2


async def test_a_lease_whose_password_is_lost_gets_it_from_the_user(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, settings=MANUAL) as sandbox:
        access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
        lease = await adopt_machine(sandbox, access)
        code, shown = await adopt_again(sandbox, access.ssh_command, access.password)
        assert (code, f"already belongs to {lease}" in shown) == (2, True)
        # The folder is older than the lease: neither its key nor its password is there.
        shutil.rmtree(sandbox.home / "state" / "ssh" / lease)
        async with sandbox.open_application() as application:
            kept = await application.leases.get_lease(lease)
            application.secrets.get_vault("mistgpu").put(kept.password_ref, Secret("an older one"))
        refused = await sandbox.run_command("exec", lease, "true")
        assert refused.code == 4
        (hint,) = [line for line in refused.err.splitlines() if "gpurent adopt" in line]
        _gpurent, _adopt, line, _provider, provider = shlex.split(hint[hint.index("gpurent adopt") :])
        assert (line, provider) == (str(kept.endpoint), "mistgpu")
        assert (await adopt_again(sandbox, line, "no idea"))[0] == 4
        code, shown = await adopt_again(sandbox, line, access.password)
        assert (code, await list_ids(sandbox)) == (0, [lease]), shown
        shutil.rmtree(sandbox.home / "state" / "ssh" / lease)
        assert (await sandbox.run_command("exec", lease, "echo in")).out == "in\n"


async def test_an_orphan_without_its_password_names_the_command_that_takes_it(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        sandbox.extra_environment["GPURENT_STATE_HOME"] = str(tmp_path / "copies")
        async with sandbox.open_application() as application:
            await log_in_with_money(application, sandbox)
            lease = await application.trips.rent(TripSpec(provider="mistgpu"))
            password = application.secrets.get_vault("mistgpu").get(lease.password_ref)
            assert password is not None
        shutil.rmtree(sandbox.home / "state")
        async with sandbox.open_application() as application:
            await log_in_with_money(application, sandbox)
        found = await sandbox.run_command("-y", "orphans", "--adopt", lease.ref)
        assert (found.code, "perhaps not logged in to" in found.err) == (0, True)
        (line,) = re.findall(r'gpurent adopt "(.*)" --provider mistgpu', found.err)
        code, shown = await adopt_again(sandbox, line, password.reveal())
        assert code == 0, shown
        assert (await sandbox.run_command("exec", lease.id, "echo in")).out == "in\n"
