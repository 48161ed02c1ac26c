"""The timer's shell program, run by the system's own shell as any machine would."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from attrs import define, evolve

from gpurent.remote import timer_script as script
from gpurent.remote.timer_script import Reading, Setting

FAR = 100 * 3600


@define
class Machine:
    """A home of its own; ``shutdown`` and ``sudo`` in front of the real ones only leave a mark."""

    home: Path
    uptime: str = script.UPTIME

    @property
    def stopped(self) -> Path:
        return self.home / "stopped"

    @property
    def room(self) -> Path:
        return self.home / script.ROOM

    @property
    def setting(self) -> Setting:
        return Setting(
            span=FAR,
            grace=50,
            stop=f"echo stop > {self.stopped}",
            warning="it's over",
            moved="moved",
            look=10,
        )

    def program(self, name: str, text: str) -> None:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def sh(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        env = {"HOME": str(self.home), "PATH": f"{self.home}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", "-c", command],
            input=given,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def arm(self, setting: Setting, *, later: bool = False) -> Reading:
        return self._read(
            script.arm(setting, later=later, uptime=self.uptime), script.program(setting, self.uptime)
        )

    def disarm(self) -> Reading:
        return self._read(script.disarm(self.uptime))

    def state(self) -> Reading:
        return self._read(script.state(self.uptime))

    def _read(self, command: str, given: str = "") -> Reading:
        done = self.sh(command, given)
        found = script.parse("a banner\n" + done.stdout)
        assert found is not None, done
        return found

    def job(self, name: str, *, ended: bool = False) -> Path:
        room = self.home / ".gpurent" / "jobs" / name
        (room / "started").mkdir(parents=True)
        (room / "log").write_text("epoch 1\n")
        if ended:
            (room / "exit").write_text("0 1\n")
        return room

    def pid(self) -> int:
        return int((self.room / "pid").read_text().split()[0])

    def timers(self) -> list[int]:
        """Every process that runs the program in this machine's room."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.room) and "timer.sh" in process.cmdline():
                    found.append(process.pid)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path.resolve())
    made.program("shutdown", f'echo "shutdown $*" > {made.stopped}')
    made.program("sudo", 'shift; "$@"')
    yield made
    made.disarm()
    eventually(lambda: not made.timers())


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_warns_waits_and_stops_by_the_machines_own_script(machine: Machine) -> None:
    running, ended = machine.job("train"), machine.job("before", ended=True)
    began = time.monotonic()
    machine.arm(evolve(machine.setting, span=150))
    eventually((machine.room / "closing").exists)
    assert machine.state().closing
    assert machine.sh(script.gate()).returncode == script.CLOSING
    eventually(machine.stopped.exists)
    assert time.monotonic() - began >= 1.5
    assert machine.stopped.read_text() == "stop\n"
    assert (running / "log").read_text() == "epoch 1\n\nit's over\n"
    assert (ended / "log").read_text() == "epoch 1\n"


@pytest.mark.parametrize("stop", ["", "sh ~/nothing-there.sh"])
def test_without_a_stop_script_that_works_the_system_is_shut(machine: Machine, stop: str) -> None:
    # A failed stop is tried three times, some seconds apart, before the system's own way.
    machine.arm(evolve(machine.setting, span=0, stop=stop, patience=1))
    eventually(machine.stopped.exists, 40)
    assert machine.stopped.read_text() == "shutdown -h now\n"


def test_extend_moves_it_on_and_never_back(machine: Machine) -> None:
    log = machine.job("train") / "log"
    machine.arm(evolve(machine.setting, span=300, grace=290))
    eventually((machine.room / "closing").exists)
    moved = machine.arm(machine.setting, later=True)
    assert moved.left is not None
    assert moved.left > FAR - 1000
    eventually(lambda: not (machine.room / "closing").exists())
    eventually(lambda: log.read_text().endswith("\nmoved\n"))
    assert machine.sh(script.gate()).returncode == 0
    kept = machine.arm(evolve(machine.setting, span=300), later=True)
    assert kept.left is not None
    assert kept.left > FAR - 2000
    assert len(machine.timers()) == 1


def test_disarm_ends_it_and_leaves_no_process(machine: Machine) -> None:
    machine.arm(machine.setting)
    pid = machine.pid()
    assert machine.disarm() == Reading()
    eventually(lambda: not alive(pid))
    assert machine.state() == Reading()
    assert machine.disarm() == Reading(), "silent when there is none"


def test_a_recycled_pid_is_neither_trusted_nor_killed(machine: Machine) -> None:
    machine.arm(machine.setting)
    _pid, mark = (machine.room / "pid").read_text().split()
    machine.disarm()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            (machine.room / "pid").write_text(f"{stranger.pid} {mark}\n")
            (machine.room / "deadline").write_text("1 1 0\n")
            assert machine.state() == Reading()
            assert machine.disarm() == Reading()
            assert alive(stranger.pid)
            (machine.room / "pid").write_text(f"{stranger.pid} {mark}\n")
            assert machine.arm(machine.setting).left is not None, "a new one starts beside the stranger"
            assert machine.pid() != stranger.pid
            assert alive(stranger.pid)
        finally:
            stranger.kill()


