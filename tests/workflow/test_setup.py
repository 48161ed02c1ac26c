"""Setup before the job: reported, kept, done once, and its failure ends the trip as the policy says."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Prepaid
from gpurent.domain.trip import JobSpec, OnError, SetupSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import JobError, UsageError
from gpurent.remote.setup_script import NO_CONDA_STATUS, make_environment_lines, make_setup_script
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.steps.upload import make_pushes
from gpurent.workflow.timing.guard_policy import GuardPolicies, GuardPolicy
from gpurent.workflow.timing.timers import compute_timer_deadline
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


# the script, in a real shell


class LocalMachine:
    """A home and a folder; ``pip`` installs only into the home."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "home" / "work"
        self.folder.mkdir(parents=True)
        (root / "pip.conf").write_text(
            f"[install]\ntarget = {self.home}/site\nno-index = true\nno-deps = true\n"
        )
        self.environment = {
            "PATH": f"{root}/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "PIP_CONFIG_FILE": str(root / "pip.conf"),
        }
        self.programs = root / "bin"
        self.programs.mkdir()

    def run_script(self, text: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", text], cwd=folder or self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    def make_wheel(self, name: str) -> str:
        """Build a package of one module that pip can install without a network."""
        path = self.folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{name}.py", "here = True\n")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{info}/RECORD", "")
        return path.name


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    return LocalMachine(tmp_path)


def test_nothing_to_do_is_no_script() -> None:
    assert make_setup_script(SetupSpec(), "python3", "t1") == ""
    assert make_environment_lines(SetupSpec()) == ""


@pytest.mark.nightly
def test_pip_by_the_machine_s_own_python(machine: LocalMachine) -> None:
    if machine.run_script("python3 -m pip --version").returncode:
        pytest.skip("this computer's own Python has no pip")
    (machine.folder / "requirements.txt").write_text(f"./{machine.make_wheel('gpurent_tried')}\n")
    text = make_setup_script(SetupSpec(requirements="requirements.txt"), "python3", "t1")
    first = machine.run_script(text)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "+ pip install -r requirements.txt" in first.stdout
    assert (machine.home / "site" / "gpurent_tried.py").exists()
    again = machine.run_script(text)
    assert again.stdout == "= pip install -r requirements.txt\n"


def test_a_missing_package_is_a_failure(machine: LocalMachine) -> None:
    text = make_setup_script(
        SetupSpec(commands=("touch after",), pip=("gpurent-no-such-package",)),
        "python3",
        "t1",
    )
    ran = machine.run_script(text)
    assert ran.returncode != 0
    assert not (machine.folder / "after").exists()


def test_commands_are_run_once_in_order_and_stop_at_a_failure(machine: LocalMachine) -> None:
    spec = SetupSpec(commands=("echo one >> log", "echo two >> log; false", "echo three >> log"))
    assert machine.run_script(make_setup_script(spec, "python3", "t1")).returncode == 1
    assert (machine.folder / "log").read_text() == "one\ntwo\n"
    fixed = evolve(spec, commands=("echo one >> log", "echo 2 >> log", "echo three >> log"))
    assert machine.run_script(make_setup_script(fixed, "python3", "t1")).stdout.count("= ") == 1
    assert (machine.folder / "log").read_text() == "one\ntwo\n2\nthree\n"
    changed = evolve(fixed, commands=("echo zero >> log", *fixed.commands))
    machine.run_script(make_setup_script(changed, "python3", "t1"))
    assert (machine.folder / "log").read_text().split()[-4:] == ["zero", "one", "2", "three"], (
        "all that follows"
    )


def test_what_belongs_to_a_folder_is_done_again_in_another(machine: LocalMachine) -> None:
    (machine.programs / "python9").write_text('#!/bin/sh\necho "$@" >> "$HOME/pip.log"\n')
    (machine.programs / "python9").chmod(0o755)
    other = machine.home / "other"
    other.mkdir()
    for folder in (machine.folder, other):
        (folder / "far.txt").write_text("numpy\n")
        (folder / "near.txt").write_text("-e .\n")
    far = make_setup_script(SetupSpec(commands=("touch made",), requirements="far.txt"), "python9", "t1")
    near = make_setup_script(SetupSpec(requirements="near.txt"), "python9", "t1")
    for text in (far, near):
        for folder in (machine.folder, other):
            assert machine.run_script(text, folder).returncode == 0
    calls = (machine.home / "pip.log").read_text().split("\n")[:-1]
    assert [call.rpartition(" ")[2] for call in calls] == ["far.txt", "near.txt", "near.txt"]
    assert (other / "made").exists()
    (other / "far.txt").write_text("numpy\nscipy\n")
    assert machine.run_script(far, other).returncode == 0
    assert (machine.home / "pip.log").read_text().count("far.txt") == 2, "another list is another setup"


