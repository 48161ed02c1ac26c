"""Who gets into a sandbox: its own user, with this sandbox's own credentials, and nobody else.

Whoever is asked, the kernel says who opened a connection. A test has one user only, so there the sandbox believes to
belong to another one; as root, a real other user tries too.
"""

from __future__ import annotations

import asyncio
import imaplib
import json
import os
import socket
import stat
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncssh
import httpx2
import pytest
from attrs import evolve

from gpurent.cli.commands.sandbox.group import print_driver
from gpurent.errors import AuthError, GpurentError, UsageError
from gpurent.infra.platform.posix import socket_owner
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sandbox_handle import SandboxHandle, find_sandbox, is_sandbox_service
from gpurent.testing.sandbox import peers
from gpurent.testing.sandbox.client import SandboxClient
from gpurent.testing.sandbox.control_app import make_control_app
from gpurent.testing.sandbox.machines import driver_selection
from gpurent.testing.sandbox.machines.driver_selection import select_driver
from gpurent.testing.sandbox.proof_server import ProofServer
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.testing.sandbox.simulated_cloud import SandboxOptions, SimulatedCloud
from gpurent.testing.sandbox.web_server import WebServer
from tests.security.attacks import Adversary, Outcome, attack
from tests.workflow.trip_sandbox import proxied_simulators, trip_sandbox

NOBODY = 65534
README_PASSWORD = "student-pass"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[SimulatedCloud]:
    made = SimulatedCloud(
        tmp_path / "cloud", EntryPointRegistry.load(), SandboxOptions(driver="embedded", settings={})
    )
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@contextmanager
def owned_by_somebody_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the block, we are another user than the sandbox's."""
    with monkeypatch.context() as patch:
        patch.setattr(peers, "get_owner", lambda: os.getuid() + 1)
        yield


def run_as_nobody(action: Callable[[], object]) -> int:
    """Run ``action`` in a process of another user, if we may make one; return its exit code, 0 if it was refused."""
    if os.getuid() != 0:
        return 0
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            action()
        except OSError:
            code = 0
        except BaseException:  # noqa: BLE001 - the child of a test must not go on
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def send_request(url: str, **fields: str) -> int:
    """POST a form without any library that could be shared with the parent; raises `OSError` if nothing answers."""
    parts = urlsplit(url)
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=10) as end:
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n"
        end.sendall(head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + body)
        status = end.recv(64)
    if not status:
        raise ConnectionResetError("hung up")
    return int(status.split()[1])


