"""Where the paths of a project file may lead: beneath its folder, and to nothing that runs by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.auto_run_names import AUTO_RUN_NAMES
from gpurent.domain.field_kinds import FieldKind
from gpurent.domain.name_policy import find_auto_run_name
from gpurent.domain.trip_fields import PROJECT_FILE, TRIP_FIELDS
from gpurent.errors import UsageError
from gpurent.infra.config.project_file import read_project_file
from tests.security.attacks import Adversary, Outcome, attack

NOWHERE = Path("/nowhere")
_LISTS = (FieldKind.PATH_LIST, FieldKind.PATTERN_LIST)
PATH_FIELDS = [
    field
    for field in TRIP_FIELDS
    if field.kind in (FieldKind.PATH, FieldKind.FILE, FieldKind.PACKAGES, *_LISTS)
]


def read(folder: Path, text: str, home: Path = NOWHERE) -> None:
    (folder / PROJECT_FILE).write_text(text)
    read_project_file(folder / PROJECT_FILE, datetime.now(UTC), home)


def refuse(folder: Path, name: str, path: str, home: Path = NOWHERE) -> str:
    field = next(field for field in TRIP_FIELDS if field.name == name)
    value = f"['{path}']" if field.kind in _LISTS else f"'{path}'"
    with pytest.raises(UsageError) as caught:
        read(folder, f"{name} = {value}\n", home)
    return caught.value.message


@attack(
    Adversary.REPOSITORY,
    "results are downloaded into .git, where a hook runs at the next commit",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize(
    "text",
    [
        'results_dir = ".git"\nresults = ["hooks"]',
        'results = [".git/hooks/pre-commit"]',
        'results_dir = "sub/.git/hooks"',
        'folder = ".git"',
    ],
)
def test_results_do_not_become_hooks(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"other programs run \.git by themselves"):
        read(tmp_path, f"{text}\n")


@attack(
    Adversary.REPOSITORY,
    "any path of the file is, or lies below, a name that something runs by itself",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize("name", [field.name for field in PATH_FIELDS])
def test_no_path_of_the_file_runs_by_itself(tmp_path: Path, name: str) -> None:
    for path in (".vscode/tasks.json", "a/.envrc", ".husky/pre-commit", "b/sitecustomize.py", ".ssh"):
        assert "by themselves" in refuse(tmp_path, name, path)


@attack(
    Adversary.REPOSITORY,
    "such a name is spelled as another file system reads it: case, dots, streams, short names, patterns",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize(
    "path",
    [
        ".GIT/hooks", ".Git/hooks", "a/.git./hooks", ".git /hooks", ".git::$INDEX_ALLOCATION/hooks", "GIT~1/hooks",
        "a\\.git\\hooks", ".g*/hooks", ".gi?/hooks", "./.git/hooks", "a//.git", ".vscod*/x",
    ],
)  # fmt: skip
def test_no_spelling_of_such_a_name_is_taken(tmp_path: Path, path: str) -> None:
    assert "by themselves" in refuse(tmp_path, "results", path)


def test_every_name_of_the_list_is_known_in_every_place() -> None:
    for name in AUTO_RUN_NAMES:
        for path in (name, name.upper(), f"a/{name}/b", f"a\\{name}", f"{name}.", f"{name}:x"):
            assert find_auto_run_name(path) == name.casefold(), path


@attack(
    Adversary.REPOSITORY,
    "a path leads out of the project's folder, also as Windows reads it",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize(
    "path", ["../up", "a/../../up", "/etc", "..\\up", "a\\..\\..\\up", "\\\\server\\share", "C:\\x", "c:x"]
)
@pytest.mark.parametrize("name", [field.name for field in PATH_FIELDS])
def test_no_path_leaves_the_folder(tmp_path: Path, name: str, path: str) -> None:
    assert "is not inside the folder" in refuse(tmp_path, name, path)


@attack(
    Adversary.REPOSITORY,
    "a project file that was unpacked in, or above, the home folder names the settings of shells",
    Outcome.REFUSED,
    kind="S1",
)
def test_settings_in_the_home_folder_are_no_paths_of_a_project(tmp_path: Path) -> None:
    for path in (".bashrc", ".config/autostart", "bin", ".local/bin", ".b*"):
        assert "by themselves" in refuse(tmp_path, "results", path, home=tmp_path)
        assert "by themselves" in refuse(tmp_path, "results", f"anna/{path}", home=tmp_path / "anna")


def test_ordinary_paths_are_taken(tmp_path: Path) -> None:
    read(
        tmp_path,
        'results = ["out", "logs/*.txt", "**/*.pt", "model.pth", ".hydra", "runs/2026-01-01T10:00", "a.git"]\n'
        'results_dir = ".results/today"\ninclude = ["train.py", ".env.example", ".streamlit"]\n',
    )
