"""The doctor on this computer, for scripts/try_gpu.sh: prints each finding, and at the end a line for the table.

Usage: try_gpu_doctor.py health|speed GPUS PYTHON. Exit code 1 if a check failed. Needs gpurent, no installed plugin.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from gpurent.domain.health import Finding, Verdict
from gpurent.remote.doctor.health_report import ExpectedMachine, make_health_report
from gpurent.remote.doctor.script import (
    Measurements,
    doctor_command,
    parse_doctor_output,
    read_convolution_program,
)
from gpurent.remote.doctor.speed_findings import assess_performance
from gpurent.remote.doctor.speed_script import parse_performance_output, performance_command

TOOL_SECONDS = 10
LONG_SECONDS = 80
DISK_SECONDS, DISK_MIB = 15, 256


def run_here(command: str, text: str = "") -> str:
    """Run a command of the doctor with this computer's sh and return what it prints."""
    done = subprocess.run(["sh", "-c", command], input=text, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


def examine(what: str, gpus: int, python: str) -> Sequence[Finding]:
    wanted = ExpectedMachine(gpus=gpus, python=python)
    if what == "speed":
        command = performance_command(
            [python],
            write_mib=DISK_MIB,
            tool_timeout=TOOL_SECONDS,
            speed_timeout=LONG_SECONDS,
            disk_timeout=DISK_SECONDS,
        )
        return tuple(assess_performance(parse_performance_output(run_here(command)), wanted))
    command = doctor_command([python], tool_timeout=TOOL_SECONDS, convolution_timeout=LONG_SECONDS)
    sections = parse_doctor_output(run_here(command, read_convolution_program()))
    found = make_health_report(datetime.now(UTC), sections, Measurements(), wanted).findings
    # There is no connection to measure, and no other clock to compare with.
    return tuple(finding for finding in found if finding.check not in ("clock", "network"))


def main() -> int:
    what, gpus, python = sys.argv[1:]
    findings = examine(what, int(gpus), python)
    for finding in findings:
        print(f"{finding.verdict.value:10} {finding.check:16} {finding.text} {finding.advice}".rstrip())
    counts = Counter(finding.verdict for finding in findings)
    worst = [finding for finding in findings if finding.verdict in (Verdict.FAILURE, Verdict.WARNING)]
    told = "; ".join(f"{finding.check}: {finding.text}" for finding in worst)
    summary = ", ".join(f"{number} {verdict.value}" for verdict, number in counts.items())
    print(f"{summary}{f' ({told})' if told else ''}")
    return 1 if counts[Verdict.FAILURE] else 0


if __name__ == "__main__":
    sys.exit(main())
