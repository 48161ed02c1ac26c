"""Network links of the benchmark: loopback, or an emulated slow, lossy link to a separate network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench.ssh_server import BenchSshServer, run_ssh_server

NEAR_ADDRESS, FAR_ADDRESS = "10.213.87.1", "10.213.87.2"


@frozen
class NetworkLink:
    """``rate`` in bits per second, ``rtt`` in seconds, ``loss`` as a share of packets."""

    name: str
    rtt: float = 0.0
    rate: float = 0.0
    loss: float = 0.0


LOOPBACK_LINK = NetworkLink("raw loopback")
MEDIUM_LINK = NetworkLink("20 ms, 200 Mbit/s", 0.020, 200e6)
SLOW_LINK = NetworkLink("50 ms, 50 Mbit/s, 0.1 % loss", 0.050, 50e6, 0.001)
LINKS = {"loopback": LOOPBACK_LINK, "middle": MEDIUM_LINK, "far": SLOW_LINK}


def find_obstacle() -> str:
    """Return why links cannot be emulated; empty if they can."""
    if os.geteuid():
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    missing = [name for name in ("cc", "ip") if not shutil.which(name)]
    return f"{missing[0]} is not installed" if missing else ""


def _run_command(*words: str) -> None:
    subprocess.run(words, check=True)


@contextmanager
def open_link(link: NetworkLink, folder: Path) -> Iterator[BenchSshServer]:
    """Run a server at the other end of ``wire``."""
    if not link.rate:
        with run_ssh_server(folder) as server:
            yield server
        return
    space = f"gpr{os.getpid()}"
    program = folder / "link"
    folder.mkdir(parents=True, exist_ok=True)
    _run_command("cc", "-O2", "-o", str(program), str(Path(__file__).with_name("link.c")))
    _run_command("ip", "netns", "add", space)
    queue = int(max(link.rate / 8 * link.rtt * 2, 256_000))
    words = [
        str(program),
        space,
        str(int(link.rtt * 5e5)),
        str(link.rate),
        str(int(link.loss * 1e6)),
        str(queue),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise SystemExit("the emulated link does not come up")
        _run_command("ip", "addr", "add", f"{NEAR_ADDRESS}/30", "dev", "gprnear")
        _run_command("ip", "link", "set", "gprnear", "up")
        inside = ("ip", "netns", "exec", space)
        _run_command(*inside, "ip", "addr", "add", f"{FAR_ADDRESS}/30", "dev", "gprfar")
        _run_command(*inside, "ip", "link", "set", "gprfar", "up")
        _run_command(*inside, "ip", "link", "set", "lo", "up")
        with run_ssh_server(folder, FAR_ADDRESS, inside) as server:
            yield server
    finally:
        process.kill()
        process.wait()
        _run_command("ip", "netns", "delete", space)
