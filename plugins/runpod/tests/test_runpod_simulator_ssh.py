"""A pod of the simulator in a whole sandbox: real machines, reached by key over real SSH."""

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
    """Return what the machine at the pod's own address says."""
    direct = shown["ssh"]["direct"]
    async with asyncssh.connect(
        direct["host"], direct["port"], client_keys=[key], **SSH_OPTIONS
    ) as connection:
        done = await connection.run("cat mark 2>/dev/null; echo $USER > mark", check=True)
        return str(done.stdout)


def test_a_pod_is_reached_by_key(tmp_path: Path) -> None:
    with shared_sandbox(tmp_path) as sandbox:
        login = sandbox.cloud.simulators_by_name["runpod"].make_login_fields()
        headers = {"Authorization": f"Bearer {login['api_key']}"}
        with httpx2.Client(base_url=sandbox.cloud.urls["runpod"], headers=headers, trust_env=False) as client:
            check_pod(sandbox, client)


def check_pod(sandbox: SharedSandbox, client: httpx2.Client) -> None:
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)]
    lines = [key.export_public_key().decode().strip() for key in keys]
    account = client.post("/graphql", json={"query": "{ myself { id } }"}).json()["data"]["myself"]["id"]
    client.post(f"/sandbox/pay/{account}/10/settle")
    client.put("/v2/account/ssh-keys", json={"keys": lines[:1]})
    body = {
        "name": "real",
        "image": "x",
        "gpu": {"id": "NVIDIA GeForce RTX 4090"},
        "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
        "ports": ["22/tcp"],
        "startSsh": True,
    }
    path = f"/v2/pods/{client.post('/v2/pods', json=body).json()['id']}"
    sandbox.advance(seconds=25)
    shown = client.get(path).json()
    assert shown["status"] == "RUNNING"
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(log_in(shown, keys[0]))
    sandbox.advance(seconds=5)
    assert asyncio.run(log_in(shown, keys[0])) == ""
    client.put("/v2/account/ssh-keys", json={"keys": lines})
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(log_in(shown, keys[1]))
    client.post(f"{path}/action", json={"action": "stop"})
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(log_in(shown, keys[0]))
    client.post(f"{path}/action", json={"action": "start"})
    sandbox.advance(seconds=15)
    again = client.get(path).json()
    assert asyncio.run(log_in(again, keys[0])) == "root\n"
    assert client.delete(path).status_code == 204
    assert sandbox.cloud.burning() == []
