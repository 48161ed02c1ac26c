"""Nothing delays the upload's first byte, and a setup that needs few files runs during the upload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from attrs import define, evolve, field

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, OnError, ResultsSpec, SetupSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import JobError, TransferError
from gpurent.infra.http import HttpClient
from gpurent.infra.sqlite.codec import get_converter
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.load_timeouts import wait_until
from tests.workflow.test_crash import start_crash_process
from tests.workflow.trip_sandbox import ByteCounter, ScriptedUser, TripSandbox, WatchedCounter, trip_sandbox

WAIT_SECONDS = 60.0  # real seconds; only a failing test waits this long


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120) as made:
        yield made


@define
class UploadWatchingUser(ScriptedUser):
    """Calls ``at_upload`` at the first bytes of every upload, in the thread that transfers them."""

    at_upload: Callable[[], None] = lambda: None
    upload_counters: list[ByteCounter] = field(factory=list)

    def start_progress(self, title: str) -> ByteCounter:
        if title != "upload":
            return ByteCounter()
        self.upload_counters.append(WatchedCounter(on_first_bytes=self.at_upload))
        return self.upload_counters[-1]


@pytest.fixture
def job(tmp_path: Path) -> TripSpec:
    folder = tmp_path / "work"
    (folder / "native").mkdir(parents=True)
    (folder / "train.py").write_text("import shutil, os\nos.mkdir('out')\nshutil.copy('made', 'out')\n")
    (folder / "native" / "Makefile").write_text("all:\n")
    (folder / "data.bin").write_bytes(bytes(range(256)) * 400)
    return TripSpec(
        upload=UploadSpec(folder=str(folder)),
        job=JobSpec(command=("train.py",), setup=SetupSpec(needs=("native",))),
        results=ResultsSpec(paths=("out",)),
        provider="mistgpu",
    )


def with_setup(
    spec: TripSpec,
    *commands: str,
    needs: tuple[str, ...] = ("native",),
    transfer: str = "",
    on_error: OnError = OnError.RELEASE,
) -> TripSpec:
    setup = evolve(spec.job.setup, commands=commands, needs=needs)
    return evolve(
        spec,
        upload=evolve(spec.upload, transfer=transfer),
        job=evolve(spec.job, setup=setup),
        limits=evolve(spec.limits, on_error=on_error),
    )


async def log_in_with_money(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "10")


# the first byte


@pytest.mark.parametrize("provider", [pytest.param("mistgpu", marks=pytest.mark.nightly), "1024gpu"])
async def test_upload_starts_right_after_the_first_answer(
    sandbox: TripSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    log: list[str] = []
    original_request, original_open = HttpClient.request, SshConnector.open_connection

    async def request(self: HttpClient, method: str, path: str, **more: Any) -> Any:
        log.append(f"http {path}")
        return await original_request(self, method, path, **more)

    async def ssh_open(self: SshConnector, *args: Any, **named: Any) -> Any:
        connection = await original_open(self, *args, **named)
        log.append("ssh answers")
        return connection

    def note(event: Event) -> None:
        if event.kind in (EventKind.STEP_STARTED, EventKind.STEP_DONE, EventKind.WAITING):
            log.append(f"{event.kind.value} {event.step}")

    user = UploadWatchingUser(watchers=[note], at_upload=lambda: log.append("bytes"))
    monkeypatch.setattr(HttpClient, "request", request)
    monkeypatch.setattr(SshConnector, "open_connection", ssh_open)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_text("print(1)\n")
    spec = TripSpec(
        upload=UploadSpec(folder=str(tmp_path / "work")),
        job=JobSpec(command=("train.py",)),
        provider=provider,
    )
    async with sandbox.open_application(user) as application:
        if provider == "mistgpu":
            await log_in_with_money(sandbox, application)
        else:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            spec = evolve(
                spec, requirements=Requirements(gpu="2080Ti"), limits=TripLimits(term=timedelta(days=1))
            )
        log.clear()
        await application.trips.run(spec)
    first = log.index("ssh answers")
    assert log[first : log.index("bytes")] == [
        "ssh answers",
        "step-done leg0.connect",
        "step-started leg0.upload",
    ]
    # The provider had just reported the machine ready: no pause and no other step in between.
    assert log[first - 1] == "step-started leg0.connect"
    if provider == "1024gpu":
        assert "step-started leg1.confirm" in log[first:], "it went up on the machine without a GPU"


# setup during the upload


def wait_for_path(path: Path) -> bool:
    end = monotonic() + WAIT_SECONDS
    while not path.exists() and monotonic() < end:
        sleep(0.02)
    return path.exists()


@pytest.mark.nightly
async def test_setup_and_upload_resume_independently(
    sandbox: TripSandbox, job: TripSpec, tmp_path: Path
) -> None:
    begun, seen = tmp_path / "begun", list[bool]()
    # The upload waits for the setup to begin, and the setup ends only after the upload's last file.
    setup = (
        f"test -e native/Makefile && test ! -e data.bin || exit 6; touch {begun}; echo 1 >> made",
        "i=0; until [ -e data.bin ]; do i=$((i+1)); [ $i -lt 600 ] || exit 5; sleep 0.1; done",
    )

    def hold_back() -> None:
        if len(user.upload_counters) > 1:  # after the files that the setup needs
            seen.append(wait_for_path(begun))

    user = UploadWatchingUser(at_upload=hold_back)
    (Path(job.upload.folder) / "data.bin").write_bytes(bytes(9 << 20))
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        end = await application.trips.run(with_setup(job, *setup, transfer="turbo"))
        assert end.exit_code == 0
        steps = {row.name.partition(".")[2]: row for row in await application.store.list_steps(end.trip_id)}
    assert seen == [True]
    order: list[tuple[EventKind, str]] = [
        (event.kind, event.step.partition(".")[2])
        for event in user.events
        if event.kind in (EventKind.STEP_STARTED, EventKind.STEP_DONE) and event.step.startswith("leg0.")
    ]
    done, started = EventKind.STEP_DONE, EventKind.STEP_STARTED
    assert order.index((done, "upload-setup")) < order.index((started, "upload"))
    assert {(started, "upload"), (started, "setup")} == set(
        order[order.index((done, "upload-setup")) + 1 :][:2]
    ), "both have begun before either is done"
    assert order.index((started, "launch")) > max(order.index((done, "upload")), order.index((done, "setup")))
    pushed = steps["upload"].done_at
    assert pushed is not None
    assert steps["setup"].started_at < pushed
    assert end.receipt is not None
    assert (Path(job.upload.folder) / "out" / "made").read_text() == "1\n"


@pytest.mark.nightly
async def test_a_setup_that_needs_nothing_makes_its_folder(sandbox: TripSandbox, job: TripSpec) -> None:
    user = UploadWatchingUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        end = await application.trips.run(with_setup(job, "echo 1 > made", needs=()))
        names = [row.name for row in await application.store.list_steps(end.trip_id)]
    assert end.exit_code == 0
    assert "leg0.upload-setup" not in names
    assert len(user.upload_counters) == 1
    assert (Path(job.upload.folder) / "out" / "made").read_text() == "1\n"


async def test_a_failed_setup_cuts_the_upload_and_is_reported(
    sandbox: TripSandbox, job: TripSpec, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def hold_back() -> None:
        if len(user.upload_counters) > 1:
            wait_for_path(begun)

    user = UploadWatchingUser(at_upload=hold_back)
    (Path(job.upload.folder) / "data.bin").write_bytes(bytes(range(256)) * (1 << 16))
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        setup = (f"touch {begun}; echo broken pipe of dreams; exit 7",)
        with pytest.raises(JobError, match="exit code 7") as error:
            await application.trips.run(with_setup(job, *setup, on_error=OnError.KEEP))
        assert "broken pipe of dreams" in error.value.hint
        (lease,) = error.value.burning
        ran = await application.machine_commands.run_command(
            lease, "ls gpurent/*/native/Makefile && ls .gpurent/jobs"
        )
        assert "Makefile" in ran.stdout, "what has arrived stays"
        (row,) = await application.trip_tracker.list_trips()
        assert ran.stdout.split()[1:] == [f"setup-{row.id}"]
        assert row.outcome_text == "failed: job"
        await application.releases.release_lease(lease)
    assert sandbox.cloud.burning() == []


@pytest.mark.nightly
async def test_an_upload_that_fails_for_good_ends_the_setup(
    sandbox: TripSandbox, job: TripSpec, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def fail() -> None:
        if len(user.upload_counters) > 1 and wait_for_path(begun):
            raise TransferError("no more")

    user = UploadWatchingUser(at_upload=fail)
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        setup = (f"touch {begun}; sleep 600",)
        with pytest.raises(TransferError, match="no more") as error:
            await application.trips.run(with_setup(job, *setup, on_error=OnError.KEEP, transfer="turbo"))
        (lease,) = error.value.burning

        async def has_ended() -> bool:
            ran = await application.machine_commands.run_command(
                lease, "cut -d' ' -f1 .gpurent/jobs/setup-*/exit; ps -e -o args | grep -c '[s]leep 600'"
            )
            return ran.stdout.split() == ["143", "0"]

        await wait_until(has_ended)
        await application.releases.release_lease(lease)
    assert sandbox.cloud.burning() == []


@pytest.mark.nightly
async def test_a_cut_of_both_connections_repeats_neither(
    sandbox: TripSandbox, job: TripSpec, tmp_path: Path
) -> None:
    begun, cuts = tmp_path / "begun", list[int]()
    loop = asyncio.get_running_loop()

    def cut() -> None:
        if len(user.upload_counters) == 2 and wait_for_path(begun):
            cuts.append(
                asyncio.run_coroutine_threadsafe(sandbox.cloud.cut_connections(), loop).result(WAIT_SECONDS)
            )

    user = UploadWatchingUser(at_upload=cut)
    (Path(job.upload.folder) / "data.bin").write_bytes(bytes(range(256)) * (1 << 16))
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        setup = (f"echo 1 >> made; touch {begun}; sleep 2",)
        end = await application.trips.run(with_setup(job, *setup, transfer="turbo"))
    assert end.exit_code == 0
    assert cuts == [2]
    assert user.event_kinds().count(EventKind.CONNECTION_RESTORED) >= 1
    assert (Path(job.upload.folder) / "out" / "made").read_text() == "1\n"


# killed at any point

OTHER_STEPS = (
    "select-provider", "login", "select-offer", "plan", "check-funds",
    "leg0.reserve", "leg0.bill", "leg0.pay", "leg0.confirm", "leg0.ready",
    "leg0.monitor", "leg0.download", "release", "receipt",
)  # fmt: skip


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_killed_anywhere_beside_the_upload_and_resumed(tmp_path: Path, job: TripSpec) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox, start_crash_process() as client:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
        # Two at once would collide on the folder; two in a row would write two lines.
        setup = ("mkdir busy || exit 9; echo 1 >> made; sleep 1; rmdir busy",)
        task = {
            "environment": dict(sandbox.environment()),
            "home": str(sandbox.home / "state"),
            "want": json.dumps(get_converter().unstructure(with_setup(job, *setup))),
        }
        remaining = [f"{step}:{phase}" for step in OTHER_STEPS for phase in ("begun", "effect", "recorded")]
        died: list[str] = []
        answer: dict[str, Any] = {}
        for _process in range(40):
            answer = await client.run_task(**task, spare=remaining + died)
            if "died" not in answer:
                break
            died.append(answer["died"])
        assert answer.get("end") == 0, answer
        assert len(set(died)) == len(died)
        steps = ("connect", "upload-setup", "upload", "setup", "launch")
        assert {f"leg0.{step}:{phase}" for step in steps for phase in ("begun", "effect", "recorded")} <= set(
            died
        )
        assert (Path(job.upload.folder) / "out" / "made").read_text() == "1\n"
        assert sandbox.cloud.burning() == []
