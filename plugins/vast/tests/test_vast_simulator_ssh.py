"""An instance of the simulator in a whole sandbox: real machines, reached by key over real SSH."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncssh
import httpx2
import pytest

from gpurent.testing.shared_sandbox import SharedSandbox, shared_sandbox

SSH_OPTIONS: dict[str, Any] = {
    "username": "root",
    "known_hosts": None,
    "config": None,
    "agent_path": None,
    "password": "",
}


async def log_in(shown: dict[str, Any], key: asyncssh.SSHKey) -> str:
    """Return what the machine at the instance's address says."""
    port = int(shown["ports"]["22/tcp"][0]["HostPort"])
    async with asyncssh.connect(shown["public_ipaddr"], port, client_keys=[key], **SSH_OPTIONS) as connection:
        done = await connection.run("cat mark 2>/dev/null; echo $USER > mark", check=True)
        return str(done.stdout)


def test_an_instance_is_reached_by_key(tmp_path: Path) -> None:
    with shared_sandbox(tmp_path) as sandbox:
        login = sandbox.cloud.simulators_by_name["vast"].make_login_fields()
        headers = {"Authorization": f"Bearer {login['api_key']}"}
        with httpx2.Client(base_url=sandbox.cloud.urls["vast"], headers=headers, trust_env=False) as client:
            check_instance(sandbox, client)


def check_instance(sandbox: SharedSandbox, client: httpx2.Client) -> None:
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(3)]
    lines = [key.export_public_key().decode().strip() for key in keys]
    account = client.get("/api/v0/users/current/").json()["id"]
    client.post(f"/sandbox/pay/{account}/10/settle")
    client.post("/api/v0/ssh/", json={"ssh_key": lines[0]})
    body = {"image": "x", "disk": 16, "runtype": "ssh_direc ssh_proxy"}
    made = client.put("/api/v0/asks/7100001/", json=body).json()["new_contract"]
    path = f"/api/v0/instances/{made}/"
    sandbox.advance(seconds=20)
    shown = client.get(path).json()["instances"]
    assert shown["actual_status"] == "running"
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(log_in(shown, keys[0]))
    sandbox.advance(seconds=5)
    assert asyncio.run(log_in(shown, keys[0])) == ""
    client.post(f"{path}ssh/", json={"ssh_key": lines[1]})
    assert asyncio.run(log_in(shown, keys[1])) == "root\n"
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(log_in(shown, keys[2]))
    client.put(path, json={"state": "stopped"})
    sandbox.advance(seconds=5)
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(log_in(shown, keys[0]))
    client.put(path, json={"state": "running"})
    sandbox.advance(seconds=10)
    again = client.get(path).json()["instances"]
    assert [asyncio.run(log_in(again, key)) for key in keys[:2]] == ["root\n", "root\n"]
    client.delete(path)
    assert sandbox.cloud.burning() == []
