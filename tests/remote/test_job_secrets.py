"""Secrets of a job: a text that is cut off, written twice or never read does no harm."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpurent.domain.job import Job
from gpurent.domain.secret import Secret
from gpurent.remote.job_secrets import (
    DELIVERED_STATUS,
    PIPE_NAME,
    WAITING_STATUS,
    deliver_command,
    make_delivery,
)
from gpurent.remote.jobs import make_run_script, write_script_command

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]
LARGE = "x" * 70_000  # more than a pipe holds


class Home:
    """A home folder in which one shell is ``sh``."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder, self.job = (
            folder,
            Job(
                name="job",
                command='printf "%s|%s" "$TOKEN" "$PLAIN"',
                env={"PLAIN": "p q"},
                secrets={"TOKEN": Secret("a'b\nc")},
            ),
        )
        programs = folder / "bin"
        programs.mkdir(parents=True)
        found = shutil.which(shell)
        assert found is not None
        (programs / "sh").symlink_to(found)
        self.environment = {"HOME": str(folder), "PATH": f"{programs}:/usr/bin:/bin"}

    def run(self, command: str, text: str = "", timeout: float = 20) -> int:
        done = subprocess.run(
            ["sh", "-c", command],
            env=self.environment,
            input=text.encode(),
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )
        return done.returncode

    @contextmanager
    def started(self, job: Job) -> Iterator[Path]:
        """Write the job's files and run its script; yield the job's folder."""
        self.job = job
        assert self.run(write_script_command(job), make_run_script(job)) == 0
        room = self.folder / job.state_dir
        process = subprocess.Popen(
            ["sh", str(room / "run.sh")], env=self.environment, cwd=self.folder, stdout=subprocess.DEVNULL
        )
        try:
            yield room
        finally:
            process.wait(timeout=20)

    def deliver(self, text: str) -> int:
        return self.run(deliver_command(self.job.state_dir), text)


@pytest.fixture(params=SHELLS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return Home(tmp_path, request.param)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


def test_the_job_waits_for_a_text_that_is_complete(home: Home) -> None:
    text = make_delivery(home.job.secrets).reveal()
    with home.started(home.job) as room:
        wait_for(room / "pid")
        assert (room / PIPE_NAME).stat().st_mode & 0o777 == 0o600
        assert home.deliver(text[:-5]) == WAITING_STATUS, "it was cut off"
        assert home.deliver(text + text) == WAITING_STATUS, "two writers at once"
        assert home.deliver(text) == DELIVERED_STATUS
        wait_for(room / "exit")
    assert (room / "log").read_bytes() == b"a'b\nc|p q"
    assert not (room / PIPE_NAME).exists()
    assert home.deliver(text) == DELIVERED_STATUS, "it has what it waited for"


def test_many_secrets_are_more_than_a_pipe_holds(home: Home) -> None:
    secrets = {f"S{number}": Secret(LARGE) for number in range(5)}
    job = Job(name="job", command='printf "%s" "$S0$S4" | wc -c', secrets=secrets)
    with home.started(job) as room:
        assert home.deliver(make_delivery(secrets).reveal()) == DELIVERED_STATUS
        wait_for(room / "exit")
    assert (room / "log").read_text().strip() == str(2 * len(LARGE))


def test_without_secrets_there_is_no_pipe(home: Home) -> None:
    with home.started(Job(name="job", command="env | grep -c _gpurent", env={"_gpurent_x": "1"})) as room:
        wait_for(room / "exit")
        assert not (room / PIPE_NAME).exists()
    assert (room / "log").read_text() == "1\n", "nothing but the user's own"


def test_a_name_of_the_user_is_not_exported_with_the_secrets(home: Home) -> None:
    job = Job(
        name="job",
        command='env | grep -c "s3cret"',
        env={"got": "g", "_gpurent_got": "h"},
        secrets={"TOKEN": Secret("s3cret")},
    )
    with home.started(job) as room:
        assert home.deliver(make_delivery(job.secrets).reveal()) == DELIVERED_STATUS
        wait_for(room / "exit")
    assert (room / "log").read_text() == "1\n"


def test_variables_may_have_any_name(home: Home) -> None:
    """They are those of the job alone, not of the script that runs it."""
    names = ("room", "mask", "code", "HOME", "PATH", "PWD", "IFS")
    job = Job(
        name="job",
        command='echo "$room $mask $code $HOME $SECRET"; exit 3',
        env=dict.fromkeys(names, "/nowhere"),
        secrets={"SECRET": Secret("s"), "top": Secret("t")},
    )
    with home.started(job) as room:
        assert home.deliver(make_delivery(job.secrets).reveal()) == DELIVERED_STATUS
        wait_for(room / "exit")
    assert (room / "log").read_text() == "/nowhere /nowhere /nowhere /nowhere s\n"
    assert (room / "exit").read_text().split()[0] == "3"


def test_what_was_started_before_has_another_pipe(home: Home) -> None:
    """A job that never started is written again."""
    for _time in range(2):
        assert home.run(write_script_command(home.job), make_run_script(home.job)) == 0
    assert (home.folder / home.job.state_dir / PIPE_NAME).is_fifo()
    script = make_run_script(home.job)
    assert "a'b" not in script
    assert "TOKEN=" not in script
