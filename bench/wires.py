"""Links of the benchmark: loopback as it is, or a slow and lossy wire to a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench.yard import Yard, server

NEAR, FAR = "10.213.87.1", "10.213.87.2"


@frozen
class Wire:
    """``rate`` in bits a second, ``trip`` a round trip in seconds, ``loss`` of packets."""

    name: str
    trip: float = 0.0
    rate: float = 0.0
    loss: float = 0.0


LOOPBACK = Wire("raw loopback")
MIDDLE = Wire("20 ms, 200 Mbit/s", 0.020, 200e6)
FAR_AWAY = Wire("50 ms, 50 Mbit/s, 0.1 % loss", 0.050, 50e6, 0.001)
WIRES = {"loopback": LOOPBACK, "middle": MIDDLE, "far": FAR_AWAY}


def why_not() -> str:
    """What stands in the way of emulated links; empty for nothing."""
    if os.geteuid():
        return "network namespaces need root"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    missing = [name for name in ("cc", "ip") if not shutil.which(name)]
    return f"{missing[0]} is not installed" if missing else ""


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


@contextmanager
def open_wire(wire: Wire, room: Path) -> Iterator[Yard]:
    """A server at the other end of ``wire``."""
    if not wire.rate:
        with server(room) as yard:
            yield yard
        return
    space = f"gpr{os.getpid()}"
    program = room / "link"
    room.mkdir(parents=True, exist_ok=True)
    _run("cc", "-O2", "-o", str(program), str(Path(__file__).with_name("link.c")))
    _run("ip", "netns", "add", space)
    queue = int(max(wire.rate / 8 * wire.trip * 2, 256_000))
    words = [
        str(program),
        space,
        str(int(wire.trip * 5e5)),
        str(wire.rate),
        str(int(wire.loss * 1e6)),
        str(queue),
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise SystemExit("the emulated link does not come up")
        _run("ip", "addr", "add", f"{NEAR}/30", "dev", "gprnear")
        _run("ip", "link", "set", "gprnear", "up")
        inside = ("ip", "netns", "exec", space)
        _run(*inside, "ip", "addr", "add", f"{FAR}/30", "dev", "gprfar")
        _run(*inside, "ip", "link", "set", "gprfar", "up")
        _run(*inside, "ip", "link", "set", "lo", "up")
        with server(room, FAR, inside) as yard:
            yield yard
    finally:
        process.kill()
        process.wait()
        _run("ip", "netns", "delete", space)
