"""What a job left on its machine is found as it is, and an answer that is not whole counts for nothing."""

from __future__ import annotations

import os
import time
from base64 import b64encode
from pathlib import Path

import pytest

from gpurent.remote.results_probe import (
    MAX_LISTING_BYTES,
    FoundResults,
    JobChanges,
    NamedPath,
    PathKind,
    find_results_command,
    parse_results,
)
from tests.remote.local_shell import run_here

LONG_AGO = 10**9
MISSING = NamedPath(kind=PathKind.MISSING)
PLAIN = NamedPath(kind=PathKind.PLAIN)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A job's folder ``my work`` with results, links and what no result is."""
    folder = tmp_path / "my work"
    for name in ("out/a.pt", "out/b\nc", "-n", ".gpurent-part/x", ".git/config", "__pycache__/m.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    (folder / "linked").symlink_to("out")
    (folder / "file-link").symlink_to("out/a.pt")
    (folder / "to-nothing").symlink_to("gone")
    return tmp_path


def find(home: Path, paths: list[str], bases: list[str], since: str = "") -> FoundResults | None:
    command = find_results_command("my work", since or "nowhere", paths, bases, with_changes=bool(since))
    output = run_here(command, home)
    return parse_results(output, len(paths), len(bases))


def test_named_results(home: Path) -> None:
    found = find(home, ["out", "-n", "gone", "linked", "file-link", "to-nothing", "out/b\nc"], [])
    target = str((home / "my work" / "out" / "a.pt").resolve())
    assert found == FoundResults(
        paths=(
            PLAIN,
            PLAIN,
            MISSING,
            NamedPath(kind=PathKind.LINKED_FOLDER),
            NamedPath(kind=PathKind.LINKED_FILE, target=target),
            MISSING,
            PLAIN,
        ),
        listings=(),
        changes=None,
    )


def test_names_that_patterns_are_matched_with(home: Path) -> None:
    found = find(home, ["out"], ["out", ".", "gone", "linked", "-n"])
    assert found is not None
    assert found.paths == (PLAIN,)
    out, everything, gone, linked, dash = found.listings
    assert out is not None
    assert everything is not None
    assert linked is not None
    assert sorted(out) == [b"out", b"out/a.pt", b"out/b\nc"]
    assert {b"-n", b"linked", b"file-link", b".git/config", *out} <= set(everything)
    assert b".gpurent-part/x" not in everything, "a part of a download"
    assert gone == ()
    assert dash == (b"-n",)
    assert sorted(linked) == [b"linked", b"linked/a.pt", b"linked/b\nc"]


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert find(tmp_path, ["out", "log"], ["out"]) == FoundResults(
        paths=(MISSING, MISSING), listings=((),), changes=None
    )


def test_what_changed_since_the_job_was_launched(home: Path) -> None:
    make_room(home)
    found = find(home, [], [], "room")
    assert found is not None
    assert found.changes is not None
    assert sorted(found.changes.files) == [b"-n", b"out/a.pt", b"out/b\nc"]
    assert sorted(found.changes.links) == [b"file-link", b"linked", b"to-nothing"]
    assert found.changes == JobChanges(
        files=found.changes.files, links=found.changes.links, mixed=(), size=15, truncated=False
    )
    assert find(home, [], [], "no such file") == FoundResults(paths=(), listings=(), changes=None)


def make_room(home: Path, *earlier: str) -> None:
    """Let a job begin long ago, before which the paths and patterns ``earlier`` were there."""
    (home / "room").mkdir()
    (home / "room" / "run.sh").touch()
    os.utime(home / "room" / "run.sh", (LONG_AGO, LONG_AGO))
    if earlier:
        (home / "room" / "earlier").write_text("".join(f"./{name}\n" for name in earlier))


def set_start(home: Path) -> None:
    """Let the job begin after everything that is there; it then changes one file."""
    later = time.time() + 3600
    os.utime(home / "room" / "run.sh", (later, later))


def test_what_is_from_before_the_job_counts_only_if_it_changes(home: Path) -> None:
    make_room(home, "out", "linked", "out/*.pt", "-n")
    names = ["out", "linked", "-n", "out/a.pt", "out/*.pt", "gone/*.pt"]
    found = find(home, names, ["out"], "room")
    assert found is not None
    assert [path.kind.value for path in found.paths[:4]] == ["plain", "linked-folder", "plain", "plain"]
    assert [path.is_earlier for path in found.paths] == [False, False, False, False, True, False]
    assert found.newer[0] is not None
    assert b"out/a.pt" in found.newer[0]
    set_start(home)
    found = find(home, names, ["out"], "room")
    assert found is not None
    kinds = [path.kind.value for path in found.paths]
    assert kinds == ["unchanged", "unchanged", "unchanged", "plain", "missing", "missing"]
    assert found.newer == ((),)
    assert found.listings[0] is not None
    assert b"out/a.pt" in found.listings[0]


def pack(*names: bytes) -> str:
    return b64encode(b"".join(name + b"\0" for name in names)).decode() + "."


def answer(*lines: str) -> str:
    return "".join(f"gpurent-results {line}\n" for line in lines)


def test_an_answer_is_read_by_its_numbers() -> None:
    output = "Welcome\n" + answer(
        "list 1 " + pack(b"./b", b"c"),
        "here",
        f"path 1 linked-file {b64encode(b'/data/' + '模型'.encode() + b'xx').decode()}.",
        "path 0 plain .",
        "list 0 " + pack(),
    )
    assert parse_results(output, 2, 3) == FoundResults(
        paths=(PLAIN, NamedPath(kind=PathKind.LINKED_FILE, target="/data/模型xx")),
        listings=((), (b"b", b"c"), None),
        changes=None,
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("path 0 plain .",),
        ("here",),
        ("here", "path 1 plain ."),
        ("here", "path 0 odd ."),
        ("here", "path 0 plain"),
        ("here", "path 0 plain . ."),
        ("here", "path x plain ."),
        ("here", "path \u0660 plain ."),
        ("here", f"path {'0' * 7} plain ."),
        ("here", "Path 0 plain ."),
        ("HERE", "path 0 plain ."),
    ],
)
def test_an_answer_that_lacks_a_path_is_none(lines: tuple[str, ...]) -> None:
    assert parse_results(answer(*lines), 1, 0) is None