# Stands in for conda, which is not available here: creates the folder of an environment and enters it.
FAKE_CONDA = """#!/bin/sh
echo "$@" >> "$HOME/conda.log"
case $1 in
env) mkdir -p "$5/conda-meta" ;;
shell.posix) echo 'conda() { ENTERED=$2; export ENTERED; }' ;;
esac
"""


def test_conda_makes_the_environment_and_everything_runs_in_it(machine: LocalMachine) -> None:
    (machine.folder / "environment.yml").write_text("dependencies:\n- python=3.11\n")
    spec = SetupSpec(commands=('echo "$ENTERED" > entered',), conda="environment.yml")
    missing = machine.run_script(make_setup_script(spec, "python3", "t1"))
    assert missing.returncode == NO_CONDA_STATUS
    assert "conda is not installed on this machine" in missing.stdout
    home = machine.home / "miniconda3" / "bin"
    home.mkdir(parents=True)
    (home / "conda").write_text(FAKE_CONDA)
    (home / "conda").chmod(0o755)
    made = machine.run_script(make_setup_script(spec, "python3", "t1"))
    assert made.returncode == 0, made.stdout + made.stderr
    calls = (machine.home / "conda.log").read_text().split("\n")
    (environment,) = (machine.home / ".gpurent" / "conda").iterdir()
    assert calls[0] == f"env create -q -p {environment} -f environment.yml"
    assert (machine.folder / "entered").read_text().strip() == str(environment)
    job = machine.run_script(make_environment_lines(spec) + 'echo "$ENTERED"')
    assert job.stdout.strip() == str(environment)
    (machine.folder / "environment.yml").write_text("dependencies:\n- python=3.12\n")
    machine.run_script(make_setup_script(spec, "python3", "t1"))
    assert len(list((machine.home / ".gpurent" / "conda").iterdir())) == 2


@pytest.mark.parametrize("name", ["a'b.yml", "$(touch bad).txt", "; touch bad", "-x", "a b.txt"])
def test_odd_names_are_only_names(machine: LocalMachine, name: str) -> None:
    (machine.folder / name).write_text("x\n")
    (machine.programs / "conda").write_text(FAKE_CONDA)
    (machine.programs / "conda").chmod(0o755)
    (machine.programs / "python9").write_text("#!/bin/sh\nexit 0\n")
    (machine.programs / "python9").chmod(0o755)
    for setup in (SetupSpec(requirements=name), SetupSpec(conda=name)):
        ran = machine.run_script(make_setup_script(setup, "python9", "t1"))
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not (machine.folder / "bad").exists()


# during a trip


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120, fixed_speed=True) as made:
        yield made


@pytest.fixture
def job(tmp_path: Path) -> TripSpec:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text("print(open('ready').read())\n")
    return TripSpec(
        upload=UploadSpec(folder=str(folder)), job=JobSpec(command=("train.py",)), provider="mistgpu"
    )


def with_setup(spec: TripSpec, *commands: str, limits: TripLimits | None = None) -> TripSpec:
    job = evolve(spec.job, setup=SetupSpec(commands=commands))
    return evolve(spec, job=job, limits=limits or spec.limits)


async def log_in_with_money(sandbox: TripSandbox, application: Application) -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "10")


async def test_a_failed_setup_is_reported_and_the_machine_released(
    sandbox: TripSandbox, job: TripSpec
) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        with pytest.raises(JobError) as error:
            await application.trips.run(
                with_setup(job, "echo so far", "echo broken pipe of dreams >&2; exit 7")
            )
        assert "exit code 7" in error.value.message
        assert "broken pipe of dreams" in error.value.hint
        assert error.value.burning == ()
        (row,) = await application.trip_tracker.list_trips()
        log = application.home / "logs" / f"setup-{row.id}.log"
        assert str(log) in error.value.hint
        assert "+ echo so far" in log.read_text()
        assert b"so far" in user.output
        assert row.outcome_text == "failed: job"
        assert [
            step.name for step in await application.store.list_steps(row.id) if "launch" in step.name
        ] == []
    assert sandbox.cloud.burning() == []


async def test_a_machine_that_a_failed_setup_kept_can_be_used(sandbox: TripSandbox, job: TripSpec) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await log_in_with_money(sandbox, application)
        bad = with_setup(job, "echo made > ready; false", limits=TripLimits(on_error=OnError.KEEP))
        with pytest.raises(JobError) as error:
            await application.trips.run(bad)
        (lease,) = error.value.burning
        good = with_setup(evolve(job, lease=lease), "echo made > ready", limits=TripLimits(keep=True))
        end = await application.trips.run(good)
        assert end.exit_code == 0
        assert b"made" in user.output
        await application.releases.release_lease(lease)
    assert sandbox.cloud.burning() == []


