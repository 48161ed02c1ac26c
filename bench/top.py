"""What `gpurent top` costs with many leases: ``python bench/top.py [LEASES]`` prints time and memory."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cli.many_leases import many_leases


def peak_memory() -> float:
    """Return the peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure_top(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with many_leases(Path(folder), count) as many:
            before = peak_memory()
            app = many.make_screen()
            painted: list[float] = []
            started = perf_counter()
            original_update = app.update_screen

            def update_and_record() -> None:
                original_update()
                painted.append(perf_counter() - started)

            app.update_screen = update_and_record  # type: ignore[method-assign]
            async with app.run_test(size=(80, 24)) as pilot:
                print(f"first paint of {count} leases: {painted[0] * 1000:.0f} ms")
                while len(many.provider.refresh_counts) < count or app._refresh_tasks:
                    await pilot.pause(0.05)
                spent = process_time()
                for _time in range(20):
                    app.update_screen()
                print(f"a paint that changes nothing: {(process_time() - spent) * 50:.1f} ms")
                spent = process_time()
                for _time in range(5):
                    await many.overview.reload_leases()
                print(f"taking up the journal: {(process_time() - spent) * 200:.1f} ms")
                spent = process_time()
                for _time in range(20):
                    await pilot.press("down")
                print(f"a key: {(process_time() - spent) * 50:.1f} ms")
            print(f"memory: {before:.0f} MiB before the screen, {peak_memory():.0f} MiB at most")


if __name__ == "__main__":
    asyncio.run(measure_top(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
