"""The sandbox as a separate process: ``python -m gpurent.testing.sandbox.daemon ROOT OPTIONS-JSON``."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from pathlib import Path

from gpurent.composition.system import load_registry
from gpurent.infra.platform.posix.system import write_private_file
from gpurent.testing.sandbox.control_app import make_control_app
from gpurent.testing.sandbox.simulated_cloud import SandboxOptions, SimulatedCloud
from gpurent.testing.sandbox.web_server import WebServer

STATE_FILE = "sandbox.json"


async def run_sandbox(root: Path, options: SandboxOptions) -> None:
    """Start the sandbox, write its state file, and run until told to stop; leaves no process behind."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    cloud = SimulatedCloud(root, load_registry(()), options)
    token = secrets.token_urlsafe(24)
    control = WebServer(make_control_app(cloud, token, stopped.set))
    state = root / STATE_FILE
    try:
        await cloud.start()
        await control.start()
        write_private_file(
            state,
            json.dumps(
                {"pid": os.getpid(), "url": control.url, "token": token, "speed": options.speed}
            ).encode(),
        )
        await stopped.wait()
    finally:
        await control.close()
        await cloud.close()
        state.unlink(missing_ok=True)


def main() -> None:
    root, raw = Path(sys.argv[1]), json.loads(sys.argv[2])
    asyncio.run(run_sandbox(root, SandboxOptions(**raw)))


if __name__ == "__main__":
    main()
