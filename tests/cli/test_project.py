"""`gpurent init`, then `gpurent run` without options, in the sandbox; and which source of a value takes precedence."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gpurent.cli.builtin import load_registry
from gpurent.cli.context import CliContext
from gpurent.cli.trip_spec import build_preview_spec, build_trip_spec
from gpurent.composition.files import read_project_file
from gpurent.composition.projects import trusted_projects
from gpurent.domain.project import ProjectFile
from gpurent.domain.trip import OnError, TripSpec
from gpurent.domain.trip_fields import TRIP_FIELDS
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import PluginError, UsageError
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command
from tests.workflow.trip_sandbox import DIGITS_EXAMPLE, TripSandbox, trip_sandbox

UNSET_OPTIONS: dict[str, Any] = {field.name: () if field.kind.is_list else None for field in TRIP_FIELDS} | {
    "command": ()
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GPURENT_HOME", str(tmp_path / "state"))
    return made


def project_spec(*, project: Path | None = None, no_project: bool = False, **fields: Any) -> TripSpec:
    app = CliContext(registry=load_registry(), as_json=True)
    return build_preview_spec(app, project, no_project, UNSET_OPTIONS | fields)[0]


def read_file(path: Path) -> ProjectFile:
    return read_project_file(path, datetime.now(UTC), Path("/nowhere"))


def read_spec(path: Path) -> TripSpec:
    return make_trip_spec(read_file(path).values)


def run_gpurent(folder: Path, *arguments: str) -> CommandLineResult:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "GPURENT_HOME": str(folder.parent / "state"),
        "LANG": "C.UTF-8",
    }
    return run_command(*arguments, environment=environment, folder=folder)


# precedence


def test_the_command_line_wins_key_by_key(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "requirements.txt").touch()
    (folder / "gpurent.toml").write_text(
        'command = "train.py"\ninclude = ["data"]\nresults = ["out"]\nprovider = ["mistgpu", "1024gpu"]\n'
        'for = "1d"\ndeadline = "20h"\nkeep = true\non_error = "keep"\ngpu = "2080Ti"\ngpus = 2\n'
        'pip = "requirements.txt"\n'
    )
    plain = project_spec()
    assert (plain.provider, plain.providers) == ("", ("mistgpu", "1024gpu"))
    assert plain.upload.include == ("data", "requirements.txt"), "what the setup reads goes up too"
    assert plain.job.setup.requirements == "requirements.txt"
    assert (plain.upload.folder, plain.results.paths) == (str(folder), ("out",))
    assert plain.limits.on_error is OnError.KEEP
    assert plain.limits.deadline_in == timedelta(hours=20)
    other = project_spec(command=("other.py",), provider=("1024gpu",), gpus=1, keep=False, results=("runs",))
    assert (other.job.command, other.provider, other.providers) == (("other.py",), "1024gpu", ())
    assert (other.requirements.gpu, other.requirements.gpus) == ("2080Ti", 1)
    assert (other.limits.keep, other.results.paths) == (False, ("runs",))
    assert other.limits.term == timedelta(days=1), "the rest of the file holds"
    trusted_projects().trust(read_file(folder / "gpurent.toml"), datetime.now(UTC))
    app = CliContext(registry=load_registry(), as_json=True)
    there = build_trip_spec(app, None, False, UNSET_OPTIONS, lease="mistgpu-x")
    assert there.providers == (), "a machine that is there needs no choice"


@pytest.mark.parametrize(
    ("line", "needs", "include"),
    [
        ("", None, ("data", "requirements.txt")),
        ("setup_needs = []", ("requirements.txt",), ("data", "requirements.txt")),
        ('setup_needs = ["native"]', ("native", "requirements.txt"), ("data", "native", "requirements.txt")),
        ('setup_needs = ["."]', None, ("data", "requirements.txt")),
    ],
)
def test_a_setup_waits_for_all_files_or_for_those_that_it_names(
    folder: Path, line: str, needs: tuple[str, ...] | None, include: tuple[str, ...]
) -> None:
    for name in ("data", "native"):
        (folder / name).mkdir()
    (folder / "requirements.txt").touch()
    (folder / "gpurent.toml").write_text(
        'command = "train.py"\ninclude = ["data"]\nprovider = ["mistgpu"]\npip = "requirements.txt"\n'
        f"{line}\n"
    )
    spec = project_spec()
    assert (spec.job.setup.needs, spec.upload.include) == (needs, include)


def test_parent_project_file_is_used_unless_disabled(folder: Path) -> None:
    (folder / "gpurent.toml").write_text('command = "a.py"\nprovider = ["mistgpu"]\n')
    (folder / "deep").mkdir()
    os.chdir(folder / "deep")
    assert project_spec().upload.folder == str(folder)
    with pytest.raises(UsageError, match="no command given"):
        project_spec(no_project=True)
    with pytest.raises(UsageError, match="cannot be used together"):
        project_spec(no_project=True, project=folder / "gpurent.toml")
    named = folder / "other.toml"
    named.write_text('command = "b.py"\nprovider = ["mistgpu"]\n')
    assert project_spec(project=named).job.command == ("b.py",)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('provider = ["mistgpu"]', UsageError, "no command given"),
        ('command = "a.py"\nprovider = ["nimbus"]', PluginError, "nimbus"),
        ('command = "a.py"\nprovider = ["mistgpu"]\nsession = "zellij"', PluginError, "zellij"),
        ('command = "a.py"\nprovider = ["mistgpu"]\ninclude = ["data"]', UsageError, "data does not exist"),
        (
            'command = "a.py"\nprovider = ["mistgpu"]\nconda = "e.yml"',
            UsageError,
            "e.yml does not exist",
        ),
        ('command = "a.py"\nprovider = ["mistgpu"]\nname = "-x y"', UsageError, "invalid session name"),
        (
            'command = "a.py"\nprovider = ["mistgpu"]\ndeadline = 2026-01-01T00:00:00Z',
            UsageError,
            "in the past",
        ),
    ],
)
def test_nothing_is_rented_on_a_bad_file(folder: Path, text: str, error: type[Exception], words: str) -> None:
    (folder / "gpurent.toml").write_text(text + "\n")
    with pytest.raises(error, match=words):
        project_spec()


def test_a_bad_file_leaves_no_trace(folder: Path) -> None:
    (folder / "gpurent.toml").write_text("comand = 1\n")
    for command in ("run", "plan"):
        result = run_gpurent(folder, command, "--json")
        error = json.loads(result.out)["error"]
        assert (result.code, error["code"], error["spent"]) == (2, "usage", None)
        assert "line 1" in error["message"]
        assert "command" in error["hint"]
    assert not (folder.parent / "state" / "journal.sqlite").exists()


# init


def test_init_from_options_and_from_what_the_folder_suggests(folder: Path) -> None:
    for name in ("train.py", "requirements.txt"):
        (folder / name).touch()
    (folder / "out").mkdir()
    result = run_gpurent(
        folder, "init", "-p", "mistgpu", "-p", "1024gpu", "--gpu", "2080Ti", "--gpu-memory", "11", "--for", "1d",
        "--budget", "20CNY", "--deadline", "20h", "--idle", "1h", "--notify", "failed", "--ignore",
    )  # fmt: skip
    assert result.code == 0, result.err
    found = tomllib.loads((folder / "gpurent.toml").read_text())
    assert found == {
        "command": ["python3", "train.py"],
        "results": ["out"],
        "provider": ["mistgpu", "1024gpu"],
        "for": "1d",
        "budget": "20CNY",
        "deadline": "20h",
        "gpu": "2080Ti",
        "gpu_memory": 11,
        "pip": "requirements.txt",
        "idle": "1h",
        "notify": ["failed"],
    }
    assert ".venv/" in (folder / ".gpurentignore").read_text()
    again = run_gpurent(folder, "init", "--json")
    assert again.code == 2
    assert "--force" in json.loads(again.out)["error"]["hint"]
    forced = run_gpurent(folder, "init", "--force", "--json", "--", "other.py", "--lr", "1")
    assert json.loads(forced.out)["data"]["files"] == [str(folder / "gpurent.toml")]
    assert read_spec(folder / "gpurent.toml").job.command == ("other.py", "--lr", "1")


def test_init_proposes_conda_where_nothing_else_is(folder: Path) -> None:
    (folder / "environment.yml").touch()
    assert run_gpurent(folder, "init", "--yes").code == 0
    assert read_spec(folder / "gpurent.toml").job.setup.conda == "environment.yml"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--for", "soon"), "expected a duration"),
        (("--budget", "20"), "an amount of money"),
        (("-p", "nimbus"), "nimbus"),
        (("--conda", "none.yml"), "none.yml does not exist"),
        (("--gpus", "0"), "a whole number from 1"),
    ],
)
def test_init_writes_no_file_that_run_would_refuse(
    folder: Path, options: tuple[str, ...], words: str
) -> None:
    result = run_gpurent(folder, "init", *options)
    assert result.code in (2, 3)
    assert words in result.err
    assert not (folder / "gpurent.toml").exists()


def answer_init(folder: Path, answers: bytes, *options: str) -> tuple[int, str]:
    """Run `gpurent init` at a terminal where ``answers`` are typed; return its exit code and what it printed."""
    main, second = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpurent.cli.main", "init", *options],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            "GPURENT_HOME": str(folder.parent / "state"),
        },
        stdin=second,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(second)
    os.write(main, answers)
    out, _none = process.communicate(timeout=60)
    os.close(main)
    return process.returncode, out.decode()


def test_init_asks_at_a_terminal(folder: Path) -> None:
    (folder / "train.py").touch()
    # Providers, GPU, command (as proposed), results, pip, budget, deadline, ignore file.
    answers = b"mistgpu, 1024gpu\n2080Ti\n\nout\n\n20CNY\n\ny\n"
    code, out = answer_init(folder, answers, "--for", "2h")
    assert code == 0, out
    found = read_spec(folder / "gpurent.toml")
    assert (found.providers, found.requirements.gpu) == (("mistgpu", "1024gpu"), "2080Ti")
    assert found.job.command == ("python3", "train.py")
    assert (found.results.paths, found.limits.term) == (("out",), timedelta(hours=2))
    assert (found.limits.deadline_in, found.limits.deadline_at) == (None, None)
    assert (folder / ".gpurentignore").exists()


def test_init_asks_again_for_what_cannot_be_used_and_takes_names_with_spaces(folder: Path) -> None:
    (folder / "my train.py").touch()
    lines = (
        "mistgpo",  # no such provider
        "mistgpu",
        "",  # any GPU
        "python3 'my train.py",  # an open quotation mark
        "python3 'my train.py'",
        "../out",  # outside the folder
        "'out of it' logs, 结果",
        "nosuch.txt",  # no such requirements file
        "",
        "soon",  # no duration
        "2h",
        "much",  # no amount
        "20CNY",
        "yesterday",  # no time
        "20h",
        "n",
    )
    code, out = answer_init(folder, "".join(f"{line}\n" for line in lines).encode())
    assert code == 0, out
    for told in ("Did you mean mistgpu?", "unclosed quotation mark", "not inside the folder", "nosuch.txt"):
        assert told in out
    for told in ("expected a duration", "expected an amount", "expected a time"):
        assert told in out
    found = read_spec(folder / "gpurent.toml")
    assert found.provider == "mistgpu"
    assert found.job.command == ("python3", "my train.py")
    assert found.results.paths == ("out of it", "logs", "结果")
    assert (found.limits.term, found.limits.deadline_in) == (timedelta(hours=2), timedelta(hours=20))


def test_the_schema_is_printed(folder: Path) -> None:
    assert json.loads(run_gpurent(folder, "schema").out)["title"] == "gpurent.toml"
    assert json.loads(run_gpurent(folder, "schema", "--json").out)["data"]["title"] == "gpurent.toml"


# a whole trip


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=120) as made:
        yield made


@pytest.mark.slow
async def test_init_then_run(sandbox: TripSandbox, tmp_path: Path) -> None:
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "10")
    work = tmp_path / "digits"
    work.mkdir()
    for name in ("train.py", "digits.csv.gz"):
        shutil.copy(DIGITS_EXAMPLE / name, work)
    (work / "notes.txt").write_text("stays here")
    made = await sandbox.run_command(
        "init", "-p", "mistgpu", "--results", "out", "--include", "train.py", "--include", "digits.csv.gz",
        "--setup", "echo ready > ready.txt; ls", "--deadline", "20h", "--after-job", "30m",
        "--", "train.py", "--epochs", "1", "--hidden", "8",
        folder=work,
    )  # fmt: skip
    assert made.code == 0, made.err
    plan = await sandbox.run_command("plan", folder=work)
    assert plan.code == 0, plan.err
    assert "upload train.py, digits.csv.gz from" in plan.out
    assert "set up the machine" in plan.out
    ran = await sandbox.run_command("-y", "run", "--keep", folder=work)
    assert ran.code == 0, ran.err
    assert "+ echo ready > ready.txt; ls" in ran.out
    assert "notes.txt" not in ran.out
    assert "the machine's timer shuts it down at" in ran.err
    assert str(work / "gpurent.toml") in ran.err
    assert json.loads((work / "out" / "metrics.json").read_text())["planned_epochs"] == 1
    lease = (await sandbox.run_command("ls", "--json")).data[0]["id"]
    assert (await sandbox.run_command("release", lease)).code == 0
    assert sandbox.cloud.burning() == []
