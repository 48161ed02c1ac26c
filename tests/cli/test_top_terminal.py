"""`gpurent top` in a real terminal (tmux) on a real sandbox lease: every key, once."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from attrs import frozen

from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import JobSpec, TripLimits, TripSpec, UploadSpec
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
TICKING_COMMAND = "i=0; while true; do i=$((i+1)); echo tick-$i; sleep 0.3; done"


@frozen
class TmuxTerminal:
    """A separate tmux server with one window of 80 x 24."""

    socket: str
    environment: dict[str, str]

    async def run_tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            *("-S", self.socket, "-f", "/dev/null", *arguments),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _err = await process.communicate()
        return out.decode()

    async def wait_for_text(self, wanted: str, seconds: float = 60) -> str:
        end = monotonic() + seconds
        while wanted not in (screen_text := await self.run_tmux("capture-pane", "-p")):
            assert monotonic() < end, f"no {wanted!r} in:\n{screen_text}"
            await asyncio.sleep(0.2)
        return screen_text

    async def wait_until_gone(self, gone: str, seconds: float = 60) -> None:
        end = monotonic() + seconds
        while gone in (screen_text := await self.run_tmux("capture-pane", "-p")):
            assert monotonic() < end, f"still {gone!r} in:\n{screen_text}"
            await asyncio.sleep(0.2)

    async def press_keys(self, *keys: str) -> None:
        await self.run_tmux("send-keys", *keys)


@asynccontextmanager
async def tmux_terminal(sandbox: TripSandbox, *command: str) -> AsyncIterator[TmuxTerminal]:
    environment = {**sandbox.environment(), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    made = TmuxTerminal(str(sandbox.home / "tmux"), environment)
    await made.run_tmux("new-session", "-d", "-c", str(sandbox.home), "-x", "80", "-y", "24", *command)
    try:
        yield made
    finally:
        await made.run_tmux("kill-server")


async def test_every_key_on_a_real_lease(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=60) as sandbox:
        async with sandbox.open_application() as application:
            await application.account_commands.log_in("1024gpu", {})
            await sandbox.add_dbc(application, "90000")
            spec = TripSpec(
                requirements=Requirements(gpu="2080Ti"),
                upload=UploadSpec(staged=False),
                limits=TripLimits(term=timedelta(days=1)),
                provider="1024gpu",
            )
            lease = await application.trips.rent(spec)
            await application.machine_commands.start_job(
                lease.id, "ticker", JobSpec(command=("sh", "-c", TICKING_COMMAND)), "."
            )
        ends = lease.expires_at
        assert ends is not None
        python = (sys.executable, "-m", "gpurent.cli.main", "top")
        async with tmux_terminal(sandbox, *python) as screen:
            screen_text = await screen.wait_for_text("tick-")
            assert lease.id in screen_text
            assert "running" in screen_text
            assert "a attach" in screen_text
            assert all(len(line) <= 80 for line in screen_text.splitlines())

            await screen.press_keys("a")
            await screen.wait_until_gone("a attach")
            await screen.wait_for_text("tick-")
            await screen.press_keys("C-a", "d")
            await screen.press_keys("C-b", "d")
            await screen.wait_for_text("exit code 0")

            await screen.press_keys("x")
            await screen.wait_for_text("Release")
            await screen.press_keys("n")
            await screen.wait_for_text("was not released")

            await screen.press_keys("r")
            await screen.wait_for_text("How much time to add")
            await screen.press_keys("Enter")
            await screen.wait_for_text("Renew it?")
            await screen.press_keys("y")
            await screen.wait_for_text("runs until")

            await screen.press_keys("p")
            await screen.wait_for_text("What to download")
            await screen.press_keys(".gpurent/jobs/ticker/run.sh", "Enter")
            await screen.wait_for_text("file downloaded to")

            await screen.press_keys("x")
            await screen.wait_for_text("of paid time is unused")
            await screen.press_keys("y")
            await screen.wait_for_text("was released; it cost")
            await screen.press_keys("q")
        async with sandbox.open_application() as application:
            after = await application.leases.get_lease(lease.id)
            assert after.state is LeaseState.KEPT
            assert after.expires_at is not None
        assert "tick-" in (sandbox.home / lease.id / "run.sh").read_text("utf-8", "replace")
    assert sandbox.cloud.burning() == []
