"""What a machine sends back runs by no other program's doing, and decides nothing about later uploads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gpurent.domain.name_policy import LocalNames, get_usual_rules
from gpurent.domain.transfer import PullRequest, PushRequest, SkipKind, TransferReport
from gpurent.domain.trip_values import make_trip_spec
from gpurent.errors import UsageError
from gpurent.infra.platform.posix import system
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import MachineFixture, machine_fixture
from gpurent.workflow.connection.left_out import archive_refused_files
from gpurent.workflow.connection.local_folder import check_results_folder
from gpurent.workflow.connection.local_names import LocalNamesMaker
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.transfer_ways import BACKENDS, list_files

PLANTED = (
    ".git/hooks/pre-commit", ".envrc", ".vscode/tasks.json", ".idea/workspace.xml", "sitecustomize.py",
    ".npmrc", ".pdbrc", ".gdbinit", "venv/lib/python3.11/site-packages/evil.pth",
    ".Rprofile", ".octaverc", "startup.m", ".cargo/config.toml", "jupyter_server_config.py", "rust-toolchain.toml",
    "AGENTS.md", "__pycache__/train.cpython-311.pyc", "latexmkrc", "run/HEAD",
)  # fmt: skip
HARMLESS = ("model.pth", "conftest.py", "train.sh", "config", "run/config", "run/hooks/x")
ORDER = "ssh/id_rsa"  # what an ignore file of the user's keeps here


@attack(
    Adversary.MACHINE_OWNER,
    "a downloaded folder plants hooks, .envrc, editor tasks, sitecustomize.py, *.pth of packages, executable",
    Outcome.KEPT_OUT,
    kind="S8",
)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
async def test_nothing_that_runs_by_itself_comes_home(tmp_path: Path, platform: str) -> None:
    home = tmp_path / "home"
    async with machine_fixture(tmp_path / "machine") as machine:
        for name in (*PLANTED, *HARMLESS):
            path = machine.home / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\nexit 1\n")
            path.chmod(0o777)
        connection = await machine.connect()
        names = LocalNames(rules=get_usual_rules(platform))
        pull = PullRequest(sources=("out",), target=home, names=names)
        report = await BACKENDS["turbo"]().pull(connection, pull, CountingProgress())
        report = await archive_refused_files(
            LOCAL_FILES, connection, pull, report, "origin", CountingProgress()
        )
    archived = {item.name for item in report.skipped if item.kind is SkipKind.ARCHIVED}
    assert archived == {f"out/{name}" for name in PLANTED}
    assert set(list_files(home)) == {"left-out.tar", *(f"out/{name}" for name in HARMLESS)}
    assert (home / "left-out.tar").stat().st_mode & 0o777 == 0o600


RUNS = """[core]
repositoryformatversion = 0
bare = false
worktree = .
fsmonitor = "touch PWNED; false"
"""


def make_repository(folder: Path, config: str = RUNS) -> None:
    for name in ("objects", "refs/heads", "hooks"):
        (folder / name).mkdir(parents=True)
        (folder / name / "about").touch()
    (folder / "HEAD").write_text("ref: refs/heads/master\n")
    (folder / "config").write_text(config)


async def pull_beneath(machine: MachineFixture, way: str, target: Path, *sources: str) -> TransferReport:
    maker = LocalNamesMaker(system, Path("/nowhere"))
    pull = PullRequest(sources=sources, target=target, names=maker.make_names(target))
    return await BACKENDS[way]().pull(await machine.connect(), pull, CountingProgress())


def runs_in(folder: Path) -> bool:
    """Return whether git runs what the folder's configuration names."""
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "status"], cwd=folder, capture_output=True, check=False)
    return any(folder.rglob("PWNED"))


def refused_names(report: TransferReport) -> set[str]:
    return {item.name for item in report.skipped if item.kind is SkipKind.NAME}


