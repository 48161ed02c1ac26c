"""Host keys are pinned to the lease; no secret is sent to a machine with a different key."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import asyncssh
import pytest

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, UnavailableError
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.fakes.ssh_server import recording_ssh_server
from gpurent.testing.ssh_fixture import LEASE, PASSWORD, SshFixture, get_endpoint, pin_shown_key


@pytest.fixture
def ssh(tmp_path: Path) -> SshConnector:
    return SshConnector(make_private_folder(tmp_path / "ssh"), connect_timeout=10)


def make_host_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


async def test_pin_gives_the_fingerprint_and_sends_nothing(ssh: SshConnector) -> None:
    key = make_host_key()
    async with recording_ssh_server(key) as server:
        assert await pin_shown_key(ssh, LEASE, server.endpoint) == key.get_fingerprint()
        assert (server.users, server.passwords) == ([], [])
    # Already pinned: no machine is needed.
    assert await pin_shown_key(ssh, LEASE, server.endpoint) == key.get_fingerprint()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
async def test_r13_another_host_key_stops_everything_before_the_password(
    ssh: SshConnector, kind: str
) -> None:
    first = make_host_key()
    async with recording_ssh_server(first) as server:
        await pin_shown_key(ssh, LEASE, server.endpoint)
    second = make_host_key(kind)
    async with recording_ssh_server(second, port=server.endpoint.port) as server:
        with pytest.raises(HostKeyChanged):
            await ssh.open_connection(LEASE, server.endpoint, PASSWORD)
        with pytest.raises(HostKeyChanged) as caught:
            await ssh.open_connection(LEASE, server.endpoint, PASSWORD)
        assert (server.users, server.passwords) == ([], [])
    assert first.get_fingerprint() in caught.value.message
    assert second.get_fingerprint() in caught.value.message
    assert PASSWORD.reveal() not in str(caught.value)


async def test_r13_the_same_address_for_the_next_lease_starts_fresh(ssh: SshConnector) -> None:
    async with recording_ssh_server(make_host_key()) as server:
        await pin_shown_key(ssh, LEASE, server.endpoint)
    second = make_host_key()
    async with recording_ssh_server(second, port=server.endpoint.port) as server:
        assert await pin_shown_key(ssh, "lease-2", server.endpoint) == second.get_fingerprint()
        with pytest.raises(AuthError, match="rejected the password"):
            await ssh.open_connection("lease-2", server.endpoint, PASSWORD)
        assert server.passwords == [PASSWORD.reveal()]
        with pytest.raises(HostKeyChanged):
            await ssh.open_connection(LEASE, server.endpoint, Secret("of the first lease"))
        assert server.passwords == [PASSWORD.reveal()]


async def test_retired_keys_are_pinned_anew_and_kept_with_the_key_pair(ssh: SshConnector) -> None:
    async with recording_ssh_server(make_host_key()) as server:
        await pin_shown_key(ssh, LEASE, server.endpoint)
        before = ssh.get_ssh_files(LEASE)[0].read_bytes()
    second = make_host_key()
    async with recording_ssh_server(second, port=server.endpoint.port) as server:
        ssh.retire_host_keys(LEASE)
        assert await pin_shown_key(ssh, LEASE, server.endpoint) == second.get_fingerprint()
    assert ssh.get_ssh_files(LEASE)[0].read_bytes() == before
    former, current = ssh.list_host_keys(LEASE)
    assert (former.is_current, current.is_current) == (False, True)
    assert former.key.fingerprint != current.key.fingerprint == second.get_fingerprint()
    ssh.retire_host_keys("never seen")


async def test_delete_lease_files_removes_the_key(ssh: SshConnector, tmp_path: Path) -> None:
    key, _ = ssh.get_ssh_files(LEASE)
    assert key.exists()
    ssh.delete_lease_files(LEASE)
    assert list((tmp_path / "ssh").iterdir()) == []


async def test_unreachable_machine_is_retryable(ssh: SshConnector) -> None:
    async with recording_ssh_server(make_host_key()) as server:
        pass
    with pytest.raises(UnavailableError) as caught:
        await ssh.open_connection(LEASE, server.endpoint, PASSWORD)
    assert caught.value.retryable


async def test_port_22_is_found_again_in_our_own_known_hosts(ssh: SshConnector) -> None:
    """OpenSSH and asyncssh both look up port 22 by the bare host name."""
    key = make_host_key()
    try:
        async with recording_ssh_server(key, host="127.0.0.2", port=22) as server:
            await pin_shown_key(ssh, LEASE, server.endpoint)
            with pytest.raises(AuthError, match="rejected the password"):
                await ssh.open_connection(LEASE, server.endpoint, PASSWORD)
    except PermissionError:
        pytest.skip("only root may listen on port 22")


@pytest.mark.parametrize("port", [22, 10022])
def test_openssh_finds_the_pinned_key(ssh: SshConnector, port: int) -> None:
    from gpurent.infra.platform.posix.system import write_private_file
    from gpurent.infra.ssh.lease_files import known_hosts_name

    keygen = shutil.which("ssh-keygen")
    assert keygen, "ssh-keygen is missing (package openssh-client)"
    endpoint = Endpoint("mist", "gpu.example.org", port)
    known = ssh.get_ssh_files(LEASE)[1]
    write_private_file(
        known, f"{known_hosts_name(endpoint)} {make_host_key().export_public_key().decode()}".encode()
    )
    asked = "gpu.example.org" if port == 22 else f"[gpu.example.org]:{port}"
    found = subprocess.run(
        [keygen, "-F", asked, "-f", str(known)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "ssh-ed25519" in found.stdout


async def test_key_files_are_private(machines: SshFixture) -> None:
    machine = await machines.boot()
    async with machines.open_connection(machine) as connection:
        assert connection.key_file.parent == machines.folder / LEASE
        assert connection.known_hosts.read_text().startswith(f"[{machine.host}]:{machine.port} ssh-ed25519 ")
    folder = machines.folder / LEASE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(["key", "key.pub", "known_hosts", "state.json"], 0o600)
    held = b"".join(path.read_bytes() for path in folder.iterdir())
    assert PASSWORD.reveal().encode() not in held


async def test_a_machine_whose_key_was_replaced_is_refused_with_the_key_too(machines: SshFixture) -> None:
    machine = await machines.boot()
    async with machines.open_connection(machine):
        pass
    await machines.driver.kill(machine.id)
    other = await machines.boot(data="lab/43", port=machine.port)
    assert other.port == machine.port
    assert other.host_key != machine.host_key
    with pytest.raises(HostKeyChanged):
        await machines.connect(other)
    machines.ssh.retire_host_keys(LEASE)
    connection = await machines.connect(other)
    assert (await connection.run("echo in")).stdout == "in\n"
    await connection.close()
    assert get_endpoint(other) == get_endpoint(machine)
