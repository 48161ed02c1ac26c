"""Real clients log in with what was exported; what was installed is removed with the lease."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from defusedxml import ElementTree  # type: ignore[import-untyped]
from hypothesis import given, strategies as st

from gpurent.composition.application import Application
from gpurent.domain.trip import TripSpec
from gpurent.errors import UsageError
from gpurent.roles.exporter import ALIAS_PATTERN
from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.workflow.connection.exports import lease_alias
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


async def run_program(*arguments: str, home: Path, input_text: str = "") -> tuple[int, str, str]:
    """Run a real program, without the tester's own environment."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(input_text.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def rent_machines(sandbox: TripSandbox, application: Application, number: int = 1) -> list[str]:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "20")
    return [(await application.trips.rent(TripSpec(provider="mistgpu"))).id for _n in range(number)]


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TripSandbox]:
    if request.param == "bwrap" and (problem := await find_bwrap_problem()):
        pytest.skip(problem)
    async with trip_sandbox(tmp_path, driver=request.param) as made:
        yield made


async def test_ssh_scp_and_sftp_log_in_and_release_removes_the_entry(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        (lease,) = await rent_machines(sandbox, application)
        config = sandbox.home / ".ssh" / "config"
        config.parent.mkdir(mode=0o700)
        config.write_text("Host *\n  ForwardAgent yes\n")
        written = await application.exports.export_leases("openssh", [lease], install=True)
        (name,) = written.leases
        assert name == f"gpurent-{lease}"
        ssh = ("-F", str(config), "-o", "BatchMode=yes")

        result = await run_program("ssh", *ssh, name, "echo $USER", home=sandbox.home)
        assert result[:2] == (0, "mist\n"), result
        (sandbox.home / "data.bin").write_bytes(bytes(range(256)) * 100)
        result = await run_program(
            "scp", *ssh, str(sandbox.home / "data.bin"), f"{name}:up.bin", home=sandbox.home
        )
        assert result[0] == 0, result
        batch = f"get up.bin {sandbox.home}/down.bin\nbye\n"
        assert (await run_program("sftp", *ssh, "-b", "-", name, home=sandbox.home, input_text=batch))[0] == 0
        assert (sandbox.home / "down.bin").read_bytes() == (sandbox.home / "data.bin").read_bytes()

        await application.releases.release_lease(lease)
        assert config.read_text() == "Host *\n  ForwardAgent yes\n"
        assert not (config.parent / "gpurent_config").exists()


async def test_odd_folder_names_work_and_another_host_key_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / 'my "own" 100% 模型 \\ #1'
    odd.mkdir()
    async with trip_sandbox(tmp_path) as sandbox:
        sandbox.home = odd
        await check_other_key_refused(sandbox, tmp_path)


async def check_other_key_refused(sandbox: TripSandbox, tmp_path: Path) -> None:
    async with sandbox.open_application() as application:
        first, second = await rent_machines(sandbox, application, 2)
        exports = application.exports
        (tmp_path / "config").write_text((await exports.export_leases("openssh", [first])).export.text)
        ssh = ("ssh", "-F", str(tmp_path / "config"), "-o", "BatchMode=yes")
        assert (await run_program(*ssh, lease_alias(first), "echo in", home=tmp_path))[1] == "in\n"
        other = (await application.leases.get_lease(second)).endpoint
        assert other is not None
        code, out, err = await run_program(
            *ssh, "-p", str(other.port), lease_alias(first), "echo in", home=tmp_path
        )
        assert (code, out) == (255, "")
        assert "Host key verification failed" in err


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
async def test_rclone_copies_by_the_filezilla_export(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        (lease,) = await rent_machines(sandbox, application)
        file = (await application.exports.export_leases("filezilla", [lease])).export.file
        assert file is not None
        site = ElementTree.fromstring(file.content).find(".//Server")
        hosts = sandbox.home / "state" / "ssh" / lease / "known_hosts"
        remote = (
            f":sftp,host={site.findtext('Host')},port={site.findtext('Port')},user={site.findtext('User')},"
            f"key_file={site.findtext('Keyfile')},known_hosts_file={hosts},shell_type=unix:"
        )
        (tmp_path / "model.pt").write_bytes(b"weights" * 1000)
        common = ("rclone", "--config", str(tmp_path / "rclone.conf"))
        result = await run_program(
            *common, "copy", str(tmp_path / "model.pt"), f"{remote}kept", home=tmp_path
        )
        assert result[0] == 0, result
        result = await run_program(*common, "lsl", f"{remote}kept", home=tmp_path)
        assert result[1].split()[0] == "7000"


@pytest.mark.nightly
async def test_only_running_leases_are_exported(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        first, second = await rent_machines(sandbox, application, 2)
        exports = application.exports
        await exports.export_leases("openssh", [], install=True)
        assert set((await exports.export_leases("xshell", [])).leases) == {
            lease_alias(first),
            lease_alias(second),
        }
        await application.releases.release_lease(first)
        assert (await exports.export_leases("filezilla", [])).leases == (lease_alias(second),)
        assert lease_alias(second) in (sandbox.home / ".ssh" / "gpurent_config").read_text()
        assert lease_alias(first) not in (sandbox.home / ".ssh" / "gpurent_config").read_text()
        with pytest.raises(UsageError, match="no settings that gpurent can write to"):
            await exports.export_leases("winscp", [second], install=True)


async def test_errors_in_the_users_files_never_affect_the_lease(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        (lease,) = await rent_machines(sandbox, application)
        (sandbox.home / ".ssh").mkdir()
        (sandbox.home / ".ssh" / "gpurent_config").mkdir()
        await application.releases.release_lease(lease)
        assert (await application.leases.get_lease(lease)).is_over
        assert any("may still be in" in event.text for event in user.events)


async def test_vscode_is_configured_only_by_consent(tmp_path: Path) -> None:
    user = ScriptedUser()
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application(user) as application:
        (lease,) = await rent_machines(sandbox, application)
        with pytest.raises(UsageError, match="is not in the settings"):
            await application.exports.prepare_program("vscode", lease)
        assert not (sandbox.home / ".ssh").exists()
        user.confirms = True
        exported, opening = await application.exports.prepare_program("vscode", lease)
        assert (
            opening.make_open_link(exported)
            == f"vscode://vscode-remote/ssh-remote+{lease_alias(lease)}{exported.folder}"
        )
        ssh = ("ssh", "-F", str(sandbox.home / ".ssh" / "config"), "-o", "BatchMode=yes", lease_alias(lease))
        assert (await run_program(*ssh, "pwd", home=sandbox.home))[1].strip() == exported.folder


@given(st.text())
def test_every_lease_has_a_safe_alias(text: str) -> None:
    import re

    assert re.fullmatch(ALIAS_PATTERN, lease_alias(text))


FAKE_CODE_PROGRAM = """#!/bin/sh
# A stand-in for VS Code's program: it writes down what it was asked to open.
printf '%s\\n' "$@" > "$HOME/code.log"
"""


async def test_open_starts_code_where_it_is_and_prints_the_address_else(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        (lease,) = await rent_machines(sandbox, application)
        refused = await sandbox.run_command("open", lease, "--vscode")
        assert refused.code == 2
        assert "--install" in refused.err
        result = await sandbox.run_command("--yes", "open", lease, "--vscode", "--json")
        uri = f"ssh-remote+{lease_alias(lease)}"
        assert result.data["url"].startswith(f"vscode://vscode-remote/{uri}/")
        assert result.data["started"] is False

        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "code").write_text(FAKE_CODE_PROGRAM)
        (tools / "code").chmod(0o755)
        sandbox.extra_environment["PATH"] = f"{tools}:{os.environ['PATH']}"
        assert (await sandbox.run_command("open", lease, "--vscode", "--json")).data["started"] is True
        flag, folder = (sandbox.home / "code.log").read_text().splitlines()
        assert flag == "--folder-uri"
        assert folder == result.data["url"].replace("vscode://vscode-remote/", "vscode-remote://")

        page = await sandbox.run_command("open", lease, "--print", "--json")
        assert page.data == {"url": sandbox.cloud.urls["mistgpu"], "started": False}
        assert "--vscode" in (await sandbox.run_command("open", "--help")).out


@pytest.mark.nightly
async def test_command_installs_on_request_and_reports_it(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, sandbox.open_application() as application:
        (lease,) = await rent_machines(sandbox, application)
        ours = sandbox.home / ".ssh" / "gpurent_config"
        result = await sandbox.run_command("export", "openssh", lease)
        assert result.code == 0
        assert f"Host gpurent-{lease}\n" in result.out
        assert not ours.exists()
        result = await sandbox.run_command("export", "openssh", lease, "--install")
        assert str(ours) in result.err
        assert "Include" in result.err
        assert ours.exists()
        done = (await sandbox.run_command("export", "openssh", "--all", "--uninstall", "--json")).data[
            "changes"
        ]
        assert str(ours) in done[0]
        assert not ours.exists()
        assert (await sandbox.run_command("export", "openssh")).code == 2
        assert (await sandbox.run_command("export", "openssh", lease, "--all")).code == 2
        nothing = await sandbox.run_command("export", "putty", lease)
        assert nothing.code == 3
        assert "openssh" in nothing.err
