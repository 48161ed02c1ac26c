"""A job in a fake machine that advances only with the test's clock."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

from attrs import define, field

from gpurent.domain.events import Event, EventKind
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.testing.fakes.machines import FakeMachines
from gpurent.testing.fakes.virtual_time import real_time, virtual_clock
from gpurent.workflow.runtime.waiting import cancel_and_wait

# Each word that it reads is a step: it writes a line of output and of results, then answers or ends.
_JOB_SCRIPT = """
exec 3< "$1" 4> "$2"
echo begun; echo line >> out.txt; echo ok >&4
while read -r word <&3; do
  if [ "$word" = end ]; then echo done >> out.txt; exit 0; fi
  echo "$word"; echo line >> out.txt; echo ok >&4
done
"""
STEP_SPAN = timedelta(minutes=5)


@define(eq=False)
class PacedJob:
    """Writes a line to its output and to ``out.txt`` every `STEP_SPAN` of the clock, ``lines`` in all (None: forever).

    Pass the trip's events to `on_event`: the job starts its steps at JOB_STARTED.
    """

    folder: Path
    machines: FakeMachines
    lines: int | None = None
    _pipes: list[int] = field(factory=list)
    _steps_task: asyncio.Task[None] | None = None

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir()
        (self.project / "job.sh").parent.mkdir()
        (self.project / "job.sh").write_text(_JOB_SCRIPT)
        for path in (self._words_pipe, self._answers_pipe):
            os.mkfifo(path)
            # Open both directions, so that opening does not block and there is no end of file before the job opens it.
            self._pipes.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def results(self) -> Path:
        """The downloaded ``out.txt``."""
        return self.folder / "home" / "out.txt"

    @property
    def _words_pipe(self) -> Path:
        return self.folder / "words"

    @property
    def _answers_pipe(self) -> Path:
        return self.folder / "answers"

    def make_spec(self, provider: str, limits: TripLimits = TripLimits(), lease: str = "") -> TripSpec:  # noqa: B008 - frozen
        """Return a trip that runs this job."""
        self.results.parent.mkdir(exist_ok=True)
        return TripSpec(
            upload=UploadSpec(folder=str(self.project)),
            job=JobSpec(command=("sh", "job.sh", str(self._words_pipe), str(self._answers_pipe))),
            results=ResultsSpec(paths=("out.txt",), dir=str(self.results.parent)),
            limits=limits,
            provider=provider,
            lease=lease,
        )

    def on_event(self, event: Event) -> None:
        if event.kind is EventKind.JOB_STARTED and self._steps_task is None:
            self._steps_task = asyncio.create_task(self._run_steps())

    async def aclose(self) -> None:
        if self._steps_task is not None:
            await cancel_and_wait(self._steps_task)
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes.clear()

    async def _run_steps(self) -> None:
        clock, written = virtual_clock(), 0
        await self._read_answer()
        self._detect_job_end()
        while self.lines is None or written < self.lines:
            await clock.sleep(STEP_SPAN)
            if not await self._send_word("step"):
                return
            written += 1
            self._date_output(written)
        with real_time():
            leader = self._open_leader()
            await self._send_word("end")
            await _wait_for_exit(leader)

    def _detect_job_end(self) -> None:
        """Close our write end of the answers: from now on an end of file means that the job has ended."""
        reading = os.open(self._answers_pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.close(self._pipes.pop())
        self._pipes.append(reading)

    async def _send_word(self, word: str) -> bool:
        """Send a word; return whether the job answers. False means that it has ended."""
        os.write(self._pipes[0], f"{word}\n".encode())
        return bool(await self._read_answer())

    async def _read_answer(self) -> bytes:
        with real_time():
            await _wait_until_readable(self._pipes[1])
            return os.read(self._pipes[1], 4096)

    def _date_output(self, step: int) -> None:
        """Move the output's mtime on by a second per step: all steps may be written within one second."""
        (log,) = self.machines.only_machine.home.glob(".gpurent/jobs/*/log")
        at = time.time() + step
        os.utime(log, (at, at))

    def _open_leader(self) -> int:
        """Return a handle on the process that records how the job ended."""
        (pid,) = self.machines.only_machine.home.glob(".gpurent/jobs/*/pid")
        return os.pidfd_open(int(pid.read_text()))


async def _wait_for_exit(handle: int) -> None:
    try:
        await _wait_until_readable(handle)
    finally:
        os.close(handle)


async def _wait_until_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def notice() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, notice)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