@pytest.mark.nightly
async def test_a_setup_is_no_idle_time(sandbox: TripSandbox, job: TripSpec) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        # Two real seconds are four minutes here.
        end = await application.trips.run(with_setup(job, "sleep 2; echo made > ready"))
        assert end.receipt is not None
        steps = {row.name: row for row in await application.store.list_steps(end.trip_id)}
        setup, pushed, launched = (steps[f"leg0.{name}"] for name in ("setup", "upload", "launch"))
        assert setup.done_at is not None
        assert pushed.done_at is not None
        assert launched.done_at is not None
        took = setup.done_at - setup.started_at
        assert took >= timedelta(minutes=3)
        assert dict(end.receipt.idle)["upload-to-job"] <= launched.done_at - pushed.done_at - took


# the trip's own rules


def make_lease(tariff: Metered | Prepaid) -> Lease:
    offer = Offer(provider="acme", key="m1", hardware=Hardware(gpu="2080 Ti", gpus=1), tariff=tariff)
    return Lease(id="acme-a", provider="acme", offer=offer, state=LeaseState.READY, started_at=NOW - HOUR)


PRICE = UnitPrice(Decimal("1.5"), CNY, HOUR)


@pytest.mark.parametrize("tariff", [Metered(price=PRICE), Prepaid(price=PRICE)])
def test_the_deadline_arms_the_timer_on_any_machine(tariff: Metered | Prepaid) -> None:
    found = make_lease(tariff)
    for policy in (GuardPolicy(), GuardPolicy(timer_off=True)):
        limits = TripLimits(deadline_in=5 * HOUR)
        assert compute_timer_deadline(found, limits, policy, NOW) == NOW + 4 * HOUR
        limits = TripLimits(deadline_at=NOW + 2 * HOUR)
        assert compute_timer_deadline(found, limits, policy, NOW) == NOW + 2 * HOUR
    assert compute_timer_deadline(found, TripLimits(), GuardPolicy(), NOW) is None


def test_the_earlier_of_term_and_deadline_holds() -> None:
    found = make_lease(Metered(price=PRICE))
    limits = TripLimits(term=2 * HOUR, deadline_in=9 * HOUR)
    assert compute_timer_deadline(found, limits, GuardPolicy(), NOW) == NOW + HOUR + timedelta(minutes=30)
    earlier = evolve(limits, deadline_in=HOUR * 3 / 2)
    assert compute_timer_deadline(found, earlier, GuardPolicy(), NOW) == NOW + HOUR / 2
    switch = TripLimits(deadline_in=9 * HOUR)
    assert compute_timer_deadline(found, switch, GuardPolicy(timer=HOUR), NOW) == NOW + HOUR


def test_the_guard_takes_the_trip_s_rules_between_the_provider_s_and_the_lease_s(tmp_path: Path) -> None:
    config = {
        "guard": {"idle": "1h", "save_before": "9m"},
        "guard.acme": {"idle": "2h"},
        "guard.l1": {"idle": "4h"},
    }
    policies = GuardPolicies(Settings(tmp_path, {}, config))
    spec = TripSpec(limits=TripLimits(idle=3 * HOUR, deadline_in=20 * HOUR, after_job=HOUR))
    found = policies.get_policy("acme", spec, lease="l2", trip="t1")
    assert (found.idle, found.deadline, found.after_job) == (3 * HOUR, 20 * HOUR, HOUR)
    assert found.save_before == timedelta(minutes=9)
    assert policies.get_policy("acme", spec, lease="l1", trip="t1").idle == 4 * HOUR
    assert policies.get_policy("acme", lease="l2", trip="t1").idle == 2 * HOUR


def test_inputs_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("src/a.py", "src/b.py", "data.csv"):
        (tmp_path / name).touch()
    loads = make_pushes(
        UploadSpec(folder=str(tmp_path), include=("src/a.py", "data.csv", "src/b.py")), "gpurent/t1"
    )
    assert {load.target: [path.name for path in load.sources] for load in loads} == {
        "gpurent/t1/src": ["a.py", "b.py"],
        "gpurent/t1": ["data.csv"],
    }
    (whole,) = make_pushes(UploadSpec(folder=str(tmp_path)), "gpurent/t1")
    assert whole.contents_only
    with pytest.raises(UsageError, match="does not exist"):
        make_pushes(UploadSpec(folder=str(tmp_path), include=("gone",)), "gpurent/t1")
