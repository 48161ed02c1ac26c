"""A guard on a computer whose disk is full: it says so, goes on, and the user's limits hold."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripSpec
from gpurent.testing.load_timeouts import wait_until
from tests.broken_computer import FULL_DISK
from tests.workflow.test_failures import log_in_with_money
from tests.workflow.trip_sandbox import trip_sandbox


def write_text(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.nightly
async def test_watch_goes_on_with_a_full_disk_and_holds_the_deadline(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        async with sandbox.open_application() as application:
            await log_in_with_money(sandbox, application)
            lease = await application.trips.rent(
                TripSpec(provider="mistgpu", requirements=Requirements(gpus=1))
            )
            write_text(sandbox.home / "state" / "config.toml", '[guard]\ndeadline = "50m"\n')
        process = await asyncio.create_subprocess_exec(
            *(*FULL_DISK, sys.executable, "-m", "gpurent.cli.main", "watch"),
            cwd=sandbox.home,
            env={**sandbox.environment(), "LANG": "C.UTF-8"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None

        async def is_released() -> bool:
            return not sandbox.cloud.burning()

        try:
            shown = await process.stderr.readline()
            assert b"journal" in shown, shown
            await sandbox.cloud.advance(timedelta(hours=2))
            await wait_until(is_released)
            process.send_signal(signal.SIGTERM)  # which needs a process that goes on
            _out, rest = await process.communicate()
            shown += rest
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, shown.decode()
        assert lease.id in shown.decode()
        assert "releasing the machine" in shown.decode(), "it did not just run out of money"
        assert "Traceback" not in shown.decode()
