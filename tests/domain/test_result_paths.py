"""Paths and patterns of results."""

from __future__ import annotations

import pytest

from gpurent.domain.result_paths import (
    check_pattern,
    collapse_folders,
    compile_pattern,
    drop_nested,
    get_pattern_base,
    group_by_folder,
)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("out/*.pt", ["out/a.pt", "out/.pt"], ["out/a.txt", "out/b/a.pt", "xout/a.pt"]),
        ("out/**/*.pt", ["out/a.pt", "out/b/c/a.pt"], ["a.pt", "out/a.pt.new", "outb/a.pt"]),
        ("**", ["a", "b/c"], []),
        ("out/**", ["out/a", "out/b/c"], ["out", "b/out/a"]),
        ("run?", ["run1", "run\n"], ["run", "run12", "run/"]),
        ("a[1].*", ["a[1].x"], ["a1.x"]),
    ],
)
def test_what_patterns_match(pattern: str, yes: list[str], no: list[str]) -> None:
    found = compile_pattern(pattern)
    assert [name for name in (*yes, *no) if found.fullmatch(name.encode())] == yes
    check_pattern(pattern)


def test_a_pattern_matches_names_that_are_not_text() -> None:
    assert compile_pattern("out/*").fullmatch(b"out/\xff\xfe")


@pytest.mark.parametrize("pattern", ["a**", "out/**.pt", "***"])
def test_invalid_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="alone"):
        check_pattern(pattern)


def test_where_a_pattern_begins_to_search() -> None:
    assert [get_pattern_base(it) for it in ("*", "out/*", "a/b/**/c", "a/b?/c")] == [".", "out", "a/b", "a"]


def test_only_new_folders_stand_for_their_files() -> None:
    files = ["out/a", "out/b/c", "data/new", "log"]
    assert collapse_folders(files, [".", "data"]) == ("out", "data/new", "log")
    assert collapse_folders(files, [".", "out/b"]) == ("out/a", "out/b/c", "data", "log")


def test_each_result_keeps_its_place() -> None:
    groups = group_by_folder(("a/b/", "c", "a/d"))
    assert [(group.folder, group.names) for group in groups] == [("", ("c",)), ("a", ("b/", "d"))]
    (group,) = group_by_folder(("runs/X/", "runs/lastX/"))
    assert (group.folder, group.names) == ("runs", ("X/", "lastX/"))
    assert drop_nested(("a", "a/b", "ab", "a")) == ("a", "ab")
