"""Real clients log in by what was exported; what was installed goes when the lease does."""

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
from gpurent.roles.exporter import ALIAS
from gpurent.testing.sandbox.machines import why_not_bwrap
from gpurent.workflow.connection.exports import alias_of
from tests.workflow.world import Person, World, world


async def shell(*arguments: str, home: Path, given: str = "") -> tuple[int, str, str]:
    """A real program, with nothing of the tester's own in its environment."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(given.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def rented(land: World, application: Application, number: int = 1) -> list[str]:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, "20")
    return [(await application.trips.rent(TripSpec(provider="mistgpu"))).id for _n in range(number)]


@pytest.fixture(params=["embedded", pytest.param("bwrap", marks=pytest.mark.bwrap)])
async def land(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "bwrap" and (why := await why_not_bwrap()):
        pytest.skip(why)
    async with world(tmp_path, driver=request.param) as made:
        yield made


async def test_ssh_scp_and_sftp_log_in_and_the_end_takes_it_out(land: World) -> None:
    async with land.application() as application:
        (lease,) = await rented(land, application)
        config = land.home / ".ssh" / "config"
        config.parent.mkdir(mode=0o700)
        config.write_text("Host *\n  ForwardAgent yes\n")
        written = await application.exports.write("openssh", [lease], install=True)
        (name,) = written.leases
        assert name == f"gpurent-{lease}"
        ssh = ("-F", str(config), "-o", "BatchMode=yes")

        said = await shell("ssh", *ssh, name, "echo $USER", home=land.home)
        assert said[:2] == (0, "mist\n"), said
        (land.home / "data.bin").write_bytes(bytes(range(256)) * 100)
        said = await shell("scp", *ssh, str(land.home / "data.bin"), f"{name}:up.bin", home=land.home)
        assert said[0] == 0, said
        batch = f"get up.bin {land.home}/down.bin\nbye\n"
        assert (await shell("sftp", *ssh, "-b", "-", name, home=land.home, given=batch))[0] == 0
        assert (land.home / "down.bin").read_bytes() == (land.home / "data.bin").read_bytes()

        await application.releases.release(lease)
        assert config.read_text() == "Host *\n  ForwardAgent yes\n"
        assert not (config.parent / "gpurent_config").exists()


async def test_odd_folders_are_no_hindrance_and_another_host_key_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / 'my "own" 100% 模型 \\ #1'
    odd.mkdir()
    async with world(tmp_path) as land:
        land.home = odd
        await refuses_another_key(land, tmp_path)


async def refuses_another_key(land: World, tmp_path: Path) -> None:
    async with land.application() as application:
        first, second = await rented(land, application, 2)
        exports = application.exports
        (tmp_path / "config").write_text((await exports.write("openssh", [first])).export.text)
        ssh = ("ssh", "-F", str(tmp_path / "config"), "-o", "BatchMode=yes")
        assert (await shell(*ssh, alias_of(first), "echo in", home=tmp_path))[1] == "in\n"
        other = application.leases.find_lease(second).endpoint
        assert other is not None
        code, out, err = await shell(*ssh, "-p", str(other.port), alias_of(first), "echo in", home=tmp_path)
        assert (code, out) == (255, "")
        assert "Host key verification failed" in err


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
async def test_rclone_copies_by_what_filezilla_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as land, land.application() as application:
        (lease,) = await rented(land, application)
        file = (await application.exports.write("filezilla", [lease])).export.file
        assert file is not None
        site = ElementTree.fromstring(file.content).find(".//Server")
        hosts = land.home / "state" / "ssh" / lease / "known_hosts"
        remote = (
            f":sftp,host={site.findtext('Host')},port={site.findtext('Port')},user={site.findtext('User')},"
            f"key_file={site.findtext('Keyfile')},known_hosts_file={hosts},shell_type=unix:"
        )
        (tmp_path / "model.pt").write_bytes(b"weights" * 1000)
        common = ("rclone", "--config", str(tmp_path / "rclone.conf"))
        said = await shell(*common, "copy", str(tmp_path / "model.pt"), f"{remote}kept", home=tmp_path)
        assert said[0] == 0, said
        said = await shell(*common, "lsl", f"{remote}kept", home=tmp_path)
        assert said[1].split()[0] == "7000"


async def test_all_that_run_and_only_those(tmp_path: Path) -> None:
    async with world(tmp_path) as land, land.application() as application:
        first, second = await rented(land, application, 2)
        exports = application.exports
        await exports.write("openssh", [], install=True)
        assert set((await exports.write("xshell", [])).leases) == {alias_of(first), alias_of(second)}
        await application.releases.release(first)
        assert (await exports.write("filezilla", [])).leases == (alias_of(second),)
        assert alias_of(second) in (land.home / ".ssh" / "gpurent_config").read_text()
        assert alias_of(first) not in (land.home / ".ssh" / "gpurent_config").read_text()
        with pytest.raises(UsageError, match="no place of its own"):
            await exports.write("winscp", [second], install=True)


async def test_trouble_with_the_users_files_never_touches_the_lease(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path) as land, land.application(person) as application:
        (lease,) = await rented(land, application)
        (land.home / ".ssh").mkdir()
        (land.home / ".ssh" / "gpurent_config").mkdir()
        await application.releases.release(lease)
        assert application.leases.find_lease(lease).over
        assert any("may still know" in event.text for event in person.events)


async def test_vscode_is_told_only_by_consent(tmp_path: Path) -> None:
    person = Person()
    async with world(tmp_path) as land, land.application(person) as application:
        (lease,) = await rented(land, application)
        with pytest.raises(UsageError, match="does not know"):
            await application.exports.prepare_open("vscode", lease)
        assert not (land.home / ".ssh").exists()
        person.agrees = True
        exported, opening = await application.exports.prepare_open("vscode", lease)
        assert (
            opening.link(exported) == f"vscode://vscode-remote/ssh-remote+{alias_of(lease)}{exported.folder}"
        )
        ssh = ("ssh", "-F", str(land.home / ".ssh" / "config"), "-o", "BatchMode=yes", alias_of(lease))
        assert (await shell(*ssh, "pwd", home=land.home))[1].strip() == exported.folder


@given(st.text())
def test_every_lease_has_a_safe_alias(text: str) -> None:
    import re

    assert re.fullmatch(ALIAS, alias_of(text))


CODE = """#!/bin/sh
# A stand-in for VS Code's program: it writes down what it was asked to open.
printf '%s\\n' "$@" > "$HOME/code.log"
"""


async def test_open_starts_code_where_it_is_and_prints_the_address_else(tmp_path: Path) -> None:
    async with world(tmp_path) as land, land.application() as application:
        (lease,) = await rented(land, application)
        refused = await land.cli("open", lease, "--vscode")
        assert refused.code == 2
        assert "--install" in refused.err
        said = await land.cli("--yes", "open", lease, "--vscode", "--json")
        uri = f"ssh-remote+{alias_of(lease)}"
        assert said.data["link"].startswith(f"vscode://vscode-remote/{uri}/")
        assert said.data["started"] is False

        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "code").write_text(CODE)
        (tools / "code").chmod(0o755)
        land.extra["PATH"] = f"{tools}:{os.environ['PATH']}"
        assert (await land.cli("open", lease, "--vscode", "--json")).data["started"] is True
        flag, folder = (land.home / "code.log").read_text().splitlines()
        assert flag == "--folder-uri"
        assert folder == said.data["link"].replace("vscode://vscode-remote/", "vscode-remote://")

        page = await land.cli("open", lease, "--print", "--json")
        assert page.data == {"link": land.cloud.urls["mistgpu"], "started": False}
        assert "--vscode" in (await land.cli("open", "--help")).out


async def test_the_command_installs_by_wish_and_says_what_it_did(tmp_path: Path) -> None:
    async with world(tmp_path) as land, land.application() as application:
        (lease,) = await rented(land, application)
        ours = land.home / ".ssh" / "gpurent_config"
        said = await land.cli("export", "openssh", lease)
        assert said.code == 0
        assert f"Host gpurent-{lease}\n" in said.out
        assert not ours.exists()
        said = await land.cli("export", "openssh", lease, "--install")
        assert str(ours) in said.err
        assert "Include" in said.err
        assert ours.exists()
        done = (await land.cli("export", "openssh", "--all", "--uninstall", "--json")).data["done"]
        assert str(ours) in done[0]
        assert not ours.exists()
        assert (await land.cli("export", "openssh")).code == 2
        assert (await land.cli("export", "openssh", lease, "--all")).code == 2
        nothing = await land.cli("export", "putty", lease)
        assert nothing.code == 3
        assert "openssh" in nothing.err
