"""Logging in: once by password, then by the lease's key, and never by anything of the user's own."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError
from gpurent.infra.platform.posix.system import write_private_file
from gpurent.testing.sandbox.machines import BootedMachine
from gpurent.testing.ssh_fixture import LEASE, SshFixture, get_endpoint, pin_shown_key


async def run_checked(machines: SshFixture, machine: BootedMachine, command: str) -> str:
    async with machines.open_connection(machine) as connection:
        ran = await connection.run(command)
    assert ran.exit_status == 0, ran
    return ran.stdout


async def run_before_lease(machines: SshFixture, machine: BootedMachine, command: str) -> None:
    """Run ``command`` on the machine before any lease has touched it."""
    async with asyncssh.connect(
        machine.host,
        machine.port,
        username=machine.spec.user,
        password=machine.spec.password,
        client_keys=None,
        known_hosts=f"[{machine.host}]:{machine.port} {machine.host_key}".encode(),
        config=None,
        agent_path=None,
    ) as connection:
        await connection.run(command, check=True)


async def test_a_wrong_password_is_an_auth_error_without_the_password(machines: SshFixture) -> None:
    machine = await machines.boot()
    with pytest.raises(AuthError) as caught:
        await machines.connect(machine, password=Secret("not it, canary"))
    error_text = f"{caught.value!r} {caught.value} {caught.value.hint} {caught.value.detail}"
    assert "rejected the password" in error_text
    assert "canary" not in error_text
    assert caught.value.__cause__ is None


async def test_another_user_is_refused(machines: SshFixture) -> None:
    machine = await machines.boot()
    stranger = Endpoint("stranger", machine.host, machine.port)
    await pin_shown_key(machines.ssh, LEASE, stranger)
    with pytest.raises(AuthError):
        await machines.ssh.open_connection(LEASE, stranger, Secret(machine.spec.password))


async def test_without_a_password_and_without_an_installed_key_it_says_so(machines: SshFixture) -> None:
    machine = await machines.boot()
    with pytest.raises(AuthError, match="no password is known for this machine, and it does not accept"):
        await machines.connect(machine, password=None)


async def test_the_second_time_needs_no_password(machines: SshFixture) -> None:
    machine = await machines.boot()
    async with machines.open_connection(machine):
        pass
    connection = await machines.connect(machine, password=None)
    assert (await connection.run("id -un; echo done")).exit_status == 0
    await connection.close()


@pytest.mark.parametrize(
    "before",
    ["", "ssh-ed25519 AAAAold one@old\n", "# two\nssh-rsa AAAAother two@old"],
    ids=["none", "one", "no newline at the end"],
)
async def test_the_key_is_installed_once_beside_what_was_there(machines: SshFixture, before: str) -> None:
    machine = await machines.boot()
    if before:
        write = (
            f"mkdir -p ~/.ssh && chmod 755 ~/.ssh && printf %s {shlex.quote(before)} > ~/.ssh/authorized_keys"
        )
        await run_before_lease(machines, machine, write)
    async with machines.open_connection(machine):
        pass
    # As if our record of it had been lost: the installer runs again.
    (machines.folder / LEASE / "state.json").unlink()
    text = await run_checked(machines, machine, "cat ~/.ssh/authorized_keys")
    ours = (machines.folder / LEASE / "key.pub").read_text().strip()
    assert text.splitlines() == [*before.splitlines(), ours]
    assert text.endswith("\n")
    modes = await run_checked(machines, machine, "stat -c '%a %n' ~/.ssh ~/.ssh/*; ls -A ~/.ssh")
    assert [line.split()[0] for line in modes.splitlines()] == ["700", "600", "authorized_keys"]


async def test_two_leases_on_one_machine_keep_both_keys(machines: SshFixture) -> None:
    machine = await machines.boot()
    async with machines.open_connection(machine, "lease-1"), machines.open_connection(machine, "lease-2"):
        pass
    for lease in ("lease-1", "lease-2"):
        connection = await machines.connect(machine, lease, password=None)
        assert (await connection.run("wc -l < ~/.ssh/authorized_keys")).stdout.strip() == "2"
        await connection.close()


async def test_a_key_that_was_taken_away_is_installed_again_by_the_password(machines: SshFixture) -> None:
    machine = await machines.boot()
    async with machines.open_connection(machine) as connection:
        await connection.run("rm ~/.ssh/authorized_keys")
    with pytest.raises(AuthError):
        await machines.connect(machine, password=None)
    async with machines.open_connection(machine):
        pass
    connection = await machines.connect(machine, password=None)
    await connection.close()


async def test_an_unwritable_home_is_reported(machines: SshFixture) -> None:
    machine = await machines.boot()
    await run_before_lease(machines, machine, "echo not a folder > ~/.ssh")
    with pytest.raises(AuthError, match="could not be installed"):
        await machines.connect(machine)


@asynccontextmanager
async def recording_agent(path: Path) -> AsyncIterator[list[bytes]]:
    """An SSH agent's socket that records requests."""
    requests: list[bytes] = []

    async def record_requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_unix_server(record_requests, path)
    try:
        yield requests
    finally:
        server.close()
        await server.wait_closed()


async def test_users_own_ssh_configuration_is_ignored(
    machines: SshFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile ~/.ssh/config, a key of the user's that would work, an agent: none is used."""
    machine = await machines.boot()
    home = tmp_path / "user"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    mark = tmp_path / "proxy-ran"
    (home / ".ssh" / "config").write_text(
        f"Host *\n  ProxyCommand sh -c 'touch {mark}; exit 1'\n  User root\n  Port 1\n"
        f"  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  ForwardAgent yes\n"
        f"  IdentityFile {home}/.ssh/id_ed25519\n"
    )
    users = asyncssh.generate_private_key("ssh-ed25519")
    write_private_file(home / ".ssh" / "id_ed25519", users.export_private_key())
    line = shlex.quote(users.export_public_key().decode().strip())
    await run_before_lease(
        machines, machine, f"umask 077; mkdir -p ~/.ssh && printf '%s\\n' {line} > ~/.ssh/authorized_keys"
    )
    monkeypatch.setenv("HOME", str(home))
    async with recording_agent(tmp_path / "agent.sock") as requests:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent.sock"))
        with pytest.raises(AuthError):
            await machines.connect(machine, password=Secret("wrong"))
        async with machines.open_connection(machine) as connection:
            assert (await connection.run('echo "${SSH_AUTH_SOCK-none}"')).stdout == "none\n"
        assert requests == []
    assert not mark.exists()
    assert not (home / ".ssh" / "known_hosts").exists()
    assert get_endpoint(machine).user == machine.spec.user


async def test_an_unreadable_key_of_the_users_own_is_in_nobodys_way(
    machines: SshFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when the host key is asked for, nor at the login with the password."""
    machine = await machines.boot()
    home = tmp_path / "user"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "id_ed25519").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nunreadable\n")
    monkeypatch.setenv("HOME", str(home))
    assert await run_checked(machines, machine, "echo there") == "there\n"
