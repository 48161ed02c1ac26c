"""How busy a machine is: what is not reported is unknown, and never idle."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gpurent.remote.samples import (
    MAX_LINE_LENGTH,
    GuardSample,
    compute_cpu_load,
    guard_sample_command,
    parse_guard_sample,
    parse_view_sample,
    view_sample_command,
)
from tests.remote.local_shell import run_here

MARK = "gpurent-guard\n"
VIEW = "gpurent-glimpse\n"


def write_log(home: Path, job: str, text: str, at: int) -> None:
    log = home / ".gpurent" / "jobs" / job / "log"
    log.parent.mkdir(parents=True)
    log.write_text(text, encoding="utf-8")
    os.utime(log, (at, at))


def test_the_sample_of_this_computer(tmp_path: Path) -> None:
    write_log(tmp_path, "old", "x", 1_000_000_000)
    write_log(tmp_path, "new", "x", 1_100_000_000)
    (tmp_path / "my results").write_bytes(b"12345")
    sample = parse_guard_sample(run_here(guard_sample_command(["gone", "my results"]), tmp_path))
    assert sample.machine_time is not None
    assert abs(sample.machine_time - time.time()) < 60
    assert sample.last_output == 1_100_000_000
    assert sample.cpu_ticks is not None
    assert 0 <= sample.cpu_ticks[0] <= sample.cpu_ticks[1]
    assert sample.result_sizes == {1: 5}


def test_the_load_of_the_gpus(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 17\necho 42\n", encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    assert parse_guard_sample(run_here(guard_sample_command([]), tmp_path, path)).gpu_load == 42
    assert parse_view_sample(run_here(view_sample_command(), tmp_path, path)) == (30, ())


def test_a_sample() -> None:
    lines = [
        "now 1",
        "now 20",
        "output 7",
        "output 12",
        "output 9",
        "cpu 1 2",
        "cpu 30 400",
        "gpu 5",
        "gpu 97",
    ]
    output = "now 99\nWelcome\n" + MARK + "\n".join([*lines, "result 0 77", "result 2 ", "bye", ""])
    assert parse_guard_sample(output) == GuardSample(
        machine_time=20, last_output=12, gpu_load=97, cpu_ticks=(30, 400), result_sizes={0: 77, 2: 0}
    )


@pytest.mark.parametrize(
    "line",
    ["", "now x", " now 1", "now 1 2", f"now {'1' * 13}", "output -1", f"output {'1' * 13}", "cpu 1", "cpu 1 x",
     f"cpu 1 {'1' * 19}", "gpu", "gpu x", "result x 5", "result 1 x", f"result {'1' * 7} 5", f"result 1 {'1' * 19}"],
)  # fmt: skip
def test_what_is_not_reported_is_unknown(line: str) -> None:
    assert parse_guard_sample(f"{MARK}{line}\n") == GuardSample(result_sizes={})
    assert parse_guard_sample("now 1\noutput 1\n") == GuardSample(result_sizes={}), "not marked"


@pytest.mark.parametrize(
    ("before", "after", "load"),
    [
        ((0, 0), (50, 100), 50),
        ((10, 100), (10, 200), 0),
        ((10, 100), (11, 104), 25),
        ((10, 100), (12, 103), 66),
        ((10, 100), (300, 200), 100),
        ((0, 0), (200, 199), 100),
        ((10, 100), (10, 100), None),
        ((10, 100), (11, 99), None),
        ((10, 100), (9, 200), None),
        ((10, 100), (11, 101), 100),
        (None, (1, 1), None),
        ((1, 1), None, None),
    ],
)
def test_the_load_between_two_samples(
    before: tuple[int, int] | None, after: tuple[int, int] | None, load: int | None
) -> None:
    assert compute_cpu_load(before, after) == load


def test_the_view_of_this_computer(tmp_path: Path) -> None:
    write_log(tmp_path, "old", "older\n", 1_000_000_000)
    write_log(tmp_path, "new", "step 1\nstep 2\n", 1_100_000_000)
    assert parse_view_sample(run_here(view_sample_command(), tmp_path))[1] == ("step 1", "step 2")


def test_a_view() -> None:
    output = f"Welcome\n{VIEW}10\n21\n{VIEW}step X\n\n 10%\r 50%\r\n\x1b[31mred\x1b[0m  \n" + VIEW
    assert parse_view_sample(output) == (16, ("step X", " 50%", "red", "gpurent-glimpse"))
    assert parse_view_sample(f"{VIEW}{VIEW}") == (None, ())
    assert parse_view_sample(f"{VIEW}50\nonly one mark") == (None, ())


def test_a_view_has_the_last_lines_and_no_long_ones() -> None:
    lines = [f"step {number}" for number in range(20)]
    assert parse_view_sample(VIEW + VIEW + "\n".join(lines))[1] == tuple(lines[12:])
    assert parse_view_sample(f"{VIEW}{VIEW}{'x' * 400}")[1] == ("x" * MAX_LINE_LENGTH,)
