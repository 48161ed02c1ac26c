"""Machines that the user rents manually: adopted by their SSH command, used, ended, accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from gpurent.composition.application import Application
from gpurent.domain.access import USER_SOURCE, Endpoint
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.domain.secret import Secret
from gpurent.domain.trip import JobSpec, ResultsSpec, TripSpec, UploadSpec
from gpurent.errors import HostKeyChanged, InputRequired, UsageError
from gpurent.locale import set_language
from gpurent.roles.lease import MachineAccess
from gpurent.roles.simulator import ManualAccess
from gpurent.workflow.manual.adopt import AdoptionRequest
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

JOB = """
import time
for i in range(8):
    print('step', i, flush=True)
    time.sleep(0.25)
open('out.txt', 'w').write('done')
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(
        tmp_path, speed=60, settings={"mistgpu.api": "off", "1024gpu.api": "off"}
    ) as made:
        yield made


def make_project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(JOB)
    return folder


async def adopt_machine(
    sandbox: TripSandbox, access: ManualAccess, *more: str, provider: str = "mistgpu"
) -> str:
    result = await sandbox.run_command(
        "adopt",
        access.ssh_command,
        "-p",
        provider,
        "--stdin",
        "password",
        "--json",
        *more,
        input_text=f"{access.password}\n",
    )
    assert result.code == 0, result.err
    return str(result.data["id"])


def make_handed(
    application: Application, manual_access: ManualAccess, provider: str, price: str, fingerprint: str = ""
) -> AdoptionRequest:
    terms = DeclaredTerms(tariff=Metered(price=parse_price(price)), at=application.clock.now())
    access = MachineAccess(
        endpoint=Endpoint.parse(manual_access.ssh_command),
        password=Secret(manual_access.password),
        source=USER_SOURCE,
    )
    return AdoptionRequest(provider=provider, access=access, terms=terms, fingerprint=fingerprint)


