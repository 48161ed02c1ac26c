"""Machines that the user rents manually: adopted by their SSH command, used, ended, accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from gpurent.composition.application import Application
from gpurent.domain.access import Endpoint
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
    sandbox: TripSandbox, site: ManualAccess, *more: str, provider: str = "mistgpu"
) -> str:
    said = await sandbox.run_command(
        "adopt",
        site.ssh_command,
        "-p",
        provider,
        "--stdin",
        "password",
        "--json",
        *more,
        input_text=f"{site.password}\n",
    )
    assert said.code == 0, said.err
    return str(said.data["id"])


def make_handed(
    application: Application, site: ManualAccess, provider: str, price: str, fingerprint: str = ""
) -> AdoptionRequest:
    terms = DeclaredTerms(tariff=Metered(price=parse_price(price)), at=application.clock.now())
    access = MachineAccess(endpoint=Endpoint.parse(site.ssh_command), password=Secret(site.password))
    return AdoptionRequest(provider=provider, access=access, terms=terms, fingerprint=fingerprint)


async def test_a_whole_trip_by_the_ssh_line_alone(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "3.5CNY/h", "--balance", "40CNY")
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
    said = await running
    assert said.code == 0, said.err + said.out
    assert cut, "no line was ever cut"
    assert (folder / "out.txt").read_text() == "done"
    assert said.err.count("step 7") == 1, "each line once, whatever was cut"
    assert list(sandbox.cloud.burning()) == []
    (spent,) = said.data["totals"]
    theirs = -sum(line.amount.amount for line in sandbox.cloud.ledgers()["mistgpu"] if line.kind == "usage")
    # The provider counts from its own first minute, a little before the machine was adopted.
    assert 0 < spent["spent"]["minor"] <= theirs + 12
    assert said.data["receipt"]["declared"] == "3.5 CNY/h"
    found = (await sandbox.run_command("show", lease, "--json")).data
    assert (found["state"], found["endpoint"]) == ("kept", None)
    assert "declared price, 3.5 CNY/h" in (await sandbox.run_command("receipts", lease)).out


async def test_the_fingerprint_must_match_before_anything_secret_is_sent(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    (machine,) = sandbox.cloud.driver.list_machines()
    right = asyncssh.import_public_key(machine.host_key).get_fingerprint()
    wrong = "SHA256:" + "A" * 43
    async with sandbox.open_application() as application:
        manual = application.manual_commands
        with pytest.raises(HostKeyChanged) as caught:
            await manual.adopt_machine(make_handed(application, site, "mistgpu", "1CNY/h", fingerprint=wrong))
        assert right in caught.value.message
        assert application.store.list_leases() == []
        assert list((application.home / "ssh").iterdir()) == []
        lease = await manual.adopt_machine(
            make_handed(application, site, "mistgpu", "1CNY/h", fingerprint=right)
        )
        assert lease.state is LeaseState.READY
        with pytest.raises(UsageError) as again:
            await manual.adopt_machine(make_handed(application, site, "ssh", "0"))
        assert lease.id in again.value.message
    assert site.password not in str(await sandbox.run_command("ls", "--json"))
    for file in sandbox.home.rglob("*"):
        assert not file.is_file() or site.password.encode() not in file.read_bytes(), file


async def test_the_first_password_is_kept_under_the_passphrase_that_was_asked_for(
    sandbox: TripSandbox,
) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    person = ScriptedUser(answers={"passphrase for the vault": "open sesame"})
    async with sandbox.open_application(person) as application:
        lease = await application.manual_commands.adopt_machine(
            make_handed(application, site, "mistgpu", "1CNY/h")
        )
        kept = application.secrets.get_vault("mistgpu").get(lease.password_ref)
        assert kept is not None
        assert kept.reveal() == site.password
    vault = json.loads((sandbox.home / "state" / "vault" / "vault.json").read_text())
    assert vault["kdf"]["kind"] == "argon2id"


async def test_a_wrong_password_leaves_nothing_behind(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    said = await sandbox.run_command(
        "adopt", site.ssh_command, "-p", "mistgpu", "--stdin", "password", input_text="wrong\n"
    )
    assert said.code == 4
    assert (await sandbox.run_command("ls", "--all", "--json")).data == []
    assert (
        "No such option"
        in (await sandbox.run_command("adopt", site.ssh_command, "-p", "mistgpu", "--password", "x")).err
    )


async def test_a_key_file_lets_in_without_a_password(sandbox: TripSandbox, tmp_path: Path) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    key = asyncssh.generate_private_key("ssh-ed25519")
    endpoint = Endpoint.parse(site.ssh_command)
    (machine,) = sandbox.cloud.driver.list_machines()
    trusted: tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]
    trusted = ([asyncssh.import_public_key(machine.host_key)], [], [])
    async with asyncssh.connect(
        endpoint.address, endpoint.port, username="mist", password=site.password, known_hosts=trusted
    ) as line:
        public = key.export_public_key().decode().strip()
        await line.run(f"mkdir -p .ssh && echo '{public}' >> .ssh/authorized_keys", check=True)
    file = tmp_path / "id"
    file.write_bytes(key.export_private_key("openssh", "open sesame"))
    common = ("adopt", site.ssh_command, "-p", "mistgpu", "--key", str(file), "--json")
    assert (await sandbox.run_command(*common, "--stdin", "passphrase", input_text="wrong\n")).code == 2
    said = await sandbox.run_command(*common, "--stdin", "passphrase", input_text="open sesame\n")
    assert said.code == 0, said.err
    assert said.data["password_ref"] == ""
    assert (await sandbox.run_command("exec", said.data["id"], "id -un >/dev/null; echo in")).out == "in\n"
    file.write_text("PuTTY-User-Key-File-2: ssh-rsa\n")
    assert (
        "puttygen" in (await sandbox.run_command(*common)).err
        or "puttygen" in (await sandbox.run_command(*common)).out
    )


async def test_what_only_the_user_can_end_burns_until_the_user_says_so(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "6CNY/h", provider="ssh")
    said = await sandbox.run_command("--json", "release", lease)
    error = json.loads(said.out)["error"]
    assert (said.code, error["code"], error["burning"]) == (11, "input-required", [lease])
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
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, provider="ssh")
    said = await sandbox.run_command("release", lease, "--json")
    assert said.code == 0, said.err
    assert said.data["receipt"]["charges"] == []
    assert len(sandbox.cloud.driver.list_machines()) == 1


async def test_a_stop_script_that_fails_sends_the_user_to_the_page(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "3.5CNY/h")
    assert (
        await sandbox.run_command("exec", lease, "rm -f ~/shutdown.sh; echo 'exit 3' > ~/shutdown.sh")
    ).code == 0
    person = ScriptedUser()
    async with sandbox.open_application(person) as application:
        with pytest.raises(InputRequired):
            await application.releases.release_lease(lease)
        told = " ".join(event.text for event in person.events if event.kind is EventKind.MANUAL_TASK)
        assert "/user/" in told
        assert "关机" in told
        person.answers["Type yes once"] = "yes"
        with pytest.raises(InputRequired) as still:
            await application.releases.release_lease(lease)
        assert "still answers" in still.value.message
        await sandbox.cloud.get_manual_rental("mistgpu").stop_manually(site.ref)
        receipt = await application.releases.release_lease(lease)
    assert receipt.declared
    assert list(sandbox.cloud.burning()) == []


async def test_its_declared_end_comes(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "6CNY/h", "--until", "2h")
    async with sandbox.open_application() as application:
        left = (await application.leases.try_refresh_lease(lease)).expires_at
        assert left is not None
        await sandbox.cloud.advance(timedelta(hours=3))
        late = await application.leases.try_refresh_lease(lease)
        assert late.state is LeaseState.READY
        assert "still answers" in late.note
        await sandbox.cloud.get_manual_rental("mistgpu").stop_manually(site.ref)
        gone = await application.leases.try_refresh_lease(lease)
        assert (gone.state, gone.ended_at) == (LeaseState.KEPT, left)
        receipt = await application.receipts.get_current_receipt(lease)
        assert [total.spent.amount for total in receipt.totals()] == [1200]
        await sandbox.cloud.advance(timedelta(days=16))
        assert (await application.leases.try_refresh_lease(lease)).state is LeaseState.GONE


async def test_a_balance_that_was_declared_anew_moves_the_end(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "6CNY/h", "--balance", "6CNY")
    first = (await sandbox.run_command("show", lease, "--json")).data["time_left"]["left"]
    assert 3000 < first <= 3600
    said = await sandbox.run_command("declare", lease, "--balance", "¥12", "--json")
    assert said.code == 0, said.err
    assert 6000 < said.data["time_left"]["left"] <= 7260
    assert (await sandbox.run_command("declare", lease, "--balance", "12DBC")).code == 5
    assert (await sandbox.run_command("declare", lease)).code == 2


async def test_a_failed_job_on_a_manual_machine_keeps_it(sandbox: TripSandbox, tmp_path: Path) -> None:
    site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
    lease = await adopt_machine(sandbox, site, "--price", "3.5CNY/h")
    said = await sandbox.run_command(
        "run", "--lease", lease, "--json", "--", "nothing.py", folder=make_project(tmp_path)
    )
    assert said.code == 7
    assert json.loads(said.out)["error"]["burning"] == [lease]
    assert (await sandbox.run_command("show", lease, "--json")).data["state"] == "ready"


async def test_run_sends_to_the_page_and_goes_on_when_the_line_is_pasted(
    sandbox: TripSandbox, tmp_path: Path
) -> None:
    folder = make_project(tmp_path)
    person = ScriptedUser(is_interactive=True)
    want = TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",), dir=str(folder)),
        provider="mistgpu",
    )
    async with sandbox.open_application(person) as application:
        with pytest.raises(InputRequired):
            await application.trips.run(want)
        person.answers |= {"cost": "3.5CNY/h", "价格": "3.5CNY/h"}
        set_language("zh")
        try:
            with pytest.raises(InputRequired):
                await application.trips.resume()
        finally:
            set_language("en")
        steps = [event.text for event in person.events if event.kind is EventKind.MANUAL_TASK]
        assert any("/create_simple/" in text for text in steps)
        assert any("选择 GPU" in text for text in steps), steps
        site = await sandbox.cloud.get_manual_rental("mistgpu").rent_manually()
        person.answers |= {"SSH command": site.ssh_command, "Password": site.password}
        end = await application.trips.resume()
        assert end.exit_code == 0
        assert end.receipt is not None
        assert end.receipt.declared
    assert (folder / "out.txt").read_text() == "done"
    assert list(sandbox.cloud.burning()) == []


async def test_the_line_and_the_code_come_by_mail(sandbox: TripSandbox, tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    person = ScriptedUser(is_interactive=True)
    portal = sandbox.cloud.get_manual_rental("1024gpu")
    sites: list[ManualAccess] = []

    def watch(event: Event) -> None:
        if event.kind is EventKind.MANUAL_TASK and "/home" in event.text and not tasks:
            tasks.append(asyncio.ensure_future(rent()))
        if "code will be shown" in event.text:
            tasks.append(asyncio.ensure_future(portal.stop_manually(sites[-1].ref)))

    async def rent() -> None:
        # Someone else's mail of the same form arrives first.
        await sandbox.cloud.mail.deliver(
            to="student@sandbox.example",
            sender="service@1024lab.example.evil",
            subject="[1024lab] 容器登录方式 0123456789",
            text="ssh -p 22 root@203.0.113.66，密码：hunter222",
            at=sandbox.cloud.clock.now(),
        )
        sites.append(await portal.rent_manually())

    tasks: list[asyncio.Future[None]] = []
    person.watchers.append(watch)
    person.answers["Type yes once"] = "yes"
    want = TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",)),
        results=ResultsSpec(paths=("out.txt",), dir=str(folder)),
        provider="1024gpu",
        terms=DeclaredTerms(tariff=Metered(price=parse_price("1.5CNY/h")), at=sandbox.cloud.clock.now()),
    )
    async with sandbox.open_application(person) as application:
        try:
            end = await application.trips.run(want)
        finally:
            await asyncio.gather(*tasks)
        lease = application.leases.get_lease(end.lease_id)
    assert end.exit_code == 0
    assert (folder / "out.txt").read_text() == "done"
    assert lease.ref == sites[-1].ref
    assert lease.state is LeaseState.RELEASED
    assert any("The code is " in event.text for event in person.events)


@pytest.mark.parametrize("browser", ["yes", "no"])
async def test_only_the_providers_own_https_page_is_opened(tmp_path: Path, browser: str) -> None:
    async with trip_sandbox(tmp_path, speed=60) as land:
        seen = tmp_path / "seen"
        script = tmp_path / "browser"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {seen}\n')
        script.chmod(0o755)
        land.extra_environment = {
            "GPURENT_MISTGPU_URL": "https://mistgpu.com",
            "GPURENT_MISTGPU_MODE": "manual",
            "BROWSER": str(script),
        }
        more = ("--no-browser",) if browser == "no" else ()
        said = await land.run_command(
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
        assert said.code == 11
        assert "https://mistgpu.com/create_simple/" in said.err
        assert "gpurent resume" in said.err
        assert (seen.read_text() if seen.exists() else "") == (
            "https://mistgpu.com/create_simple/\n" if browser == "yes" else ""
        )
        (trip,) = (await land.run_command("trips", "--json")).data
        assert trip["outcome"] == ""
        land.extra_environment["GPURENT_MISTGPU_URL"] = "https://mistgpu.com.evil.example"
        seen.unlink(missing_ok=True)
        assert (await land.run_command("resume", trip["id"])).code == 11
        assert not seen.exists()


async def test_probe_again_and_correct_the_profile(sandbox: TripSandbox) -> None:
    site = await sandbox.cloud.get_manual_rental("1024gpu").rent_manually()
    lease = await adopt_machine(sandbox, site, provider="1024gpu")
    async with sandbox.open_application() as application:
        profile = application.plugins.profile_of(application.leases.get_lease(lease))
        assert (profile.python, profile.data_dir) == ("python3", "")
        assert profile.install_prefix.endswith("apt-get install -y")
    assert (await sandbox.run_command("exec", lease, "mkdir -p data")).code == 0
    shown = await sandbox.run_command("show", lease, "--probe")
    assert shown.code == 0, shown.err
    assert "python2 2." in shown.out
    assert "download your results" in shown.out


async def test_ctrl_c_at_a_question_leaves_and_says_how_to_come_back(sandbox: TripSandbox) -> None:
    sandbox.home.mkdir(mode=0o700)
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gpurent.cli.main", "run", "-p", "ssh", "--price", "0", "--", "train.py"),
        cwd=sandbox.home,
        env={**sandbox.environment(), "LANG": "C.UTF-8"},
        stdin=slave,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(slave)
    said = b""
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"SSH command shown on the page" not in said:
                said += await process.stderr.read(4096)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGINT)
            said += await process.stderr.read()
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
        os.close(master)
    assert b"gpurent resume" in said
    assert b"may still cost money" not in said, "nothing was adopted yet"
