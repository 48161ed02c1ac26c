"""How fast files get to a machine, compared with other tools; writes the table of docs/performance.md.

.venv/bin/python bench/transfer.py [--wires loopback,middle,far] [--rows a,b,c,d,...] [--rounds 3] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import datasets, peers
from bench.comparison import OURS, ResultCell, compare_tools, new_target_path
from bench.datasets import MIB
from bench.network_links import LINKS, NetworkLink, find_obstacle, open_link
from bench.report import write_report
from bench.ssh_server import BenchSshServer

HERE = Path(__file__).parent
ROWS = ("a", "b", "c", "d", "d held", "c same", "d same", "c 1 %", "d 1 %", "a resumed")
#            a     b     files of c
SIZES = {"raw loopback": (1024, 1024, 20_000), "20 ms, 200 Mbit/s": (128, 256, 20_000), "*": (32, 64, 4_000)}
QUICK_SIZES = {"raw loopback": (256, 256, 5_000), "20 ms, 200 Mbit/s": (32, 64, 2_500), "*": (8, 16, 1_500)}


class TransferBench:
    def __init__(self, folder: Path, rounds: int, quick: bool) -> None:
        self.folder, self.rounds, self.quick = folder, rounds, quick
        self.cells: list[ResultCell] = []
        self.installed_peers = peers.find_installed_peers()

    def make_data(self, row: str, link: NetworkLink) -> Path:
        sizes = QUICK_SIZES if self.quick else SIZES
        a, b, c = sizes.get(link.name, sizes["*"])
        kind = row[0]
        if kind == "a":
            return datasets.make_incompressible(self.folder / f"a{a}", a * MIB)
        if kind == "b":
            return datasets.make_compressible(self.folder / f"b{b}", b * MIB)
        if kind == "c":
            return datasets.make_small_files(self.folder / f"c{c}", c)
        return datasets.copy_source_files(self.folder / "d")

    def measure_link(self, link: NetworkLink, rows: list[str]) -> None:
        for row in rows:
            self.make_data(row, link)
        with open_link(link, self.folder / "server") as server:
            for row in rows:
                if row == "a resumed":
                    self.cells.append(self.measure_resume(server, link))
                else:
                    self.cells.append(self.measure_cell(server, link, row))

    def measure_cell(self, server: BenchSshServer, link: NetworkLink, row: str) -> ResultCell:
        source = self.make_data(row, link)
        old = source
        if row.endswith("1 %"):
            source = datasets.make_changed_copy(source, source.with_name(source.name + "x"))
        again = row.endswith(("same", "1 %"))
        held = row == "d held"
        names = peers.SYNC_PEERS if again else peers.MULTIPLEXED_PEERS if held else self.installed_peers
        control = str(self.folder / "control") if held else ""

        def tool(name: str) -> Callable[[Path], str]:
            return lambda target: peers.PEERS[name](server, source, target, control)

        tools = {name: tool(name) for name in names if name in self.installed_peers}
        tools[OURS] = lambda target: transfer_command(server, "held" if held else "push", source, target)

        def prepare(name: str, target: Path) -> None:
            if again and name == OURS:
                subprocess.run(
                    transfer_command(server, "push", old, target),
                    shell=True,
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
            elif again:
                shutil.copytree(old, target)

        cell = ResultCell(row, link.name)
        masters: list[subprocess.Popen[bytes]] = []

        def connect(name: str, target: Path) -> None:
            """Open a fresh connection for each tool: one that has carried much data is faster."""
            self.close_masters(masters)
            if name != OURS:
                masters.append(self.open_master(server, control))
                time.sleep(0.5)

        try:
            return compare_tools(
                cell,
                tools,
                source,
                self.folder,
                prepare=connect if held else prepare if again else None,
                rounds=self.rounds,
                limit=9.0 if not link.rate else 5.5,
                clock={OURS: time_inside_command} if held else {},
            )
        finally:
            self.close_masters(masters)

    def close_masters(self, masters: list[subprocess.Popen[bytes]]) -> None:
        for process in masters:
            process.kill()
            process.wait()
        masters.clear()
        (self.folder / "control").unlink(missing_ok=True)

    def open_master(self, server: BenchSshServer, control: str) -> subprocess.Popen[bytes]:
        options = f"-N -o ControlMaster=yes -o ControlPath={control}"
        words = f"exec {peers.ssh_command(server)} {options} {peers.ssh_address(server)}"
        process = subprocess.Popen(words, shell=True)
        while not Path(control).exists():
            time.sleep(0.05)
        return process

    def measure_resume(self, server: BenchSshServer, link: NetworkLink) -> ResultCell:
        """Kill a push halfway and repeat it; measure what is sent beyond the missing part, as a share of the file."""
        source = self.make_data("a", link)
        cell = ResultCell("a resumed", link.name)
        size = (source / "a.bin").stat().st_size
        waste = []
        for _ in range(self.rounds):
            target = new_target_path(self.folder)
            process = subprocess.Popen(
                transfer_command(server, "push", source, target),
                shell=True,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
            )
            while count_written_bytes(target) < size / 2 and process.poll() is None:
                time.sleep(0.002)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(1.0)
            arrived = count_arrived_bytes(target, source)
            started = time.perf_counter()
            completed = subprocess.run(
                transfer_command(server, "push", source, target), shell=True, check=True, capture_output=True
            )
            cell.times.setdefault(OURS, []).append(time.perf_counter() - started)
            waste.append((json.loads(completed.stdout)["sent"] - (size - arrived)) / size)
            shutil.rmtree(target)
        cell.note = f"re-sent beyond the missing part: {max(waste) * 100:.2f} % of the file at most"
        print(f"  {cell.row:<22} {cell.link:<30} {cell.note}", flush=True)
        return cell


def count_written_bytes(target: Path) -> int:
    """Return the bytes of the partial that have been written, in any order; 0 if there is none."""
    try:
        return sum(part.stat().st_blocks * 512 for part in (target / ".gpurent-part").glob("*-*"))
    except FileNotFoundError:
        return 0


def count_arrived_bytes(target: Path, source: Path) -> int:
    """Return the bytes of the partial that equal the source, compared in blocks."""
    parts = list((target / ".gpurent-part").glob("*-*"))
    if not parts:
        return 0
    found = 0
    with parts[0].open("rb") as first_file, (source / "a.bin").open("rb") as second_file:
        while data := second_file.read(65536):
            found += len(data) if first_file.read(65536) == data else 0
    return found


def transfer_command(server: BenchSshServer, mode: str, source: Path, target: Path) -> str:
    words = [
        sys.executable,
        HERE / "single_transfer.py",
        mode,
        "turbo",
        server.folder,
        server.address,
        server.port,
        server.user,
        source,
        target,
    ]
    return " ".join(map(str, [*words, "kex_algorithms=curve25519-sha256"]))


def time_inside_command(command: str, cap: float) -> tuple[float, int, bool]:
    """Return the seconds that a running trip would need: its process and its connection already exist."""
    completed = subprocess.run(command, shell=True, check=True, capture_output=True, timeout=cap + 30)
    measured = json.loads(completed.stdout)
    return float(measured["seconds"]), int(measured["peak_kib"]), True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wires", default="loopback,middle,far")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument(
        "--room", type=Path, help="where the data lies (default: memory, where there is some)"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # links and servers are removed in any case
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = arguments.room or Path(tempfile.mkdtemp(prefix="gpurent-bench-", dir=base))
    bench = TransferBench(folder, arguments.rounds, arguments.quick)
    print(f"peers: {', '.join(bench.installed_peers)}")
    try:
        for name in arguments.wires.split(","):
            wire = LINKS[name]
            if wire.rate and (problem := find_obstacle()):
                print(f"  {wire.name}: left out, {problem}")
                continue
            bench.measure_link(wire, arguments.rows.split(","))
    finally:
        if not arguments.room:
            shutil.rmtree(folder, ignore_errors=True)
        write_report(bench.cells, HERE.parent / "docs" / "performance.md" if arguments.write else None)


if __name__ == "__main__":
    main()
