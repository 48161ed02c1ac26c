"""gpurent's folders on a machine are its user's alone: other users there change nothing in them and read nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gpurent.domain.job import Job
from gpurent.domain.machine_folders import find_own_folders
from gpurent.domain.transfer import PushRequest
from gpurent.errors import GpurentError, RemoteError
from gpurent.remote import jobs, timer_script
from gpurent.remote.own_folders import FOREIGN_STATUS, make_own_folders_script
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent.workflow.connection.own_folders import check_own_folders
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.transfer_ways import BACKENDS

TRIP = "gpurent/t1129-abcde"
OPEN = 0o777


@pytest.fixture
async def any_machine(tmp_path: Path) -> AsyncIterator[MachineFixture]:
    async with machine_fixture(tmp_path / "machine") as found:
        yield found


def read_mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def push(machine: MachineFixture, way: str, folder: Path, target: str) -> None:
    (folder / "sub" / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "deep" / "train.py").write_text("print(1)")
    (folder / "large").write_bytes(os.urandom(2_000_000))
    request = PushRequest(sources=(folder,), target=target, contents_only=True)
    await BACKENDS[way]().push(await machine.connect(), request, CountingProgress())


@attack(
    Adversary.MACHINE_OWNER,
    "another user of the machine replaces the code in the trip's folder, or reads it",
    Outcome.REFUSED,
    kind="S4",
)
async def test_what_an_upload_makes_is_for_its_user_alone(
    machine: MachineFixture, way: str, tmp_path: Path
) -> None:
    await push(machine, way, tmp_path / "source", f"{TRIP}/below/it")
    await push(machine, way, tmp_path / "source", "else/where")
    made = (*find_own_folders(TRIP), f"{TRIP}/below", f"{TRIP}/below/it", "else", "else/where")
    assert {folder: oct(read_mode(machine.home / folder)) for folder in made} == dict.fromkeys(made, "0o700")
    file = machine.home / TRIP / "below" / "it" / "sub" / "deep" / "train.py"
    assert read_mode(file) == read_mode(tmp_path / "source" / "sub" / "deep" / "train.py")


@attack(
    Adversary.MACHINE_OWNER,
    "the folders are open to everybody there, as an older version left them",
    Outcome.REFUSED,
    kind="S4",
)
async def test_open_folders_are_mended(machine: MachineFixture, way: str, tmp_path: Path) -> None:
    for folder in find_own_folders(TRIP):
        (machine.home / folder).mkdir()
        (machine.home / folder).chmod(OPEN)
    await push(machine, way, tmp_path / "source", TRIP)
    assert [read_mode(machine.home / folder) for folder in find_own_folders(TRIP)] == [0o700, 0o700]


@attack(
    Adversary.MACHINE_OWNER,
    "a link, or a folder of another user of the machine, lies in the place of gpurent's folder",
    Outcome.REFUSED,
    kind="S4",
)
async def test_a_folder_that_is_not_ours_is_refused(
    machine: MachineFixture, way: str, tmp_path: Path
) -> None:
    (machine.home / "elsewhere").mkdir()
    (machine.home / "gpurent").symlink_to("elsewhere")
    with pytest.raises(GpurentError, match=r"gpurent on the machine is not used: it is a link"):
        await push(machine, way, tmp_path / "source", TRIP)
    (machine.home / "gpurent").unlink()
    (machine.home / TRIP).mkdir(parents=True, mode=0o700)
    if os.getuid() == 0:
        os.chown(machine.home / TRIP, 12345, -1)
        with pytest.raises(GpurentError, match=rf"{TRIP} on the machine is not used"):
            await push(machine, way, tmp_path / "source", TRIP)
        assert not list((machine.home / TRIP).iterdir())
    assert not list((machine.home / "elsewhere").iterdir())


@attack(
    Adversary.MACHINE_OWNER,
    "another user of the machine reads a job's output, its environment or a notebook's token",
    Outcome.REFUSED,
    kind="S4",
)
async def test_what_a_job_leaves_is_for_its_user_alone(any_machine: MachineFixture) -> None:
    home = any_machine.home
    for folder in (*find_own_folders(TRIP), *find_own_folders(".gpurent/jobs/train"), ".gpurent/timer"):
        (home / folder).mkdir(exist_ok=True)
        (home / folder).chmod(OPEN)
    job = Job(name="train", command="umask > mask; echo done", folder=TRIP, env={"JUPYTER_TOKEN": "secret"})
    connection = await any_machine.connect()
    ran = await connection.run(jobs.write_script_command(job), input=jobs.make_run_script(job))
    assert (ran.exit_status, ran.stderr) == (0, "")
    await connection.run("umask 022; cd .gpurent/jobs/train; sh run.sh </dev/null >/dev/null 2>&1")
    room = home / ".gpurent" / "jobs" / "train"
    assert (room / "exit").exists()
    assert (room / "log").read_text() == "done\n"
    assert (home / TRIP / "mask").read_text().strip() in ("022", "0022")
    own = [*find_own_folders(TRIP), *find_own_folders(".gpurent/jobs/train")]
    assert {folder: oct(read_mode(home / folder)) for folder in own} == dict.fromkeys(own, "0o700")
    assert {path.name for path in room.iterdir() if path.is_file() and read_mode(path) & 0o077} == set()
    setting = timer_script.TimerSettings(span=100_000, grace=100)
    ran = await connection.run(
        timer_script.arm_command(setting), input=timer_script.make_timer_program(setting)
    )
    assert timer_script.parse_timer(ran.stdout) is not None
    assert read_mode(home / ".gpurent" / "timer") == 0o700
    await connection.run(timer_script.disarm_command())


@attack(
    Adversary.MACHINE_OWNER,
    "a link lies in the place of ~/.gpurent when a job or the timer is to be started",
    Outcome.REFUSED,
    kind="S4",
)
async def test_no_job_starts_in_a_folder_that_is_not_ours(any_machine: MachineFixture) -> None:
    home, connection = any_machine.home, await any_machine.connect()
    (home / "elsewhere").mkdir()
    (home / ".gpurent").symlink_to("elsewhere")
    job = Job(name="train", command="true", folder=TRIP)
    setting = timer_script.TimerSettings(span=100_000, grace=100)
    for command, text in (
        (jobs.write_script_command(job), jobs.make_run_script(job)),
        (timer_script.arm_command(setting), timer_script.make_timer_program(setting)),
        (make_own_folders_script((".gpurent",)), ""),
    ):
        ran = await connection.run(command, input=text)
        assert ran.exit_status == FOREIGN_STATUS
        with pytest.raises(RemoteError, match=r"/\.gpurent on the machine is not used"):
            check_own_folders(ran)
    (home / ".gpurent").unlink()
    (home / "gpurent").symlink_to("elsewhere")
    ran = await connection.run(jobs.write_script_command(job), input=jobs.make_run_script(job))
    assert ran.exit_status == FOREIGN_STATUS
    assert not list((home / "elsewhere").iterdir())


def test_which_folders_are_our_own() -> None:
    assert find_own_folders("gpurent/t1/a/b") == ("gpurent", "gpurent/t1")
    assert find_own_folders("./gpurent") == ("gpurent",)
    assert find_own_folders(".gpurent/jobs/x") == (".gpurent", ".gpurent/jobs", ".gpurent/jobs/x")
    assert find_own_folders("data") == find_own_folders(".") == find_own_folders("/gpurent") == ()