async def is_refused(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> bool:
    """Return whether ``action`` fails with `OSError` for another user than the sandbox's."""
    with owned_by_somebody_else(monkeypatch):
        try:
            await asyncio.to_thread(action)
        except OSError:
            pass
        else:
            return False
    return await asyncio.to_thread(run_as_nobody, action) == 0


@attack(
    Adversary.LOCAL_USER,
    "logs in to a simulator with the right password",
    Outcome.REFUSED,
    kind="S3",
)
async def test_another_user_gets_no_answer_from_a_simulator(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"{cloud.urls['mistgpu']}/login/"
    fields = dict(cloud.handle.logins["mistgpu"])
    assert await asyncio.to_thread(send_request, login, **fields) == 302
    assert await is_refused(monkeypatch, lambda: send_request(login, **fields))


@attack(
    Adversary.LOCAL_USER,
    "calls a route of a service that asks for no login: another's orders, DBC from the faucet",
    Outcome.REFUSED,
    kind="S3",
)
async def test_another_user_cannot_call_what_needs_no_login(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    faucet, orders = f"{cloud.urls['dbc']}/sandbox/faucet", f"{cloud.urls['1024gpu']}/rent/get_all_order"
    assert await asyncio.to_thread(send_request, orders) == 200
    assert await is_refused(monkeypatch, lambda: send_request(faucet, address="x", amount="1"))
    assert await is_refused(monkeypatch, lambda: send_request(orders))
    assert not any(cloud.ledgers().values())


@attack(
    Adversary.LOCAL_USER,
    "calls the control API: stops the sandbox, asks for its passwords",
    Outcome.REFUSED,
    kind="S3",
)
async def test_the_control_api_needs_its_token_and_its_user(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = WebServer(make_control_app(cloud, "token", lambda: pytest.fail("stopped")))
    await control.start()
    assert await asyncio.to_thread(send_request, f"{control.url}/down") == 403
    assert await is_refused(monkeypatch, lambda: send_request(f"{control.url}/env"))
    await control.close()


def read_greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as end:
        found = end.recv(64)
    if not found:
        raise ConnectionResetError("hung up")
    return found


@attack(
    Adversary.LOCAL_USER,
    "reads the mailbox, in which the codes for renting and releasing arrive",
    Outcome.REFUSED,
    kind="S3",
)
async def test_the_mailbox_needs_its_password_and_its_user(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_in(password: str) -> str:
        with imaplib.IMAP4("127.0.0.1", cloud.mail.port, timeout=10) as client:
            return client.login("student@sandbox.example", password)[0]

    assert await asyncio.to_thread(log_in, cloud.mail.get_password("student@sandbox.example")) == "OK"
    with pytest.raises(imaplib.IMAP4.error):
        await asyncio.to_thread(log_in, README_PASSWORD)
    assert await is_refused(monkeypatch, lambda: read_greeting(cloud.mail.port))


@attack(
    Adversary.LOCAL_USER,
    "logs in to a machine over SSH with the right password, at its public and at its inner port",
    Outcome.REFUSED,
    kind="S3",
)
async def test_another_user_gets_into_no_machine(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = await cloud.get_manual_rental("mistgpu").rent_manually()
    (machine,) = cloud.driver.list_machines()
    (inner,) = [booted.instance.port for booted in cloud.driver._booted.values()]  # type: ignore[attr-defined]

    async def log_in(port: int, password: str = access.password) -> str:
        options: dict[str, Any] = {
            "known_hosts": None,
            "config": None,
            "client_keys": None,
            "agent_path": None,
        }
        async with asyncssh.connect("127.0.0.1", port, username="mist", password=password, **options) as line:
            return str((await line.run("id -u")).stdout).strip()

    assert await log_in(machine.port) == str(os.getuid())
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(machine.port, README_PASSWORD)
    with owned_by_somebody_else(monkeypatch):
        for port in (machine.port, inner):
            with pytest.raises((OSError, asyncssh.Error)):
                await log_in(port)
    assert await is_refused(monkeypatch, lambda: read_greeting(machine.port))
    assert await log_in(machine.port) == str(os.getuid())


@attack(
    Adversary.LOCAL_USER,
    "sends a request and closes the connection at once, so that the kernel names root as its owner",
    Outcome.REFUSED,
    kind="S3",
)
def test_a_closed_connection_has_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    for tell in (socket_owner._ask_kernel, lambda *_ends: (_ for _ in ()).throw(OSError)):
        monkeypatch.setattr(socket_owner, "_ask_kernel", tell)
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            accepted, _address = server.accept()
            with accepted:
                assert socket_owner.find_peer_uid(accepted) == os.getuid()
                client.sendall(b"POST /down HTTP/1.1\r\n\r\n")
                client.close()
                assert socket_owner.find_peer_uid(accepted) is None
                assert not peers.is_own_peer(accepted)


@attack(
    Adversary.LOCAL_USER,
    "uses a password that was published: README's, or that of another sandbox",
    Outcome.REFUSED,
    kind="S3",
)
async def test_each_sandbox_has_its_own_password(tmp_path: Path) -> None:
    found = set()
    for name in ("a", "b"):
        async with trip_sandbox(tmp_path / name, settings={"mistgpu.password": ""}) as sandbox:
            async with sandbox.open_application() as application:
                with pytest.raises(AuthError):
                    await application.account_commands.log_in(
                        "mistgpu", {"username": "student", "password": README_PASSWORD}
                    )
                fields = dict(sandbox.cloud.handle.logins["mistgpu"])
                await application.account_commands.log_in("mistgpu", fields)
            found.add(fields["password"])
    assert len(found) == 2
    assert all(len(password) >= 16 for password in found)


@attack(
    Adversary.LOCAL_USER,
    "reads the file with the sandbox's passwords",
    Outcome.REFUSED,
    kind="S3",
)
async def test_the_handle_is_private(cloud: SimulatedCloud) -> None:
    path = cloud.handle_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["logins"]["mistgpu"]["username"] == "student"
    for secret in (cloud.handle.secret, cloud.handle.logins["mistgpu"]["password"]):
        assert secret not in repr(cloud.handle)


@attack(
    Adversary.LOCAL_USER,
    "offers a handle: one that others can write, a link to one, one of another user",
    Outcome.REFUSED,
    kind="S3",
)
async def test_only_a_private_handle_counts(cloud: SimulatedCloud, tmp_path: Path) -> None:
    url, path = cloud.urls["mistgpu"], tmp_path / "sandbox.json"
    content = cloud.handle_path.read_bytes()
    path.write_bytes(content)
    path.chmod(0o666)
    environment = {"GPURENT_SANDBOX": str(path)}
    with pytest.raises(UsageError, match="accessible to other users"):
        await is_sandbox_service(environment, url)
    with pytest.raises(UsageError):
        SandboxClient.find_running(tmp_path)
    path.chmod(0o600)
    assert await is_sandbox_service(environment, url)
    if os.getuid() == 0:
        os.chown(path, NOBODY, -1)
        with pytest.raises(UsageError, match="another user"):
            await is_sandbox_service(environment, url)
    path.unlink()
    path.symlink_to(cloud.handle_path)
    with pytest.raises(UsageError, match="symbolic link"):
        await is_sandbox_service(environment, url)
    path.unlink()
    assert find_sandbox(environment) is None
    assert not await is_sandbox_service({}, url)


@attack(
    Adversary.PROVIDER,
    "claims to be the sandbox: another port or host, or a URL that only begins like one of its services",
    Outcome.REFUSED,
    kind="S3",
)
async def test_only_services_of_the_handle_count(cloud: SimulatedCloud) -> None:
    environment = {"GPURENT_SANDBOX": str(cloud.handle_path)}
    port = urlsplit(cloud.urls["mistgpu"]).port
    mailbox = f"imap://127.0.0.1:{cloud.mail.port}"
    for url in (*cloud.urls.values(), f"{cloud.urls['mistgpu']}/user/?x=1", mailbox):
        assert await is_sandbox_service(environment, url), url
    for url in (
        f"http://127.0.0.1:{cloud.handle.proof_port}",
        f"https://127.0.0.1:{port}",
        f"http://evil.example:{port}/",
        f"http://127.0.0.1:{port}@evil.example/",
        f"http://127.0.0.1:{port}@evil.example:{port}/",
        f"http://student@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}.evil.example/",
        f"http://169.254.169.254:{port}/",
        "http://127.0.0.1/",
        "https://mistgpu.com",
        "",
    ):
        assert not await is_sandbox_service(environment, url), url


@attack(
    Adversary.LOCAL_USER,
    "listens on the port of a sandbox that was killed, or passes the challenge on to a sandbox that runs",
    Outcome.REFUSED,
    kind="S3",
)
async def test_a_sandbox_proves_that_it_is_this_one(cloud: SimulatedCloud, tmp_path: Path) -> None:
    relayed = SandboxHandle.make_proof

    async def try_proof(make_proof: Callable[[str], str]) -> bool:
        server = ProofServer(make_proof)
        await server.start()
        stale = evolve(cloud.handle, proof_port=server.port)
        path = tmp_path / "sandbox.json"
        stale.write(path)
        try:
            return await is_sandbox_service({"GPURENT_SANDBOX": str(path)}, cloud.urls["mistgpu"])
        finally:
            await server.close()

    assert await cloud.handle.is_proven()
    assert not await try_proof(lambda _challenge: "")
    assert not await try_proof(lambda challenge: challenge)
    assert not await try_proof(evolve(cloud.handle, secret="guessed").make_proof)
    assert not await try_proof(lambda challenge: relayed(cloud.handle, challenge))
    gone = evolve(cloud.handle, proof_port=1)
    assert not await gone.is_proven()


@attack(
    Adversary.LOCAL_USER,
    "asks the sandbox to prove itself, to use the answer elsewhere",
    Outcome.REFUSED,
    kind="S3",
)
async def test_the_proof_is_given_to_its_user_only(
    cloud: SimulatedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owned_by_somebody_else(monkeypatch):
        assert not await cloud.handle.is_proven()
    assert await cloud.handle.is_proven()


@attack(
    Adversary.LOCAL_USER,
    "listens on the port of a service while the sandbox lets it refuse connections",
    Outcome.REFUSED,
    kind="S3",
)
async def test_a_service_whose_port_is_another_users_does_not_count(cloud: SimulatedCloud) -> None:
    environment = {"GPURENT_SANDBOX": str(cloud.handle_path)}
    url, port = cloud.urls["mistgpu"], int(urlsplit(cloud.urls["mistgpu"]).port or 0)
    await cloud.faults.add(ServiceFault(service="mistgpu", refuse=True))
    assert not await is_sandbox_service(environment, url)
    if os.getuid() == 0:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            os.fchown(taken.fileno(), NOBODY, -1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            assert socket_owner.find_listener_uid(port) == NOBODY
            assert not await is_sandbox_service(environment, url)
    await cloud.faults.clear()
    assert await is_sandbox_service(environment, url)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
    ],
)
@attack(
    Adversary.NETWORK,
    "a web page in the user's browser posts to a simulator, or a name of its own leads to this computer",
    Outcome.REFUSED,
    kind="S16",
)
async def test_web_pages_stay_outside(cloud: SimulatedCloud, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(base_url=cloud.urls["mistgpu"]) as client:
        answer = await client.post("/login/", data=dict(cloud.handle.logins["mistgpu"]), headers=headers)
        assert answer.status_code == 403
        if "Host" not in headers:
            assert (await client.get("/login/", headers=headers)).status_code == 200, "a link still works"
        own = {"Origin": cloud.urls["mistgpu"], "Sec-Fetch-Site": "same-origin"}
        answer = await client.post("/login/", data=dict(cloud.handle.logins["mistgpu"]), headers=own)
        assert answer.status_code == 302


@attack(
    Adversary.MACHINE_OWNER,
    "gets a machine that is not isolated, because bubblewrap does not work where root runs the sandbox",
    Outcome.REFUSED,
    kind="S3",
)
async def test_root_gets_machines_that_are_not_isolated_only_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def trouble() -> str:
        return "user namespaces are not allowed"

    monkeypatch.setattr(driver_selection, "find_bwrap_problem", trouble)
    monkeypatch.setattr(driver_selection, "is_root", lambda: True)
    with pytest.raises(UsageError, match="user namespaces") as refused:
        await select_driver("auto", tmp_path)
    assert "--driver embedded" in refused.value.hint
    named = await select_driver("embedded", tmp_path)
    await named.close()
    monkeypatch.setattr(driver_selection, "is_root", lambda: False)
    chosen = await select_driver("auto", tmp_path)
    print_driver({"driver_reason": chosen.fallback_reason})
    assert "not isolated" in capsys.readouterr().err
    await chosen.close()


async def test_where_users_cannot_be_told_apart_there_is_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "find_peer_uid", lambda _connection: None)
    made = SimulatedCloud(tmp_path, EntryPointRegistry.load(), SandboxOptions(settings={}))
    with pytest.raises(GpurentError, match="which user"):
        await made.start()
    await made.close()
    assert not made.handle_path.exists()


async def test_a_fault_proxy_is_a_service_of_its_sandbox(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox, proxied_simulators(sandbox, "mistgpu"):
        environment = sandbox.environment()
        assert await is_sandbox_service(environment, environment["GPURENT_MISTGPU_URL"])