def test_the_target_of_a_link_may_be_any_bytes() -> None:
    for target, text in ((b"/a\xff\n", "/a\ufffd"), (b" /a \n", " /a "), (b"/a/X", "/a/X"), (b"", "")):
        output = answer("here", f"path 0 linked-file {b64encode(target).decode()}.")
        found = parse_results(output, 1, 0)
        assert found is not None
        assert found.paths == (NamedPath(kind=PathKind.LINKED_FILE, target=text),)


@pytest.mark.parametrize(
    "names",
    ["", b64encode(b"a\0").decode(), "YQ?BiAA==.", "YQ.", b64encode(b"x" * MAX_LISTING_BYTES).decode() + "."],
)
def test_a_listing_that_is_cut_is_none(names: str) -> None:
    found = parse_results(answer("here", f"list 0 {names}"), 0, 1)
    assert found == FoundResults(paths=(), listings=(None,), changes=None)


def test_a_listing_may_be_as_long_as_allowed() -> None:
    name = b"x" * (MAX_LISTING_BYTES - 1)
    found = parse_results(answer("here", f"list 0 {b64encode(name).decode()}."), 0, 1)
    assert found is not None
    assert found.listings == ((name,),)
    for number in ("x", "", "0" * 7, "\u0660"):
        assert parse_results(answer("here", f"list {number} {pack(b'a')}"), 0, 1) == FoundResults(
            paths=(), listings=(None,), changes=None
        )


CHANGES = {
    "changed": pack(b"./out/a", b"./b"),
    "links": pack(b"./l"),
    "mixed": pack(b"."),
    "size": "123.",
}


def parse_changes(**parts: str) -> JobChanges | None:
    lines = [f"{word} {rest}" for word, rest in ({**CHANGES, **parts}).items() if rest]
    found = parse_results(answer("here", *lines), 0, 0)
    assert found is not None
    return found.changes


def test_changes() -> None:
    changes = JobChanges(files=(b"out/a", b"b"), links=(b"l",), mixed=(b".",), size=123, truncated=False)
    assert parse_changes() == changes
    for size in ("", "123", "-1.", "1.5.", "x.", "\u0661.", "9" * 19 + "."):
        assert parse_changes(size=size) is None, "without a size, nothing is known"


@pytest.mark.parametrize("cut", ["", "YQ", "Y."])
def test_changes_that_are_cut_say_so(cut: str) -> None:
    whole = {"links": (b"l",), "size": 123, "truncated": True}
    assert parse_changes(changed=cut) == JobChanges(files=(), mixed=(b".",), **whole)  # type: ignore[arg-type]
    assert parse_changes(mixed=cut) == JobChanges(files=(b"out/a", b"b"), mixed=(), **whole)  # type: ignore[arg-type]
    assert parse_changes(links=cut) == JobChanges(
        files=(b"out/a", b"b"), links=(), mixed=(b".",), size=123, truncated=False
    )
