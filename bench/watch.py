"""What a watch costs: CPU, memory and requests for 10, 100 and 1,000 leases at 5 providers.

The providers are small fakes on real sockets in a process of their own; the watch is `gpurent watch` itself, with a
plugin that only this file registers. Time runs 60 times as fast; CPU shares are given for a clock at normal speed.
No machine is checked: the leases are rented, and no job runs on them. Run: python bench/watch.py [MINUTES [N…]]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import process_time
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrs import asdict, frozen

from bench.fake_providers import PROVIDER_COUNT, BenchProviders, make_plugin_hooks, run_providers
from gpurent.composition.application import Application
from gpurent.composition.state import ExternalDependencies
from gpurent.domain.events import Event
from gpurent.domain.question import Question
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.ports.system import Clock, ProviderClock
from gpurent.ports.terminal import Progress, Terminal
from gpurent.testing.sandbox.clock import SandboxClock
from gpurent.workflow.guard.scheduler import Guard

SPEED = 60
LEASE_COUNTS = (10, 100, 1000)
MINUTES = 20
GUARD_CONFIG = '[guard]\nrenew = "1d"\nrenew_limit = "none"\ntop_up = "50CNY"\ndeadline = "30d"\n'


@frozen(kw_only=True)
class WatchCost:
    """The cost of one watch over ``minutes`` of the providers' time. ``cpu`` in seconds, ``memory`` in MiB."""

    leases: int
    minutes: float
    requests: int
    looks: int
    cpu: float
    memory: float

    @property
    def cpu_share(self) -> float:
        """CPU use in percent of one processor."""
        return 100 * self.cpu / (self.minutes * 60)

    @property
    def request_rate(self) -> float:
        """Requests per minute of all providers together."""
        return self.requests / self.minutes


class NullTerminal:
    """A terminal without a user."""

    is_interactive = False
    can_confirm = False

    def show_event(self, event: Event) -> None: ...
    async def confirm(self, question: Question) -> bool:
        return False

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        return None

    async def ask_question(self, question: Question) -> str | None:
        return None

    def show_output(self, data: bytes) -> None: ...
    def start_progress(self, title: str) -> Progress:
        raise NotImplementedError


def make_fast_clock(root: Path) -> SandboxClock:
    """Return a clock `SPEED` times as fast as this computer's."""
    clock = SandboxClock(make_private_folder(root) / "clock.json", SPEED)
    clock.start()
    return clock


@asynccontextmanager
async def open_application(
    root: Path, providers: BenchProviders, terminal: Terminal, outside: ExternalDependencies
) -> AsyncIterator[Application]:
    """Open an application that has all leases of the providers in ``providers``."""
    module = ModuleType("gpurent_bench_providers")
    vars(module).update(make_plugin_hooks())
    registry = EntryPointRegistry.load(builtin=[builtin_entries, module], points=())
    assert not registry.problems, registry.problems
    application = Application(registry, make_private_folder(root), providers.environment, terminal, outside)
    try:
        await application.start()
        for lease in providers.leases:
            await application.store.save_lease(lease)
        yield application
    finally:
        await application.aclose()


async def measure_watch(
    leases: int, minutes: float, root: Path, clock: ProviderClock, outside: ExternalDependencies
) -> WatchCost:
    """Run a guard over ``leases`` of 5 providers for ``minutes`` of ``clock``, after a first round."""
    home = make_private_folder(root)
    (home / "config.toml").write_text(GUARD_CONFIG)
    with run_providers(leases, clock.now()) as providers:
        async with open_application(home, providers, NullTerminal(), outside) as application:
            return await _measure_guard(application.guard, clock, providers.count_requests, leases, minutes)


async def _measure_guard(
    guard: Guard, clock: Clock, count: Callable[[], int], leases: int, minutes: float
) -> WatchCost:
    task = asyncio.create_task(guard.run_forever())
    try:
        while len(guard.results) < leases:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
        started, request_count, cpu = clock.now(), count(), process_time()
        guard.check_count = 0
        await clock.sleep(timedelta(minutes=minutes))
        passed = (clock.now() - started) / timedelta(minutes=1)
        return WatchCost(
            leases=leases,
            minutes=passed,
            requests=count() - request_count,
            looks=guard.check_count,
            cpu=process_time() - cpu,
            memory=_read_memory(),
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _read_memory() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


def _format_factor(after: float, before: float) -> str:
    return f"{after / before:.1f}" if before else "?"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as root:
            clock = make_fast_clock(Path(root) / "clock")
            outside = ExternalDependencies(clock=clock)
            cost = asyncio.run(
                measure_watch(int(sys.argv[2]), float(sys.argv[3]), Path(root) / "home", clock, outside)
            )
        sys.stdout.write(json.dumps(asdict(cost)))
        return
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    sizes = [int(size) for size in sys.argv[2:]] or LEASE_COUNTS
    out = sys.stdout.write
    out(f"{PROVIDER_COUNT} providers, {minutes:g} minutes of their time each\n")
    out("leases  CPU share  CPU s/min/lease  memory  requests/min  requests/min/lease\n")
    costs = []
    for size in sizes:
        # Each size runs in a process of its own, so that its memory can be measured.
        ran = subprocess.run(
            [sys.executable, __file__, "--one", str(size), str(minutes)], stdout=subprocess.PIPE, check=True
        )
        cost = WatchCost(**json.loads(ran.stdout))
        costs.append(cost)
        each = cost.cpu / cost.minutes / size
        out(
            f"{size:6}  {cost.cpu_share:8.2f}%  {each:15.6f}  {cost.memory:3.0f} MiB  {cost.request_rate:12.1f}"
            f"  {cost.request_rate / size:18.3f}\n"
        )
    for before, after in pairwise(costs):
        times = after.leases / before.leases
        out(
            f"{times:g} times the leases: {_format_factor(after.cpu_share, before.cpu_share)} times the CPU, "
            f"{_format_factor(after.request_rate, before.request_rate)} times the requests\n"
        )


if __name__ == "__main__":
    main()
