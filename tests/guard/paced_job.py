"""A job in a fake machine that goes on only when the test's clock says so."""

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

# Each word that it reads is a step: a line of output and of results. Then it answers, or ends.
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
    """Writes a line to its output and to ``out.txt`` every `STEP` of the clock, ``lines`` of them (None: for ever).

    `hear` must be told of the trip's events: it begins with JOB_STARTED.
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
            # For both directions: opening waits for nobody, and nothing ends before the job has opened it, too.
            self._pipes.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def results(self) -> Path:
        """What was downloaded of ``out.txt``."""
        return self.folder / "home" / "out.txt"

    @property
    def _words_pipe(self) -> Path:
        return self.folder / "words"

    @property
    def _answers_pipe(self) -> Path:
        return self.folder / "answers"

    def make_spec(self, provider: str, limits: TripLimits = TripLimits(), lease: str = "") -> TripSpec:  # noqa: B008 - frozen
        """A trip with this job."""
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
        """From now on the job alone has the answers open for writing: an end of file is its end."""
        reading = os.open(self._answers_pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.close(self._pipes.pop())
        self._pipes.append(reading)

    async def _send_word(self, word: str) -> bool:
        """Whether it answers; False: it has ended."""
        os.write(self._pipes[0], f"{word}\n".encode())
        return bool(await self._read_answer())

    async def _read_answer(self) -> bytes:
        with real_time():
            await _wait_until_readable(self._pipes[1])
            return os.read(self._pipes[1], 4096)

    def _date_output(self, step: int) -> None:
        """Another second for each step: all of them may be written within one."""
        (log,) = self.machines.only_machine.home.glob(".gpurent/jobs/*/log")
        at = time.time() + step
        os.utime(log, (at, at))

    def _open_leader(self) -> int:
        """A handle on the process that writes down how the job ended."""
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
