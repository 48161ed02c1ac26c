"""A vendor's own client, in an environment of its own, as the judge of what a simulator answers.

`make test-vendors` installs what ``plugins/NAME/tests/vendor/requirements.txt`` names into ``.vendors/NAME`` and
runs the tests that are marked ``vendor``.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from gpurent.testing.load_timeouts import wait_within

VENDORS = Path(__file__).resolve().parent.parent / ".vendors"
LIMIT = 60
"""Seconds of an idle computer for one command."""


@frozen
class VendorResult:
    """What the client printed. Not every client fails when it prints an error: look at both outputs."""

    returncode: int
    stdout: str
    stderr: str


@frozen
class VendorClient:
    """``program`` is run by the vendor's environment: a command installed there, or ``python``."""

    provider: str
    environment: Mapping[str, str]
    home: Path

    async def run(self, program: str, *arguments: str, stdin: str = "") -> VendorResult:
        """Run one command in a home of its own, with nothing in its environment but ``environment``."""
        folder = VENDORS / self.provider / "bin"
        if not (folder / program).exists():
            raise FileNotFoundError(f"{folder / program}: run `make test-vendors`, which installs it")
        process = await asyncio.create_subprocess_exec(
            folder / program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PATH": f"{folder}:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                **self.environment,
            },
        )
        try:
            out, err = await wait_within(LIMIT, process.communicate(stdin.encode()))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return VendorResult(process.returncode, out.decode(), err.decode())


def make_vendor_client(provider: str, **environment: str) -> VendorClient:
    """Return the client of ``provider``; ``environment`` names the simulator's address and the key."""
    return VendorClient(provider, environment, Path(tempfile.mkdtemp(prefix="gpurent-vendor-")))
