"""Which names from a machine are used here depends on what they do, and on the folder that they come to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gpurent.domain.auto_run_names import AUTO_RUN_NAMES, AUTO_RUN_ROWS
from gpurent.domain.filenames import NameProblem
from gpurent.domain.name_policy import (
    FileSystemRules,
    LocalNames,
    find_auto_run_name,
    get_usual_rules,
)

WINDOWS, MAC, LINUX = (get_usual_rules(platform) for platform in ("win32", "darwin", "linux"))


def find(path: str, rules: FileSystemRules = FileSystemRules(), **more: object) -> NameProblem | None:  # noqa: B008
    return LocalNames(rules=rules, **more).find_problem(path.split("/"), 255)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(AUTO_RUN_NAMES))
def test_what_runs_by_itself_is_refused_everywhere(name: str) -> None:
    for path in (name, name.upper(), f"out/{name}", f"out/{name}/below", f"{name.title()}/a/b"):
        assert find(path) is NameProblem.AUTO_RUN, path


def test_each_name_has_one_row_and_its_reason() -> None:
    names = [name.casefold() for row in AUTO_RUN_ROWS for name in row.names.split()]
    assert len(names) == len(set(names)) == len(AUTO_RUN_NAMES)
    assert all(row.reason for row in AUTO_RUN_ROWS)


@pytest.mark.parametrize("rules", [WINDOWS, MAC, LINUX], ids=["win32", "darwin", "linux"])
def test_no_folder_becomes_a_repository_of_git(rules: FileSystemRules) -> None:
    """git takes any folder with a file HEAD for one, and runs what its configuration names."""
    names = LocalNames(rules=rules)
    assert names.find_problem(("out", "HEAD"), 255) is NameProblem.AUTO_RUN
    assert names.below("out").find_problem(("HEAD",), 255) is NameProblem.AUTO_RUN
    assert (names.find_problem(("out", "Head"), 255) is NameProblem.AUTO_RUN) == rules.ignores_case
    assert names.find_problem(("a", "head"), 255, is_folder=True) is None
    assert names.below("model/head").find_problem((), 255) is None


@pytest.mark.parametrize("rules", [WINDOWS, MAC, LINUX], ids=["win32", "darwin", "linux"])
def test_what_git_obeys_in_a_repository_that_is_here(rules: FileSystemRules) -> None:
    names = LocalNames(rules=rules, is_repository=lambda path: path == ("a", "own.git"))
    for name in ("config", "CONFIG.worktree", "commondir"):
        assert names.find_problem(("a", "own.git", name), 255) is NameProblem.AUTO_RUN
        assert names.find_problem(("a", name), 255) is None
    assert names.below("a").find_problem(("own.git", "hooks", "x"), 255) is NameProblem.AUTO_RUN
    assert names.below("a/own.git/hooks").find_problem((), 255) is NameProblem.AUTO_RUN
    assert names.find_problem(("a", "own.git", "description"), 255) is None


@pytest.mark.parametrize(
    "path",
    [
        "model.pth",
        "conftest.py",
        ".gitignore",
        ".gitattributes",
        ".env",
        "config",
        "config.json",
        "run-1/config",
        "data.git/hooks",
        "refs/heads/main",
        "head",
        "HEAD/weights.bin",
        "settings.json",
        "git",
        "a.git",
        ".bashrc",
        ".config/x",
        "con",
        "a:b",
        "a.lnk",
        "trailing. ",
        "git~1",
        "bin/x",
        "A",
    ],
)
def test_what_runs_only_when_it_is_told_to_is_not(path: str) -> None:
    assert find(path) is None


@pytest.mark.parametrize(
    "name",
    ["a:b", "a\\b", "..\\..\\up", 'a"', "a<", "a>", "a|b", "a?", "a*", "a.", "a ", "...", "CON", "con.txt",
     "Aux .tar.gz", "nul", "COM1", "lpt9.log", "com\u00b9", "CONIN$"],
)  # fmt: skip
def test_names_that_windows_reserves(name: str) -> None:
    assert find(f"out/{name}", WINDOWS) is NameProblem.RESERVED
    assert find(f"out/{name}") is None


@pytest.mark.parametrize(
    "name",
    [
        *("a.lnk", "B.SCF", "c.url", "d.library-ms"),
        *("git~1", "GIT~1", "SSH~1", "VSCODE~1", "ENVRC~2", "SITECU~1.PY", "AUTORU~1.INF"),
    ],
)
def test_names_that_run_by_themselves_on_windows(name: str) -> None:
    assert find(f"out/{name}", WINDOWS) is NameProblem.AUTO_RUN


@pytest.mark.parametrize("name", ["MODEL~1.PTH", "GI7EB4~1", "a~12", "RESULT~1.TXT"])
def test_a_name_that_may_be_the_short_one_of_another_file_on_windows(name: str) -> None:
    """It would replace what has that name as its second one, whatever it is called."""
    assert find(name, WINDOWS) is NameProblem.RESERVED
    assert find(name, MAC) is find(name, LINUX) is None


@pytest.mark.parametrize("rules", [WINDOWS, MAC, LINUX], ids=["win32", "darwin", "linux"])
@pytest.mark.parametrize(
    "path",
    ["model.pth", "out/checkpoint-500.pth", "lib/model.PTH", "conftest.py", "Makefile", "run.sh", "setup.py"],
)
def test_checkpoints_and_sources_come_home_everywhere(path: str, rules: FileSystemRules) -> None:
    assert find(path, rules) is None
    assert not find_auto_run_name(path)


@pytest.mark.parametrize("rules", [WINDOWS, MAC, LINUX], ids=["win32", "darwin", "linux"])
@pytest.mark.parametrize("path", [".venv/lib/python3.11/site-packages/a.pth", "usr/Dist-Packages/b.pth"])
def test_pth_files_that_python_runs_do_not(path: str, rules: FileSystemRules) -> None:
    assert find(path, rules) is NameProblem.AUTO_RUN


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        (".GIT", MAC), (".Git", LINUX), (".\u017fsh", MAC), (".ENVRC", WINDOWS), ("\u212aa", MAC),
        (".git.", WINDOWS), (".git ", WINDOWS), (".git::$INDEX_ALLOCATION", WINDOWS), (".g\u200cit", MAC),
    ],
)  # fmt: skip
def test_no_other_spelling_of_such_a_name_is_taken(name: str, rules: FileSystemRules) -> None:
    """The Kelvin sign alone is harmless: it only equals a letter."""
    assert (find(name, rules) is None) == (name == "\u212aa")


@pytest.mark.parametrize("name", ["console", "com", "com10", "lpt", "a.con", "nul1", ".a", "a b.c", "déjà"])
def test_names_that_windows_does_not_reserve(name: str) -> None:
    assert find(name, WINDOWS) is None


@pytest.mark.parametrize(
    ("first", "second", "rules"),
    [
        ("cs/Case", "cs/case", WINDOWS),
        ("Cs/a", "cs/a", WINDOWS),
        ("Cs/a", "cs/b", WINDOWS),
        ("straße", "STRASSE", WINDOWS),
        ("caf\u00e9", "cafe\u0301", MAC),
        ("CAF\u00c9", "cafe\u0301", MAC),
        ("a/b/C/d", "a/b/c/d", MAC),
    ],
)
def test_the_second_of_two_names_that_are_one_here(first: str, second: str, rules: FileSystemRules) -> None:
    names = LocalNames(rules=rules)
    for _again in range(2):
        assert names.find_problem(first.split("/"), 255) is None
        assert names.find_problem(second.split("/"), 255) is NameProblem.SAME_NAME
    other = LocalNames()
    assert other.find_problem(first.split("/"), 255) is other.find_problem(second.split("/"), 255) is None


def test_two_requests_into_one_folder_share_their_names() -> None:
    names = LocalNames(rules=MAC)
    assert names.below("Out").find_problem(("a",), 255) is None
    assert names.below("out/").find_problem(("b",), 255) is NameProblem.SAME_NAME
    assert names.below("").find_problem(("Out", "A"), 255) is NameProblem.SAME_NAME
    assert names.below(".git/hooks").find_problem((), 255) is NameProblem.AUTO_RUN
    assert names.below("sub").below(".vscode").find_problem(("x",), 255) is NameProblem.AUTO_RUN


def test_memory_does_not_grow_with_the_folders_of_a_download() -> None:
    names = LocalNames(rules=MAC)
    for number in range(100):
        assert names.find_problem(("out", f"run{number}", "data", "file"), 255) is None
    assert sorted(names._folders) == [("out",), ("out", "run99"), ("out", "run99", "data")]


def test_settings_in_the_home_folder_itself() -> None:
    above, inside = ("home", "anna"), ()
    assert find(".ssh/authorized_keys", home=inside) is NameProblem.AUTO_RUN
    for name in (".bashrc", ".netrc", ".config/autostart/x.desktop", "bin/ls", "Library/x"):
        assert find(name, home=inside) is NameProblem.AUTO_RUN, name
        assert find(f"home/anna/{name}", home=above) is NameProblem.AUTO_RUN, name
        assert find(name, home=above) is None, name
        assert find(f"project/{name}", home=inside) is None, name
    assert find("results/a.txt", home=inside) is None


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4), st.sampled_from([WINDOWS, MAC]))
def test_no_two_accepted_paths_are_one_file_here(parts: list[str], rules: FileSystemRules) -> None:
    names = LocalNames(rules=rules)
    spellings = [parts, [part.upper() for part in parts], [part.swapcase() for part in parts]]
    accepted = {tuple(it) for it in spellings if names.find_problem(it, 255) is None}
    assert len(accepted) <= 1


def test_the_documentation_lists_every_name_with_its_reason() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text().splitlines()
    for row in AUTO_RUN_ROWS:
        assert f"| {', '.join(f'`{name}`' for name in row.names.split())} | {row.reason} |" in lines