async def test_whole_trip_by_the_ssh_command_alone(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "3.5CNY/h", "--balance", "40CNY")
    running = asyncio.create_task(
        sandbox.run_command(
            "run", "--lease", lease, "--results", "out.txt", "--json", "--", "train.py", folder=folder
        )
    )
    cut = 0
    for _try in range(600):
        if running.done() or cut >= 3:
            break
        cut += await sandbox.cloud.cut_connections() > 0
        await asyncio.sleep(0.3)
    result = await running
    assert result.code == 0, result.err + result.out
    assert cut, "no line was ever cut"
    assert (folder / "out.txt").read_text() == "done"
    assert result.err.count("step 7") == 1, "each line once, whatever was cut"
    assert list(sandbox.cloud.burning()) == []
    (spent,) = result.data["totals"]
    theirs = -sum(line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage")
    # The provider counts from its own first minute, a little before the machine was adopted.
    assert 0 < spent["spent"]["minor"] <= theirs + 12
    assert result.data["receipt"]["declared"] == "3.5 CNY/h"
    found = (await sandbox.run_command("show", lease, "--json")).data
    assert (found["state"], found["endpoint"]) == ("kept", None)
    assert "declared price, 3.5 CNY/h" in (await sandbox.run_command("receipts", lease)).out


async def test_the_fingerprint_must_match_before_anything_secret_is_sent(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    (machine,) = sandbox.cloud.driver.list_machines()
    right = asyncssh.import_public_key(machine.host_key).get_fingerprint()
    wrong = "SHA256:" + "A" * 43
    async with sandbox.open_application() as application:
        manual = application.manual_commands
        with pytest.raises(HostKeyChanged) as caught:
            await manual.adopt_machine(
                make_handed(application, access, "mistgpu", "1CNY/h", fingerprint=wrong)
            )
        assert right in caught.value.message
        assert await application.store.list_leases() == []
        assert list((application.home / "ssh").iterdir()) == []
        lease = await manual.adopt_machine(
            make_handed(application, access, "mistgpu", "1CNY/h", fingerprint=right)
        )
        assert lease.state is LeaseState.READY
        with pytest.raises(UsageError) as again:
            await manual.adopt_machine(make_handed(application, access, "ssh", "0"))
        assert lease.id in again.value.message
    assert access.password not in str(await sandbox.run_command("ls", "--json"))
    for file in sandbox.home.rglob("*"):
        assert not file.is_file() or access.password.encode() not in file.read_bytes(), file


async def test_the_first_password_is_kept_under_the_passphrase_that_was_asked_for(
    sandbox: TripSandbox,
) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    user = ScriptedUser(answers={"passphrase for the vault": "open sesame please"})
    async with sandbox.open_application(user) as application:
        lease = await application.manual_commands.adopt_machine(
            make_handed(application, access, "mistgpu", "1CNY/h")
        )
        kept = application.secrets.get_vault("mistgpu").get(lease.password_ref)
        assert kept is not None
        assert kept.reveal() == access.password
    vault = json.loads((sandbox.home / "state" / "vault" / "vault.json").read_text())
    assert vault["kdf"]["kind"] == "argon2id"


async def test_a_wrong_password_leaves_nothing_behind(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    result = await sandbox.run_command(
        "adopt", access.ssh_command, "-p", "mistgpu", "--stdin", "password", input_text="wrong\n"
    )
    assert result.code == 4
    assert (await sandbox.run_command("ls", "--all", "--json")).data == []
    assert (
        "No such option"
        in (await sandbox.run_command("adopt", access.ssh_command, "-p", "mistgpu", "--password", "x")).err
    )


@pytest.mark.nightly
async def test_a_key_file_lets_in_without_a_password(sandbox: TripSandbox, tmp_path: Path) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    key = asyncssh.generate_private_key("ssh-ed25519")
    endpoint = Endpoint.parse(access.ssh_command)
    (machine,) = sandbox.cloud.driver.list_machines()
    trusted: tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
    trusted = ([asyncssh.import_public_key(machine.host_key)], [], [])
    async with asyncssh.connect(
        endpoint.address, endpoint.port, username="mist", password=access.password, known_hosts=trusted
    ) as connection:
        public = key.export_public_key().decode().strip()
        await connection.run(f"mkdir -p .ssh && echo '{public}' >> .ssh/authorized_keys", check=True)
    file = tmp_path / "id"
    file.touch(0o600)
    file.write_bytes(key.export_private_key("openssh", "open sesame"))
    common = ("adopt", access.ssh_command, "-p", "mistgpu", "--key", str(file), "--json")
    assert (await sandbox.run_command(*common, "--stdin", "passphrase", input_text="wrong\n")).code == 2
    result = await sandbox.run_command(*common, "--stdin", "passphrase", input_text="open sesame\n")
    assert result.code == 0, result.err
    assert result.data["password_ref"] == ""
    assert (await sandbox.run_command("exec", result.data["id"], "id -un >/dev/null; echo in")).out == "in\n"
    file.write_text("PuTTY-User-Key-File-2: ssh-rsa\n")
    assert (
        "puttygen" in (await sandbox.run_command(*common)).err
        or "puttygen" in (await sandbox.run_command(*common)).out
    )


async def test_manual_lease_costs_until_the_user_reports_its_end(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "6CNY/h", provider="ssh")
    result = await sandbox.run_command("--json", "release", lease)
    error = json.loads(result.out)["error"]
    assert (result.code, error["code"], error["burning"]) == (11, "input-required", [lease])
    assert "--confirmed" in error["hint"]
    listed = await sandbox.run_command("ls")
    assert "releasing" in listed.out
    assert f"gpurent release {lease} --confirmed" in listed.out
    before = (await sandbox.run_command("receipts", lease, "--json")).data[0]["totals"][0]["spent"]["minor"]
    await sandbox.cloud.advance(timedelta(hours=1))
    after = (await sandbox.run_command("receipts", lease, "--json")).data[0]["totals"][0]["spent"]["minor"]
    assert 600 <= after - before <= 900
    early = await sandbox.run_command("release", lease, "--confirmed", "--json")
    assert early.code == 0, early.err
    assert "still answers" in early.err
    assert (await sandbox.run_command("ls", "--json")).data == []
    assert all(row["outcome"] for row in (await sandbox.run_command("trips", "--json")).data)


async def test_a_machine_without_a_price_is_left_as_it_is(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, provider="ssh")
    result = await sandbox.run_command("release", lease, "--json")
    assert result.code == 0, result.err
    assert result.data["receipt"]["charges"] == []
    assert len(sandbox.cloud.driver.list_machines()) == 1


@pytest.mark.nightly
async def test_failing_stop_script_refers_the_user_to_the_page(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "3.5CNY/h")
    assert (
        await sandbox.run_command("exec", lease, "rm -f ~/shutdown.sh; echo 'exit 3' > ~/shutdown.sh")
    ).code == 0
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        with pytest.raises(InputRequired):
            await application.releases.release_lease(lease)
        instructions = " ".join(event.text for event in user.events if event.kind is EventKind.MANUAL_TASK)
        assert "/user/" in instructions
        assert "关机" in instructions
        user.answers["Type yes once"] = "yes"
        with pytest.raises(InputRequired) as still:
            await application.releases.release_lease(lease)
        assert "still answers" in still.value.message
        await sandbox.cloud.get_manual_rental("mistgpu").stop_manually(access.ref)
        receipt = await application.releases.release_lease(lease)
    assert receipt.declared
    assert list(sandbox.cloud.burning()) == []


async def test_its_declared_end_comes(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "6CNY/h", "--until", "2h")
    async with sandbox.open_application() as application:
        left = (await application.leases.try_refresh_lease(lease)).expires_at
        assert left is not None
        await sandbox.cloud.advance(timedelta(hours=3))
        late = await application.leases.try_refresh_lease(lease)
        assert late.state is LeaseState.READY
        assert "still answers" in late.note
        await sandbox.cloud.get_manual_rental("mistgpu").stop_manually(access.ref)
        gone = await application.leases.try_refresh_lease(lease)
        assert (gone.state, gone.ended_at) == (LeaseState.KEPT, left)
        receipt = await application.receipts.get_current_receipt(lease)
        assert [total.spent.amount for total in receipt.totals()] == [1200]
        await sandbox.cloud.advance(timedelta(days=16))
        assert (await application.leases.try_refresh_lease(lease)).state is LeaseState.GONE


async def test_a_balance_that_was_declared_anew_moves_the_end(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "6CNY/h", "--balance", "6CNY")
    first = (await sandbox.run_command("show", lease, "--json")).data["time_left"]["left"]
    assert 3000 < first <= 3600
    result = await sandbox.run_command("declare", lease, "--balance", "¥12", "--json")
    assert result.code == 0, result.err
    assert 6000 < result.data["time_left"]["left"] <= 7260
    assert (await sandbox.run_command("declare", lease, "--balance", "12DBC")).code == 5
    assert (await sandbox.run_command("declare", lease)).code == 2


@pytest.mark.nightly
async def test_a_failed_job_on_a_manual_machine_keeps_it(sandbox: TripSandbox, tmp_path: Path) -> None:
    access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, access, "--price", "3.5CNY/h")
    result = await sandbox.run_command(
        "run", "--lease", lease, "--json", "--", "nothing.py", folder=make_project(tmp_path)
    )
    assert result.code == 7
    assert json.loads(result.out)["error"]["burning"] == [lease]
    assert (await sandbox.run_command("show", lease, "--json")).data["state"] == "ready"


async def test_run_shows_the_page_and_continues_with_the_pasted_ssh_command(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = make_project(tmp_path)
    user = ScriptedUser(is_interactive=True)
    spec = TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",), dir=str(folder)),
        provider="mistgpu",
    )
    async with sandbox.open_application(user) as application:
        with pytest.raises(InputRequired):
            await application.trips.run(spec)
        user.answers |= {"cost": "3.5CNY/h", "费用": "3.5CNY/h"}
        set_language("zh")
        try:
            with pytest.raises(InputRequired):
                await application.trips.resume()
        finally:
            set_language("en")
        steps = [event.text for event in user.events if event.kind is EventKind.MANUAL_TASK]
        assert any("/create_simple/" in text for text in steps)
        assert any("选择 GPU" in text for text in steps), steps
        access = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
        user.answers |= {"SSH command": access.ssh_command, "Password": access.password}
        end = await application.trips.resume()
        assert end.exit_code == 0
        assert end.receipt is not None
        assert end.receipt.declared
    assert (folder / "out.txt").read_text() == "done"
    assert list(sandbox.cloud.burning()) == []


@pytest.mark.nightly
async def test_ssh_command_and_code_come_by_mail(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    user = ScriptedUser(is_interactive=True)
    simulator = sandbox.cloud.get_manual_rental("1024gpu")
    accesses: list[ManualAccess] = []

    def watch(event: Event) -> None:
        if event.kind is EventKind.MANUAL_TASK and "/home" in event.text and not tasks:
            tasks.append(asyncio.ensure_future(rent()))
        if "code will be shown" in event.text:
            tasks.append(asyncio.ensure_future(simulator.stop_manually(accesses[-1].ref)))

    async def rent() -> None:
        # Someone else's mail of the same form arrives first.
        await sandbox.cloud.mail.deliver(
            to="student@sandbox.example",
            sender="service@1024lab.example.evil",
            subject="[1024lab] 容器登录方式 0123456789",
            text="ssh -p 22 root@203.0.113.66，密码：hunter222",
            at=sandbox.cloud.clock.now(),
        )
        accesses.append(await simulator.rent_manually())

    tasks: list[asyncio.Future[None]] = []
    user.watchers.append(watch)
    user.answers["Type yes once"] = "yes"
    spec = TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",), dir=str(folder)),
        provider="1024gpu",
        terms=DeclaredTerms(tariff=Metered(price=parse_price("1.5CNY/h")), at=sandbox.cloud.clock.now()),
    )
    async with sandbox.open_application(user) as application:
        try:
            end = await application.trips.run(spec)
        finally:
            await asyncio.gather(*tasks)
        lease = await application.leases.get_lease(end.lease_id)
    assert end.exit_code == 0
    assert (folder / "out.txt").read_text() == "done"
    assert lease.ref == accesses[-1].ref
    assert lease.state is LeaseState.RELEASED
    assert any("The code is " in event.text for event in user.events)


@pytest.mark.parametrize("browser", ["yes", "no"])
async def test_only_the_providers_own_https_page_is_opened(tmp_path: Path, browser: str) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        seen = tmp_path / "seen"
        script = tmp_path / "browser"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {seen}\n')
        script.chmod(0o755)
        sandbox.extra_environment = {
            "GPURENT_MISTGPU_URL": "https://mistgpu.com",
            "GPURENT_MISTGPU_MODE": "manual",
            "BROWSER": str(script),
        }
        more = ("--no-browser",) if browser == "no" else ()
        result = await sandbox.run_command(
            "run",
            "-p",
            "mistgpu",
            "--price",
            "3.5CNY/h",
            *more,
            "--",
            "train.py",
            folder=make_project(tmp_path),
        )
        assert result.code == 11
        assert "https://mistgpu.com/create_simple/" in result.err
        assert "gpurent resume" in result.err
        assert (seen.read_text() if seen.exists() else "") == (
            "https://mistgpu.com/create_simple/\n" if browser == "yes" else ""
        )
        (trip,) = (await sandbox.run_command("trips", "--json")).data
        assert trip["outcome"] == ""
        sandbox.extra_environment["GPURENT_MISTGPU_URL"] = "https://mistgpu.com.evil.example"
        seen.unlink(missing_ok=True)
        assert (await sandbox.run_command("resume", trip["id"])).code == 11
        assert not seen.exists()


async def test_probe_again_and_correct_the_profile(sandbox: TripSandbox) -> None:
    access = await sandbox.cloud.get_manual_rental("1024gpu").rent_manually()
    lease = await adopt_machine(sandbox, access, provider="1024gpu")
    async with sandbox.open_application() as application:
        profile = application.plugins.profile_of(await application.leases.get_lease(lease))
        assert (profile.python, profile.data_dir) == ("python3", "")
        assert profile.install_prefix.endswith("apt-get install -y")
    assert (await sandbox.run_command("exec", lease, "mkdir -p data")).code == 0
    result = await sandbox.run_command("show", lease, "--probe")
    assert result.code == 0, result.err
    assert "python2 2." in result.out
    assert "download your results" in result.out


@pytest.mark.nightly
async def test_ctrl_c_at_a_question_leaves_and_says_how_to_come_back(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    process = await sandbox.start_command(
        *("run", "-p", "ssh", "--price", "0", "--", "train.py"),
        folder=make_project(tmp_path),
        stdin=slave,
        stdout=asyncio.subprocess.DEVNULL,
    )
    os.close(slave)
    output = b""
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"SSH command shown on the page" not in output:
                output += await process.stderr.read(4096)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output += await process.stderr.read()
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
        os.close(master)
    assert b"gpurent resume" in output
    assert b"may still cost money" not in output, "nothing was adopted yet"