@pytest.mark.parametrize("garbage", ["", "x y\n", "../../x 1\n", "-1 -1\n", "1\n", "999999999 1-1\n"])
def test_a_pid_file_of_rubbish_is_no_timer(machine: Machine, garbage: str) -> None:
    machine.room.mkdir(parents=True)
    (machine.room / "pid").write_text(garbage)
    (machine.room / "deadline").write_text("1 1 0\n")
    assert machine.state() == Reading()
    assert machine.disarm() == Reading()


def test_arms_at_the_same_moment_leave_one_timer(machine: Machine) -> None:
    setting = machine.setting
    env = {"HOME": str(machine.home), "PATH": f"{machine.home}/bin:{os.environ['PATH']}"}
    program = machine.home / "program"
    program.write_text(script.program(setting))
    command = f"{{ {script.arm(setting)}\n}} < {program}"
    many = [subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL, env=env) for _i in range(6)]
    for process in many:
        assert process.wait(60) == 0
    eventually(lambda: len(machine.timers()) == 1)
    assert machine.timers() == [machine.pid()]
    assert machine.state().left is not None


def test_a_second_timer_takes_over_and_the_first_leaves(machine: Machine) -> None:
    machine.arm(machine.setting)
    first = machine.pid()
    machine.sh(f"cd {machine.room} && setsid sh timer.sh > /dev/null 2>&1 < /dev/null &")
    eventually(lambda: machine.pid() != first)
    eventually(lambda: machine.timers() == [machine.pid()])


def jumping(machine: Machine) -> Path:
    """A ``date`` that shows what stands in a file."""
    shown = machine.home / "shown"
    shown.write_text("1600000000")
    machine.program("date", f"cat {shown}")
    return shown


@pytest.mark.skipif(not Path(script.UPTIME).exists(), reason="needs /proc/uptime")
@pytest.mark.parametrize("shown", ["1000000", "1900000000"])
def test_a_jump_of_the_machines_clock_is_harmless(machine: Machine, shown: str) -> None:
    clock = jumping(machine)
    machine.arm(evolve(machine.setting, span=6000, grace=1))
    clock.write_text(shown)
    time.sleep(0.5)
    left = machine.state().left
    assert left is not None
    assert 0 < left <= 6000
    assert not machine.stopped.exists()
    machine.arm(evolve(machine.setting, span=10))
    eventually(machine.stopped.exists)


def test_without_uptime_the_machines_clock_counts(machine: Machine) -> None:
    machine.uptime = "/nonexistent/uptime"
    clock = jumping(machine)
    machine.arm(evolve(machine.setting, span=360000))
    clock.write_text("1600001000")
    left = machine.state().left
    assert left == 360000 - 100000
    clock.write_text("1600003601")
    eventually(machine.stopped.exists)


def test_it_fires_early_only_when_every_job_has_ended(machine: Machine) -> None:
    first, second = machine.job("first"), machine.job("second", ended=True)
    machine.arm(evolve(machine.setting, after=30, grace=10))
    time.sleep(0.8)
    assert not machine.stopped.exists()
    (first / "exit").write_text("0 1\n")
    eventually(machine.stopped.exists)
    assert second.exists()


def test_an_idle_machine_without_any_job_waits_for_its_deadline(machine: Machine) -> None:
    machine.arm(evolve(machine.setting, after=10, grace=10))
    time.sleep(0.6)
    assert not machine.stopped.exists()


def test_it_needs_no_setsid(machine: Machine) -> None:
    folder = machine.home / "bin"
    for name in [
        "sh",
        "sed",
        "cat",
        "tr",
        "ps",
        "mv",
        "rm",
        "mkdir",
        "sleep",
        "printf",
        "date",
        "nohup",
        "id",
        "kill",
    ]:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    env = {"HOME": str(machine.home), "PATH": str(folder)}
    setting = machine.setting
    done = subprocess.run(
        ["/bin/sh", "-c", script.arm(setting)],
        input=script.program(setting), env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    reading = script.parse(done.stdout)
    assert reading is not None, done
    assert reading.left is not None, done
    pid = machine.pid()
    assert machine.disarm() == Reading()
    eventually(lambda: not alive(pid))


def test_nothing_of_ours_is_nothing() -> None:
    assert script.parse("") is None
    assert script.parse("gpurent-timer armed x waiting\n") is None
    assert script.parse("gpurent-timer off") == Reading()
    assert script.parse("gpurent-timer armed -5 closing\n") == Reading(left=-5, closing=True)
