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
from gpurent.domain.trip import TripLimits, TripSpec, Upload
from tests.workflow.world import World, world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
TICKS = "i=0; while true; do i=$((i+1)); echo tick-$i; sleep 0.3; done"


@frozen
class Terminal:
    """A tmux server of its own with one window of 80 x 24."""

    socket: str
    environment: dict[str, str]

    async def tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            *("-S", self.socket, "-f", "/dev/null", *arguments),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _err = await process.communicate()
        return out.decode()

    async def see(self, wanted: str, seconds: float = 60) -> str:
        end = monotonic() + seconds
        while wanted not in (shown := await self.tmux("capture-pane", "-p")):
            assert monotonic() < end, f"no {wanted!r} in:\n{shown}"
            await asyncio.sleep(0.2)
        return shown

    async def lose(self, gone: str, seconds: float = 60) -> None:
        end = monotonic() + seconds
        while gone in (shown := await self.tmux("capture-pane", "-p")):
            assert monotonic() < end, f"still {gone!r} in:\n{shown}"
            await asyncio.sleep(0.2)

    async def press(self, *keys: str) -> None:
        await self.tmux("send-keys", *keys)


@asynccontextmanager
async def terminal(land: World, *command: str) -> AsyncIterator[Terminal]:
    environment = {**land.environment(), "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    made = Terminal(str(land.home / "tmux"), environment)
    await made.tmux("new-session", "-d", "-c", str(land.home), "-x", "80", "-y", "24", *command)
    try:
        yield made
    finally:
        await made.tmux("kill-server")


async def test_every_key_on_a_real_lease(tmp_path: Path) -> None:
    async with world(tmp_path, speed=60) as land:
        async with land.application() as application:
            await application.account_commands.login("1024gpu", {})
            await land.faucet(application, "90000")
            want = TripSpec(
                requirements=Requirements(gpu="2080Ti"),
                upload=Upload(staged=False),
                limits=TripLimits(term=timedelta(days=1)),
                provider="1024gpu",
            )
            lease = await application.trips.rent(want)
            await application.machine_commands.start(lease.id, "ticker", ("sh", "-c", TICKS), ".", "", "")
        ends = lease.expires_at
        assert ends is not None
        python = (sys.executable, "-m", "gpurent.cli.main", "top")
        async with terminal(land, *python) as screen:
            shown = await screen.see("tick-")
            assert lease.id in shown
            assert "running" in shown
            assert "a attach" in shown
            assert all(len(line) <= 80 for line in shown.splitlines())

            await screen.press("a")
            await screen.lose("a attach")
            await screen.see("tick-")
            await screen.press("C-a", "d")
            await screen.press("C-b", "d")
            await screen.see("left with 0")

            await screen.press("x")
            await screen.see("Give")
            await screen.press("n")
            await screen.see("stays")

            await screen.press("r")
            await screen.see("How much more")
            await screen.press("Enter")
            await screen.see("Buy 1 h more")
            await screen.press("y")
            await screen.see("runs until")

            await screen.press("p")
            await screen.see("What to bring")
            await screen.press(".gpurent/jobs/ticker/run.sh", "Enter")
            await screen.see("files are in")

            await screen.press("x")
            await screen.see("come back")
            await screen.press("y")
            await screen.see("is given back")
            await screen.press("q")
        async with land.application() as application:
            after = application.leases.find_lease(lease.id)
            assert after.state is LeaseState.RELEASED
            assert after.expires_at is not None
        assert "tick-" in (land.home / "run.sh").read_text("utf-8", "replace")
    assert land.cloud.burning() == []
