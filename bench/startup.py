"""How long command lines take to start: gpurent's, the bare interpreter's and those of installed official CLIs.

    .venv/bin/python bench/startup.py [--peers FOLDER] [--rounds 10]

FOLDER holds one virtual environment for each peer, named after it (``FOLDER/modal/bin/modal``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median

from gpurent.api import CNY, Endpoint, Hardware, Lease, LeaseState, Metered, Offer, UnitPrice
from gpurent.infra.sqlite.store import SqliteStore

PEERS = ("vastai", "prime", "modal", "dstack", "runpod", "sky")
LEASE_COUNT = 20


async def create_leases(home: Path) -> None:
    """Create a store with twenty running machines."""
    home.mkdir(mode=0o700)  # noqa: ASYNC240
    now = datetime.now(UTC)
    store = SqliteStore(home / "journal.sqlite", lambda: now)
    for number in range(LEASE_COUNT):
        offer = Offer(
            provider="mistgpu",
            key=f"{number:06}",
            hardware=Hardware(gpu="2080Ti", gpus=1),
            tariff=Metered(price=UnitPrice(Decimal(3) / 3600, CNY)),
        )
        await store.save_lease(
            Lease(
                id=f"mistgpu-{number:05}",
                provider="mistgpu",
                offer=offer,
                state=LeaseState.READY,
                endpoint=Endpoint("root", "198.51.100.7", 2200 + number),
                started_at=now - timedelta(hours=number),
            )
        )
    store.close()


def check_sockets(words: list[str], environment: Mapping[str, str]) -> str:
    """Report whether a command opens network sockets, by strace if it is installed."""
    if not shutil.which("strace"):
        return "not checked (no strace)"
    completed = subprocess.run(
        ["strace", "-f", "-e", "trace=socket,connect", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    return "none" if "AF_INET" not in completed else "opens sockets"


def measure_commands(
    commands: Mapping[str, list[str]], environment: Mapping[str, str], rounds: int
) -> dict[str, list[float]]:
    """Return milliseconds; the commands take turns. Raises `CalledProcessError` if one fails."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, words in commands.items():
            started = time.perf_counter()
            subprocess.run(
                words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
            )
            if turn:  # the first round warms the file cache
                found[name].append((time.perf_counter() - started) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    own = str(Path(sys.executable).with_name("gpurent"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        asyncio.run(create_leases(home))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "GPURENT_HOME": str(home),
            "LANG": "C.UTF-8",
        }
        commands = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "gpurent --help": [own, "--help"],
            "gpurent ls": [own, "ls"],
        }
        for name in PEERS:
            program = arguments.peers / name / "bin" / name if arguments.peers else None
            if program is not None and program.exists():
                commands[f"{name} --help"] = [str(program), "--help"]
        found = measure_commands(commands, environment, arguments.rounds)
        peers = {name: times for name, times in found.items() if name.split()[0] in PEERS}
        best = peers[min(peers, key=lambda name: min(peers[name]))] if peers else []
        print("| command | min, ms | median, ms | of the fastest peer: min | median |\n|---|---|---|---|---|")
        for name, times in sorted(found.items(), key=lambda item: min(item[1])):
            shares = " | ".join(f"{of(times) / of(best):.2f}" if best else "-" for of in (min, median))
            print(f"| {name} | {min(times):.0f} | {median(times):.0f} | {shares} |")
        for name in ("gpurent --help", "gpurent ls"):
            print(f"sockets of {name}: {check_sockets(commands[name], environment)}")


if __name__ == "__main__":
    main()
