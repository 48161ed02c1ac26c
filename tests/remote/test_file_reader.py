"""Files come from a machine exactly as they are, or not at all."""

from __future__ import annotations

import gzip
import os
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from gpurent.remote.file_reader import (
    RemoteDigest,
    parse_digest,
    parse_files,
    parse_piece,
    read_digest_command,
    read_files_command,
    read_piece_command,
)
from tests.remote.local_shell import run_here

DATA = bytes(range(256)) * 5
NAMES = [b"plain", b"-n", b"a b/c'd", b"x\\0n%s", b"line\n", b"\xff\xfe", "模型".encode(), b"*", b"$HOME"]
SHA = sha256(DATA).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in NAMES:
        path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - names that are not text
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        Path(os.fsdecode(path)).write_bytes(DATA)
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_whatever_its_name(home: Path, name: bytes) -> None:
    assert parse_piece(run_here(read_piece_command(name, 0, 2000), home), 2000) == DATA
    assert parse_digest(run_here(read_digest_command(name), home)) == RemoteDigest(size=len(DATA), sha256=SHA)
    absolute = os.fsencode(home) + b"/" + name
    assert parse_piece(run_here(read_piece_command(absolute, 0, 2000), home), 2000) == DATA


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (1, 1), (7, 100), (1279, 5), (1280, 5)])
def test_a_piece_of_a_file(home: Path, offset: int, size: int) -> None:
    output = run_here(read_piece_command(b"plain", offset, size), home)
    assert parse_piece(output, size) == DATA[offset : offset + size]


def test_many_files_are_read_at_once(home: Path) -> None:
    (home / "empty").touch()
    files = [*((name, len(DATA)) for name in NAMES), (b"empty", 0), (b"gone", 5), (b"plain", 7)]
    found = parse_files(run_here(read_files_command(files), home), [size for _name, size in files])
    assert found == [*[DATA] * len(NAMES), b"", None, None]
    assert parse_files(run_here(read_files_command([]), home), []) == []


def test_what_is_empty_travels_as_little(home: Path) -> None:
    (home / "empty").touch()
    os.truncate(home / "empty", 3 << 20)
    output = run_here(read_piece_command(b"empty", 0, 3 << 20), home)
    assert parse_piece(output, 3 << 20) == bytes(3 << 20)
    assert len(output) < (3 << 20) // 500, "far below what is asked about"


@pytest.mark.parametrize("name", [b"gone", b"link", b"folder"])
def test_what_is_no_file_is_not_read(home: Path, name: bytes) -> None:
    assert parse_piece(run_here(read_piece_command(name, 0, 2000), home), 2000) is None
    assert parse_digest(run_here(read_digest_command(name), home)) is None
    assert parse_files(run_here(read_files_command([(name, 5)]), home), [5]) == [None]


def make_packed(data: bytes, *, more: bytes = b"", end: int | None = None) -> str:
    packed = (gzip.compress(data, 4, mtime=0) + more)[:end]
    return f"gpurent-file z{b64encode(packed).decode()}.\n"


PIECE = "gpurent-file -" + b64encode(b"data").decode()


@pytest.mark.parametrize(
    "output",
    [
        "",
        "gpurent-file none\n",
        PIECE,
        f"{PIECE}.\n{PIECE}.\n",
        "gpurent-file -ZGF0?YQ==.\n",
        "gpurent-file -ZGF.\n",
        "gpurent-file ZGF0YQ==.\n",
        "gpurent-file .\n",
        "gpurent-file zZGF0YQ==.\n",
        make_packed(b"data", end=-1),
        make_packed(b"data", more=b"x"),
        make_packed(bytes(101)),
        make_packed(bytes(100 << 20)),
    ],
)
def test_a_piece_that_is_not_whole_is_none(output: str) -> None:
    assert parse_piece(output, 100) is None


def test_a_packed_piece() -> None:
    assert parse_piece(make_packed(bytes(100)), 100) == bytes(100)


def test_a_piece_is_found_among_other_lines_and_never_longer_than_asked() -> None:
    output = f"Welcome!\r\n{PIECE}.\r\nmail\n"
    assert parse_piece(output, 4) == b"data"
    assert parse_piece(output, 3) is None


@pytest.mark.parametrize(
    ("line", "digest"),
    [
        (f"5 {SHA}", RemoteDigest(size=5, sha256=SHA)),
        ("5 ", RemoteDigest(size=5, sha256="")),
        (f"{'9' * 18} ", RemoteDigest(size=10**18 - 1, sha256="")),
        (f"{'9' * 19} ", None),
        ("5", None),
        (f"5 {SHA.upper()}", None),
        (f"5 {SHA}0", None),
        (f"-5 {SHA}", None),
        ("٣ ", None),
    ],
)
def test_digests(line: str, digest: RemoteDigest | None) -> None:
    assert parse_digest(f"hello\ngpurent-file {line}\n") == digest
    assert parse_digest(f"gpurent-file none\ngpurent-file {line}\n") == digest


def make_answer(size: int, digest: str, data: bytes) -> str:
    return f"gpurent-file {size} {digest} -{b64encode(data).decode()}.\n"


def test_a_file_that_changed_meanwhile_is_none() -> None:
    data = b"data"
    good = sha256(data).hexdigest()
    answers = [
        (make_answer(4, good, data), data),
        (make_answer(4, "", data), data),
        (make_answer(4, sha256(b"atad").hexdigest(), data), None),
        (make_answer(5, good, data), None),
        (make_answer(4, sha256(b"dat").hexdigest(), b"dat"), None),
        (make_answer(4, "", b"dat"), None),
        (make_answer(4, good, data).replace(".", ""), None),
        ("gpurent-file 4  -ZGF0.\n", None),
        ("gpurent-file 4  -Z.\n", None),
    ]
    for answer, found in answers:
        assert parse_files(answer, [4]) == [found], answer
    assert parse_files("".join(answer for answer, _found in answers), [4] * 9) == [
        found for _answer, found in answers
    ]


def test_with_another_number_of_answers_nothing_is_known() -> None:
    answer = make_answer(4, "", b"data")
    assert parse_files(answer, [4, 4]) == [None, None]
    assert parse_files(answer * 2, [4]) == [None]
