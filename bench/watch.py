"""What a watch costs: CPU, memory and requests for 10, 100 and 1,000 leases at 5 shops.

The shops are small fake portals on real sockets, in a process of their own; the watch is `gpurent watch` itself, with a
plugin that only this file registers. Time runs 60 times as fast; shares are given for a clock that runs as it should.
No machine is looked at: these leases are rented, nobody's job runs on them. Run: python bench/watch.py [MINUTES [N…]]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import process_time
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrs import asdict, frozen

from bench.shops import SHOPS, Town, plugin, portals
from gpurent.composition.application import Application
from gpurent.composition.state import Outside
from gpurent.domain.events import Event
from gpurent.domain.question import Question
from gpurent.infra.platform.posix.system import private_folder
from gpurent.infra.registry import plain
from gpurent.infra.registry.registry import Registry
from gpurent.ports.system import Clock, ProviderClock
from gpurent.ports.terminal import Progress, Terminal
from gpurent.testing.sandbox.timing import SandboxClock
from gpurent.workflow.guard.scheduler import Guard

SPEED = 60
SIZES = (10, 100, 1000)
MINUTES = 20
POLICY = '[guard]\nrenew = "1d"\nrenew_limit = "none"\ntop_up = "50CNY"\ndeadline = "30d"\n'


@frozen(kw_only=True)
class Cost:
    """One watch: over ``minutes`` of the shops' time. ``cpu`` in seconds, ``memory`` in MiB."""

    leases: int
    minutes: float
    requests: int
    looks: int
    cpu: float
    memory: float

    @property
    def share(self) -> float:
        """Percent of one processor."""
        return 100 * self.cpu / (self.minutes * 60)

    @property
    def rate(self) -> float:
        """Requests a minute, all shops together."""
        return self.requests / self.minutes


class Nobody:
    """A user who is not there."""

    interactive = False

    def show_event(self, event: Event) -> None: ...
    async def confirm(self, question: Question) -> bool:
        return False

    async def ask(self, question: Question) -> str | None:
        return None

    def show_output(self, data: bytes) -> None: ...
    def start_progress(self, title: str) -> Progress:
        raise NotImplementedError


def fast_clock(root: Path) -> SandboxClock:
    """`SPEED` times as fast as this computer's."""
    clock = SandboxClock(private_folder(root) / "clock.json", SPEED)
    clock.start()
    return clock


@asynccontextmanager
async def renter(root: Path, town: Town, terminal: Terminal, outside: Outside) -> AsyncIterator[Application]:
    """An application that rented all that the shops of ``town`` rent out."""
    module = ModuleType("gpurent_bench_shops")
    vars(module).update(plugin())
    registry = Registry.load(builtin=[plain, module], points=())
    assert not registry.problems, registry.problems
    application = Application(registry, private_folder(root), town.environment, terminal, outside)
    try:
        await application.start()
        for lease in town.leases:
            application.store.save_lease(lease)
        yield application
    finally:
        await application.aclose()


async def watch(leases: int, minutes: float, root: Path, clock: ProviderClock, outside: Outside) -> Cost:
    """A guard over ``leases`` of 5 shops for ``minutes`` of ``outside``'s ``clock``, after a first round."""
    home = private_folder(root)
    (home / "config.toml").write_text(POLICY)
    with portals(leases, clock.now()) as town:
        async with renter(home, town, Nobody(), outside) as application:
            return await _measure(application.guard, clock, town.count, leases, minutes)


async def _measure(guard: Guard, clock: Clock, count: Callable[[], int], leases: int, minutes: float) -> Cost:
    task = asyncio.create_task(guard.forever())
    try:
        while len(guard.looked) < leases:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
        begun, asked, cpu = clock.now(), count(), process_time()
        guard.looks = 0
        await clock.sleep(timedelta(minutes=minutes))
        passed = (clock.now() - begun) / timedelta(minutes=1)
        return Cost(
            leases=leases,
            minutes=passed,
            requests=count() - asked,
            looks=guard.looks,
            cpu=process_time() - cpu,
            memory=_memory(),
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


def _times(after: float, before: float) -> str:
    return f"{after / before:.1f}" if before else "?"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as root:
            clock = fast_clock(Path(root) / "clock")
            outside = Outside(clock=clock)
            cost = asyncio.run(
                watch(int(sys.argv[2]), float(sys.argv[3]), Path(root) / "home", clock, outside)
            )
        sys.stdout.write(json.dumps(asdict(cost)))
        return
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    sizes = [int(size) for size in sys.argv[2:]] or SIZES
    out = sys.stdout.write
    out(f"{SHOPS} shops, {minutes:g} minutes of their time each\n")
    out("leases  CPU share  CPU s/min/lease  memory  requests/min  requests/min/lease\n")
    costs = []
    for size in sizes:
        # Each in a process of its own, so that memory is its own.
        ran = subprocess.run(
            [sys.executable, __file__, "--one", str(size), str(minutes)], stdout=subprocess.PIPE, check=True
        )
        cost = Cost(**json.loads(ran.stdout))
        costs.append(cost)
        each = cost.cpu / cost.minutes / size
        out(
            f"{size:6}  {cost.share:8.2f}%  {each:15.6f}  {cost.memory:3.0f} MiB  {cost.rate:12.1f}"
            f"  {cost.rate / size:18.3f}\n"
        )
    for before, after in pairwise(costs):
        times = after.leases / before.leases
        out(
            f"{times:g} times the leases: {_times(after.share, before.share)} times the CPU, "
            f"{_times(after.rate, before.rate)} times the requests\n"
        )


if __name__ == "__main__":
    main()
