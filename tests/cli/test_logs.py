"""`gpurent logs`: of a lease or a trip, while the machine runs and when it is no more; what a trip left here."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpurent.infra.kept_logs import KeptLogFiles, take_last_lines
from gpurent.ports.kept_logs import MAX_KEPT_BYTES
from gpurent.remote.jobs import parse_tail_offset
from gpurent.testing.shared_sandbox import SharedSandbox, shared_sandbox
from tests.cli.hint_user import SPEED, HintUser

JOB = """
import pathlib, sys, time
for number in range(1, 6):
    print(f"line {number}", flush=True)
pathlib.Path("out.txt").write_text("result")
time.sleep(2)
sys.exit(3)
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=SPEED, machines=4) as made:
        yield made


@pytest.mark.slow
def test_the_output_of_a_job_outlives_its_machine(sandbox: SharedSandbox, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    user = HintUser(sandbox, sandbox.user(tmp_path / "home"), tmp_path, "logs@sandbox.example")
    user.log_in_at_mistgpu("20")
    line = f"run -p mistgpu --no-project --folder {folder} --results out.txt -- python3 job.py"
    user.type_line(line, code=3)
    (trip,) = user.read("trips")
    lease = trip["lease"]

    whole = "".join(f"line {number}\n" for number in range(1, 6))
    assert user.type_line(f"logs {trip['id']}").out == whole
    assert user.type_line(f"logs {lease}").out == whole, "of a lease that is over, its trip's"
    assert user.type_line(f"logs {trip['id'][:6]} -n 2").out == "line 4\nline 5\n"
    assert user.type_line(f"logs {trip['id']} --status", code=3).out == ""
    found = user.read(f"logs {trip['id']}")
    assert found["status"]["exit_code"] == 3
    kept = Path(found["kept"])
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (whole, 0o600)

    shown = user.read(f"trips show {trip['id']}")
    assert shown["results"] == {
        "folder": str(folder),
        "files": 1,
        "bytes": 6,
        "items": [{"path": "out.txt", "files": 1, "size": 6}],
    }
    assert shown["log"] == str(kept)
    page = user.type_line(f"trips show {trip['id']}").out
    assert f"1 file, 6 B, in {folder}" in page
    assert f"Results in {folder}:\n  out.txt (6 B)" in page
    assert str(kept) in page
    missing = json.loads(user.user.run("--json", "logs", "nosuch").out)["error"]
    assert missing["code"] == "lease"

    user.type_line("rent -p mistgpu")
    (machine,) = user.read("ls")
    command = f"start {machine['id']} --name five -- 'for i in 1 2 3 4 5; do echo number $i; done'"
    user.type_line(command)
    user.type_line(f"logs {machine['id']} five --follow")
    assert user.type_line(f"logs {machine['id']} five -n 2").out == "number 4\nnumber 5\n"
    assert user.type_line(f"logs {machine['id']} five -n 0").out == ""
    user.type_line(f"release {machine['id']}")


def test_bytes_are_kept_at_their_places(tmp_path: Path) -> None:
    logs = KeptLogFiles(tmp_path / "trips")
    assert (logs.get_size("t1"), logs.find_path("t1"), logs.read("t1")) == (0, None, b"")
    logs.write("t1", 0, b"one\n")
    logs.write("t1", 4, b"two\nthree")
    logs.write("t1", 0, b"one\ntwo\n")  # another process, with the same bytes
    assert logs.read("t1") == b"one\ntwo\nthree"
    assert logs.read("t1", 2) == b"two\nthree"
    logs.write("../outside", 0, b"x")
    assert not (tmp_path / "outside.log").exists()
    logs.write("t1", MAX_KEPT_BYTES - 1, b"xyz")
    assert logs.get_size("t1") == MAX_KEPT_BYTES


def test_the_oldest_logs_are_deleted(tmp_path: Path) -> None:
    for number in range(4):
        KeptLogFiles(tmp_path / "trips", max_total=25).write(f"t{number}", 0, b"x" * 10)
    assert sorted(path.stem for path in (tmp_path / "trips").iterdir()) == ["t1", "t2", "t3"]


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "trips").write_text("in the way")
    KeptLogFiles(tmp_path / "trips").write("t1", 0, b"x")


@pytest.mark.parametrize(
    ("data", "lines", "last"),
    [(b"a\nb\nc\n", 2, b"b\nc\n"), (b"a\nb", 1, b"b"), (b"a\n", 5, b"a\n"), (b"a\n", 0, b""), (b"", 3, b"")],
)
def test_last_lines(data: bytes, lines: int, last: bytes) -> None:
    assert take_last_lines(data, lines) == last


def test_a_start_file_that_prints_does_not_matter() -> None:
    assert parse_tail_offset("Welcome!\ngpurent-tail-begins 120\nbye") == 120
    assert parse_tail_offset("Welcome!") == 0