@attack(
    Adversary.MACHINE_OWNER,
    "a result folder of any name is a repository whose settings git runs at the next prompt; also in two downloads",
    Outcome.KEPT_OUT,
    kind="S8",
)
@pytest.mark.parametrize("way", BACKENDS)
async def test_no_downloaded_folder_is_a_repository(tmp_path: Path, way: str) -> None:
    missing = ("python3", "python") if way == "shell" else ()
    async with machine_fixture(tmp_path / "machine", missing=missing) as machine:
        make_repository(machine.home / "run-1")
        report = await pull_beneath(machine, way, tmp_path / "once", "run-1")
        assert refused_names(report) == {"run-1/HEAD"}
        assert (tmp_path / "once" / "run-1" / "config").read_text() == RUNS
        assert not runs_in(tmp_path / "once" / "run-1")
        for order in (("HEAD", "objects", "refs", "config"), ("config", "refs", "objects", "HEAD")):
            target = tmp_path / order[0]
            for name in order:
                await pull_beneath(machine, way, target, f"run-1/{name}")
            assert not runs_in(target)
        assert runs_in(machine.home / "run-1"), "the folder as it is on the machine"


@attack(
    Adversary.MACHINE_OWNER,
    "new configuration and hooks for a repository without .git that is here",
    Outcome.KEPT_OUT,
    kind="S8",
)
@pytest.mark.parametrize("way", BACKENDS)
async def test_a_repository_of_the_user_gets_no_configuration(tmp_path: Path, way: str) -> None:
    missing = ("python3", "python") if way == "shell" else ()
    own = tmp_path / "home" / "own.git"
    make_repository(own, "[core]\nbare = true\n")
    async with machine_fixture(tmp_path / "machine", missing=missing) as machine:
        make_repository(machine.home / "own.git")
        (machine.home / "own.git" / "hooks" / "post-index-change").write_text("touch PWNED")
        report = await pull_beneath(machine, way, tmp_path / "home", "own.git")
    kept = {"HEAD", "config", "hooks/about", "hooks/post-index-change"}
    assert refused_names(report) == {f"own.git/{name}" for name in kept}
    assert not runs_in(own)


@attack(
    Adversary.MACHINE_OWNER,
    "an ignore file that comes with the results lets the next upload send what it kept back",
    Outcome.KEPT_OUT,
    kind="S8",
)
@pytest.mark.parametrize("way", ["turbo", "sftp"])
async def test_a_machine_does_not_decide_what_is_uploaded(tmp_path: Path, way: str) -> None:
    project = tmp_path / "project"
    (project / "ssh").mkdir(parents=True)
    (project / ORDER).write_text("secret")
    (project / ".gitignore").write_text("ssh/\n")
    (project / "train.py").write_text("pass")
    async with machine_fixture(tmp_path / "machine") as machine:
        connection = await machine.connect()
        for folder, text in (("", "# nothing\n"), ("ssh/", "!*\n")):
            (machine.home / "work" / folder).mkdir(parents=True, exist_ok=True)
            for name in (".gitignore", ".gpurentignore"):
                (machine.home / "work" / folder / name).write_text(text)
        sources = ("work/.gitignore", "work/.gpurentignore", "work/ssh")
        pull = PullRequest(sources=sources, target=project)
        await BACKENDS[way]().pull(connection, pull, CountingProgress())
        push = PushRequest(sources=(project,), target="next", contents_only=True)
        await BACKENDS[way]().push(connection, push, CountingProgress())
        assert not (machine.home / "next" / ORDER).exists()
        assert (machine.home / "next" / "train.py").exists()
    assert (project / ".gitignore").read_text() == "ssh/\n"
    assert (project / ".gitignore.from-machine").read_text() == "# nothing\n"


@attack(
    Adversary.MACHINE_OWNER,
    "results go into the home folder itself, where settings of shells and sessions lie",
    Outcome.REFUSED,
    kind="S8",
)
def test_the_home_folder_is_no_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link"):
        spec = make_trip_spec({"folder": "/nowhere", "results_dir": str(folder)})
        with pytest.raises(UsageError, match="it is your home folder"):
            check_results_folder(spec)
    (tmp_path / "results").mkdir()
    check_results_folder(make_trip_spec({"folder": "/nowhere", "results_dir": str(tmp_path / "results")}))
