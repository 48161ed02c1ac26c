"""An upload takes along what git would: judged by git itself over generated trees, with both scanners."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from gpurent.api import PushRequest, SourceFiles
from gpurent.domain.ignore_patterns import IgnorePatterns
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.local_files import LOCAL_FILES
from gpurent_plugin_sftp.scan import scan_sources
from gpurent_plugin_turbo.near.push.scan import SourceScan

Tree = dict[str, bytes]
FILES = st.sampled_from((".gitignore", "a/.gitignore", "a/b/.gitignore", ".git/info/exclude"))
NAMES = st.sampled_from(
    (
        "a",
        "b",
        "ab",
        "a.py",
        "b.txt",
        "a b ",
        "[x]",
        "x",
        "!a",
        "#b",
        "a*",
        "\\a",
        "é",
        "a-c",
        "A",
        "z]",
        "foobar",
    )
)
PIECES = st.sampled_from(
    (
        *(
            "a",
            "b",
            "ab",
            ".py",
            "*",
            "**",
            "?",
            "/",
            "/",
            "**/",
            "/**",
            "[ab]",
            "[!a]",
            "[^b]",
            "[a-c]",
            "[]z]",
        ),
        *(
            "[[:alpha:]]",
            "[[:wrong:]]",
            "[a",
            "\\",
            "\\a",
            "\\*",
            "\\ ",
            " ",
            "#",
            "!",
            "é",
            "foo**/bar",
            "*a*b*",
        ),
        *("[\\]z]", "[a-]", "[[:", "**\\/", "x", "\t"),
    )
)
LINES = st.one_of(
    st.sampled_from(
        ("*", "!*/", "!*.py", "/*", "!/a/", "a/**", "!a/b/", "**/b", "*/", "/", "!", "", "# note")
    ),
    st.lists(PIECES, min_size=1, max_size=5).map("".join),
    st.lists(PIECES, min_size=1, max_size=4).map(lambda parts: "!" + "".join(parts)),
)


@st.composite
def ignore_files(draw: st.DrawFn) -> Tree:
    """Return the contents of ignore files, with the odd ends of lines and beginnings that editors write."""
    found: Tree = {}
    for name in draw(st.lists(FILES, min_size=1, max_size=3, unique=True)):
        end = draw(st.sampled_from(("\n", "\r\n")))
        text = end.join(draw(st.lists(LINES, min_size=1, max_size=6))) + draw(st.sampled_from(("", end)))
        found[name] = draw(st.sampled_from((b"", b"\xef\xbb\xbf"))) + text.encode()
    return found


PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12)


def write_tree(top: Path, ignored: Tree, paths: Sequence[str]) -> None:
    for path in paths:
        file = top / path
        if any(folder.is_file() for folder in file.parents if folder != top) or file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    for name, data in ignored.items():
        file = top / name
        if not any(folder.is_file() for folder in file.parents if folder != top) and not file.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def list_by_git(top: Path) -> set[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(top), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=top,
        env=environment,
        capture_output=True,
        check=True,
    )
    return set(done.stdout.split(b"\0")) - {b""}


def list_by_turbo(top: Path) -> Iterator[bytes]:
    request = PushRequest(sources=(top,), target="w", contents_only=True)
    with closing(SourceFiles(LOCAL_FILES, request)) as sources:
        for entry in SourceScan(request, sources).iter_entries():
            if not entry.file.read_status().st_mode & 0o040000:
                yield entry.name


def list_by_sftp(top: Path) -> Iterator[bytes]:
    request = PushRequest(sources=(top,), target="w", contents_only=True)
    with closing(SourceFiles(LOCAL_FILES, request)) as sources:
        for item in scan_sources(request, sources).items:
            if item.kind == "file":
                yield os.fsencode(item.name)


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("git")
    subprocess.run(
        ["git", "init", "-q", str(top)], check=True, env={"PATH": os.environ["PATH"], "HOME": str(top)}
    )
    shutil.rmtree(top / ".git" / "hooks", ignore_errors=True)
    return top


def check_tree(empty_repository: Path, ignored: Tree, paths: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="gpr-ignore-") as folder:
        top = Path(folder).resolve() / "work"
        shutil.copytree(empty_repository, top)
        write_tree(top, ignored, paths)
        wanted = list_by_git(top)
        assert set(list_by_turbo(top)) == wanted
        assert set(list_by_sftp(top)) == wanted


@given(ignored=ignore_files(), paths=PATHS)
@settings(max_examples=25, deadline=None)
@example(ignored={".gitignore": b"*\n!*/\n!*.py\n"}, paths=["a/b/a.py", "a/b.txt", "a.py"])
@example(ignored={".gitignore": b"\xef\xbb\xbf*.txt\r\n"}, paths=["a/b.txt", "b.txt", "a.py"])
@example(ignored={".git/info/exclude": b"b.txt\n", "a/.gitignore": b"!b.txt\n"}, paths=["a/b.txt", "b.txt"])
@example(ignored={".gitignore": b"foo**/bar\na*b\\ \n"}, paths=["foobar", "a/b.txt", "ab "])
def test_the_same_files_as_git(empty_repository: Path, ignored: Tree, paths: list[str]) -> None:
    check_tree(empty_repository, ignored, paths)


@pytest.mark.nightly
@given(ignored=ignore_files(), paths=PATHS)
@settings(max_examples=1000, deadline=None)
def test_the_same_files_as_git_all_night(empty_repository: Path, ignored: Tree, paths: list[str]) -> None:
    check_tree(empty_repository, ignored, paths)


HOSTILE_PATTERNS = (
    (b"*a" * 60 + b"b", b"a" * 255),
    (b"/" + b"**/*a*a*/" * 20 + b"b", b"/".join([b"a" * 30] * 60)),
    (b"a/" + b"**\\/*a" * 20 + b"b", b"/".join([b"a" * 30] * 60)),
    (b"*[a-z]" * 60 + b"0", b"a" * 255),
)


def test_no_pattern_takes_for_ever() -> None:
    """In a process of its own: nothing can interrupt a regular expression."""
    script = (
        "from gpurent.domain.ignore_patterns import IgnorePatterns\n"
        f"for pattern, name in {HOSTILE_PATTERNS!r}:\n"
        "    assert IgnorePatterns.parse(pattern).find_verdict(name, is_folder=False) is None\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20 * load_factor())


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_bytes_can_be_parsed_and_matched(data: bytes, name: bytes) -> None:
    patterns = IgnorePatterns.parse(data)
    assert patterns.find_verdict(name, is_folder=True) in (True, False, None)
