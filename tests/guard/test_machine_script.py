"""The check of a machine: the real command in a real shell, and answers that machines may give."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from gpurent.remote.samples import compute_cpu_load, guard_sample_command, parse_guard_sample


def run_script(home: Path, *results: str, path: str = "") -> str:
    found = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    environment = {"HOME": str(home), "PATH": found}
    ran = subprocess.run(
        ["/bin/sh", "-c", guard_sample_command(results)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout


def test_minimal_machine_reports_what_it_can(tmp_path: Path) -> None:
    found = parse_guard_sample(run_script(tmp_path))
    assert found.cpu_ticks is not None
    assert 0 < found.cpu_ticks[0] <= found.cpu_ticks[1]
    assert abs((found.machine_time or 0) - time.time()) < 60
    assert (found.last_output, found.result_sizes) == (None, {})


def test_output_and_results_are_found_by_odd_names_too(tmp_path: Path) -> None:
    log = tmp_path / ".gpurent" / "jobs" / "job" / "log"
    log.parent.mkdir(parents=True)
    log.write_text("line\n")
    os.utime(log, (1_700_000_000, 1_700_000_000))
    (tmp_path / "a $(touch bad) 'b'").write_bytes(b"x" * 100_000)
    (tmp_path / "folder").mkdir()
    found = parse_guard_sample(run_script(tmp_path, "missing", "a $(touch bad) 'b'", "folder"))
    assert found.last_output == 1_700_000_000
    assert sorted(found.result_sizes) == [1, 2]
    assert found.result_sizes[1] >= 100_000
    assert not (tmp_path / "bad").exists()


def test_the_busiest_gpu_counts(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf '3\\n71\\n[N/A]\\n0\\n'\n")
    tool.chmod(0o755)
    assert parse_guard_sample(run_script(tmp_path, path=str(tool.parent))).gpu_load == 71


def test_a_busy_processor_is_seen(tmp_path: Path) -> None:
    before = parse_guard_sample(run_script(tmp_path)).cpu_ticks
    started = time.process_time()
    while time.process_time() - started < 0.6:
        pass
    after = parse_guard_sample(run_script(tmp_path)).cpu_ticks
    share = compute_cpu_load(before, after)
    assert share is not None
    assert share > 0


def test_loads_that_cannot_be_compared_are_unknown() -> None:
    assert compute_cpu_load(None, (1, 2)) is None
    assert compute_cpu_load((5, 10), (6, 10)) is None, "no time has passed"
    assert compute_cpu_load((5, 10), (1, 20)) is None, "started anew"
    assert compute_cpu_load((0, 0), (50, 200)) == 25
    assert compute_cpu_load((0, 0), (500, 200)) == 100


def test_unknown_lines_are_ignored() -> None:
    text = "Welcome!\nnow 3\ngpurent-guard\ncpu x y\nnow 12\noutput soon\ngpu 1000000\nresult 1\nnow 15\ncpu 5 9\n"
    found = parse_guard_sample(text)
    assert (found.machine_time, found.cpu_ticks, found.gpu_load, found.last_output, found.result_sizes) == (
        15,
        (5, 9),
        None,
        None,
        {},
    )


def test_it_runs_without_python(tmp_path: Path) -> None:
    assert sys.executable not in guard_sample_command(["x"])
