"""The sandbox as a separate process: ``python -m gpurent.testing.sandbox.daemon ROOT``, with its options on stdin.

They may hold passwords, which a command line would show to every user.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from pathlib import Path

from gpurent.composition.system import load_registry
from gpurent.errors import GpurentError
from gpurent.testing.sandbox.control_app import make_control_app
from gpurent.testing.sandbox.simulated_cloud import SandboxOptions, SimulatedCloud
from gpurent.testing.sandbox.web_server import WebServer


async def run_sandbox(root: Path, options: SandboxOptions) -> None:
    """Start the sandbox and run until told to stop; leaves no process behind."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    cloud = SimulatedCloud(root, load_registry(()), options)
    token = secrets.token_urlsafe(24)
    control = WebServer(make_control_app(cloud, token, stopped.set))
    try:
        await control.start()
        await cloud.start(control.url, token)
        await stopped.wait()
    finally:
        await control.close()
        await cloud.close()


def main() -> None:
    root, raw = Path(sys.argv[1]), json.load(sys.stdin)
    try:
        asyncio.run(run_sandbox(root, SandboxOptions(**raw)))
    except GpurentError as error:
        # The end of the log, which is all that the user is shown.
        sys.exit("\n".join(filter(None, (error.message, error.hint))))


if __name__ == "__main__":
    main()
