"""`gpurent doctor LEASE --perf` on a real machine with a stand-in of nvidia-smi that replays a recorded form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpurent.testing.sandbox.machines import find_bwrap_problem
from tests.doctor.recorded_answers import ANSWERS
from tests.machines.acts import adopt
from tests.machines.machine import OddMachine
from tests.machines.visit import visit

RECORDED = (ANSWERS / "3090-545.xml").read_text()
SMI = f"#!/bin/sh\n# A stand-in, not NVIDIA's.\n[ \"$1\" = -q ] || exit 2\ncat <<'END'\n{RECORDED}END\n"
# Smaller than what is measured, so that nothing is written.
MACHINE = OddMachine(name="gpus", summary="two GPUs", disk_bytes=8_000_000, programs={"nvidia-smi": SMI})


@pytest.mark.bwrap
async def test_it_is_compared_with_what_is_paid_for(tmp_path: Path) -> None:
    if problem := await find_bwrap_problem():
        pytest.skip(f"machines cannot be isolated here: {problem}")
    async with visit(MACHINE, tmp_path) as here:
        await adopt(here)
        plain = await here.type("doctor", here.lease, "--json")
        printed = await here.type("doctor", here.lease, "--perf", "--json")
        shown = await here.type("doctor", here.lease, "--perf")
    data = json.loads(printed.out)["data"]
    causes = {one["check"]: one["cause"] for one in data["findings"]}
    assert causes["power"] == "power-capped", printed
    assert causes["gpu-bandwidth"] == ""
    assert "power" not in plain.out
    assert printed.code == 7, "one GPU waits for a reset"
    assert "GPU power limit" in shown.out
    assert "250 W of 350 W" in shown.out
    assert causes["disk-speed"] == "disk-full", "it was not waited for"
