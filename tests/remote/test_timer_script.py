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
from gpurent.remote.timer_script import TimerReading, TimerSettings

FAR_DEADLINE = 100 * 3600


@define
class ShellMachine:
    """A machine with a home of its own; its ``shutdown`` and ``sudo`` come first in PATH and only leave a mark."""

    home: Path
    uptime: str = script.UPTIME

    @property
    def stop_mark(self) -> Path:
        return self.home / "stopped"

    @property
    def timer_folder(self) -> Path:
        return self.home / script.TIMER_DIR

    @property
    def make_setting(self) -> TimerSettings:
        return TimerSettings(
            span=FAR_DEADLINE,
            grace=50,
            stop_script=f"echo stop > {self.stop_mark}",
            closing_notice="it's over",
            moved_notice="moved",
            check_interval=10,
        )

    def write_program(self, name: str, text: str) -> None:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_shell(self, command: str, input_text: str = "") -> subprocess.CompletedProcess[str]:
        env = {"HOME": str(self.home), "PATH": f"{self.home}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", "-c", command],
            input=input_text,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def arm_timer(self, setting: TimerSettings, *, later: bool = False) -> TimerReading:
        return self._run_and_parse(
            script.arm_command(setting, later=later, uptime=self.uptime),
            script.make_timer_program(setting, self.uptime),
        )

    def disarm_timer(self) -> TimerReading:
        return self._run_and_parse(script.disarm_command(self.uptime))

    def read_state(self) -> TimerReading:
        return self._run_and_parse(script.state_command(self.uptime))

    def _run_and_parse(self, command: str, input_text: str = "") -> TimerReading:
        done = self.run_shell(command, input_text)
        found = script.parse_timer("a banner\n" + done.stdout)
        assert found is not None, done
        return found

    def write_job(self, name: str, *, ended: bool = False) -> Path:
        folder = self.home / ".gpurent" / "jobs" / name
        (folder / "started").mkdir(parents=True)
        (folder / "log").write_text("epoch 1\n")
        if ended:
            (folder / "exit").write_text("0 1\n")
        return folder

    def read_pid(self) -> int:
        return int((self.timer_folder / "pid").read_text().split()[0])

    def list_timers(self) -> list[int]:
        """Return every process that runs the program in this machine's folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.timer_folder) and "timer.sh" in process.cmdline():
                    found.append(process.pid)
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ShellMachine]:
    made = ShellMachine(tmp_path.resolve())
    made.write_program("shutdown", f'echo "shutdown $*" > {made.stop_mark}')
    made.write_program("sudo", 'shift; "$@"')
    yield made
    made.disarm_timer()
    wait_until_true(lambda: not made.list_timers())


def wait_until_true(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_warns_waits_and_stops_by_the_machines_own_script(machine: ShellMachine) -> None:
    running, ended = machine.write_job("train"), machine.write_job("before", ended=True)
    started = time.monotonic()
    machine.arm_timer(evolve(machine.make_setting, span=150))
    wait_until_true((machine.timer_folder / "closing").exists)
    assert machine.read_state().closing
    assert machine.run_shell(script.closing_gate()).returncode == script.CLOSING_STATUS
    wait_until_true(machine.stop_mark.exists)
    assert time.monotonic() - started >= 1.5
    assert machine.stop_mark.read_text() == "stop\n"
    assert (running / "log").read_text() == "epoch 1\n\nit's over\n"
    assert (ended / "log").read_text() == "epoch 1\n"


@pytest.mark.parametrize("stop", ["", "sh ~/nothing-there.sh"])
def test_without_a_stop_script_that_works_the_system_is_shut(machine: ShellMachine, stop: str) -> None:
    # A failed stop is retried three times, some seconds apart, before the system's own shutdown is used.
    machine.arm_timer(evolve(machine.make_setting, span=0, stop_script=stop, retry_seconds=1))
    wait_until_true(machine.stop_mark.exists, 40)
    assert machine.stop_mark.read_text() == "shutdown -h now\n"


def test_extend_moves_the_deadline_only_later(machine: ShellMachine) -> None:
    log = machine.write_job("train") / "log"
    machine.arm_timer(evolve(machine.make_setting, span=300, grace=290))
    wait_until_true((machine.timer_folder / "closing").exists)
    moved = machine.arm_timer(machine.make_setting, later=True)
    assert moved.ticks_left is not None
    assert moved.ticks_left > FAR_DEADLINE - 1000
    wait_until_true(lambda: not (machine.timer_folder / "closing").exists())
    wait_until_true(lambda: log.read_text().endswith("\nmoved\n"))
    assert machine.run_shell(script.closing_gate()).returncode == 0
    kept = machine.arm_timer(evolve(machine.make_setting, span=300), later=True)
    assert kept.ticks_left is not None
    assert kept.ticks_left > FAR_DEADLINE - 2000
    assert len(machine.list_timers()) == 1


def test_disarm_ends_it_and_leaves_no_process(machine: ShellMachine) -> None:
    machine.arm_timer(machine.make_setting)
    pid = machine.read_pid()
    assert machine.disarm_timer() == TimerReading()
    wait_until_true(lambda: not is_alive(pid))
    assert machine.read_state() == TimerReading()
    assert machine.disarm_timer() == TimerReading(), "silent when there is none"


def test_a_recycled_pid_is_neither_trusted_nor_killed(machine: ShellMachine) -> None:
    machine.arm_timer(machine.make_setting)
    _pid, mark = (machine.timer_folder / "pid").read_text().split()
    machine.disarm_timer()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            (machine.timer_folder / "pid").write_text(f"{stranger.pid} {mark}\n")
            (machine.timer_folder / "deadline").write_text("1 1 0\n")
            assert machine.read_state() == TimerReading()
            assert machine.disarm_timer() == TimerReading()
            assert is_alive(stranger.pid)
            (machine.timer_folder / "pid").write_text(f"{stranger.pid} {mark}\n")
            assert machine.arm_timer(machine.make_setting).ticks_left is not None, (
                "a new one starts beside the stranger"
            )
            assert machine.read_pid() != stranger.pid
            assert is_alive(stranger.pid)
        finally:
            stranger.kill()


@pytest.mark.parametrize("garbage", ["", "x y\n", "../../x 1\n", "-1 -1\n", "1\n", "999999999 1-1\n"])
def test_invalid_pid_file_is_no_timer(machine: ShellMachine, garbage: str) -> None:
    machine.timer_folder.mkdir(parents=True)
    (machine.timer_folder / "pid").write_text(garbage)
    (machine.timer_folder / "deadline").write_text("1 1 0\n")
    assert machine.read_state() == TimerReading()
    assert machine.disarm_timer() == TimerReading()


def test_concurrent_arms_leave_one_timer(machine: ShellMachine) -> None:
    setting = machine.make_setting
    env = {"HOME": str(machine.home), "PATH": f"{machine.home}/bin:{os.environ['PATH']}"}
    program = machine.home / "program"
    program.write_text(script.make_timer_program(setting))
    command = f"{{ {script.arm_command(setting)}\n}} < {program}"
    many = [subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL, env=env) for _i in range(6)]
    for process in many:
        assert process.wait(60) == 0
    # A timer that forks is listed twice for a moment.
    wait_until_true(lambda: machine.list_timers() == [machine.read_pid()])
    assert machine.read_state().ticks_left is not None


def test_a_second_timer_takes_over_and_the_first_leaves(machine: ShellMachine) -> None:
    machine.arm_timer(machine.make_setting)
    first = machine.read_pid()
    machine.run_shell(f"cd {machine.timer_folder} && setsid sh timer.sh > /dev/null 2>&1 < /dev/null &")
    wait_until_true(lambda: machine.read_pid() != first)
    wait_until_true(lambda: machine.list_timers() == [machine.read_pid()])


def install_fake_date(machine: ShellMachine) -> Path:
    """Install a ``date`` that prints the content of a file; return the file."""
    shown = machine.home / "shown"
    shown.write_text("1600000000")
    machine.write_program("date", f"cat {shown}")
    return shown


@pytest.mark.skipif(not Path(script.UPTIME).exists(), reason="needs /proc/uptime")
@pytest.mark.parametrize("shown", ["1000000", "1900000000"])
def test_a_jump_of_the_machines_clock_is_harmless(machine: ShellMachine, shown: str) -> None:
    clock = install_fake_date(machine)
    machine.arm_timer(evolve(machine.make_setting, span=6000, grace=1))
    clock.write_text(shown)
    time.sleep(0.5)
    left = machine.read_state().ticks_left
    assert left is not None
    assert 0 < left <= 6000
    assert not machine.stop_mark.exists()
    machine.arm_timer(evolve(machine.make_setting, span=10))
    wait_until_true(machine.stop_mark.exists)


def test_without_uptime_the_machines_clock_counts(machine: ShellMachine) -> None:
    machine.uptime = "/nonexistent/uptime"
    clock = install_fake_date(machine)
    machine.arm_timer(evolve(machine.make_setting, span=360000))
    clock.write_text("1600001000")
    left = machine.read_state().ticks_left
    assert left == 360000 - 100000
    clock.write_text("1600003601")
    wait_until_true(machine.stop_mark.exists)


def test_it_fires_early_only_when_every_job_has_ended(machine: ShellMachine) -> None:
    first, second = machine.write_job("first"), machine.write_job("second", ended=True)
    machine.arm_timer(evolve(machine.make_setting, after_job=30, grace=10))
    time.sleep(0.8)
    assert not machine.stop_mark.exists()
    (first / "exit").write_text("0 1\n")
    wait_until_true(machine.stop_mark.exists)
    assert second.exists()


def test_an_idle_machine_without_any_job_waits_for_its_deadline(machine: ShellMachine) -> None:
    machine.arm_timer(evolve(machine.make_setting, after_job=10, grace=10))
    time.sleep(0.6)
    assert not machine.stop_mark.exists()


def test_it_needs_no_setsid(machine: ShellMachine) -> None:
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
    setting = machine.make_setting
    done = subprocess.run(
        ["/bin/sh", "-c", script.arm_command(setting)],
        input=script.make_timer_program(setting), env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    reading = script.parse_timer(done.stdout)
    assert reading is not None, done
    assert reading.ticks_left is not None, done
    pid = machine.read_pid()
    assert machine.disarm_timer() == TimerReading()
    wait_until_true(lambda: not is_alive(pid))


def test_only_timer_output_is_parsed() -> None:
    assert script.parse_timer("") is None
    assert script.parse_timer("gpurent-timer armed x waiting\n") is None
    assert script.parse_timer("gpurent-timer off") == TimerReading()
    assert script.parse_timer("gpurent-timer armed -5 closing\n") == TimerReading(ticks_left=-5, closing=True)
