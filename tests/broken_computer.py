"""A command line on a computer with a problem: a full or read-only disk, few open files."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gpurent.testing.shared_sandbox import CommandLineResult
from tests.workflow.trip_sandbox import TripSandbox

# No file can grow at all.
FULL_DISK = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")


def few_files(count: int) -> tuple[str, ...]:
    """At most ``count`` files can be open at once."""
    return ("sh", "-c", f'ulimit -n {count}; exec "$@"', "sh")


def read_only(folder: Path) -> tuple[str, ...]:
    return ("bwrap", "--dev-bind", "/", "/", "--ro-bind", str(folder), str(folder), "--")


async def run_under(sandbox: TripSandbox, problem: tuple[str, ...], *arguments: str) -> CommandLineResult:
    """Run the real command line in a new process with that problem."""
    process = await asyncio.create_subprocess_exec(
        *(*problem, sys.executable, "-m", "gpurent.cli.main", *arguments),
        cwd=sandbox.home,
        env={**sandbox.environment(), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return CommandLineResult(process.returncode, out.decode(), err.decode())
