"""What `gpurent top` costs with many leases: ``python bench/top.py [LEASES]`` prints time and memory."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cli.crowd import crowd


def memory() -> float:
    """The most that this process ever had resident, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def bench(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with crowd(Path(folder), count) as many:
            before = memory()
            app = many.screen()
            painted: list[float] = []
            begun = perf_counter()
            paint = app.paint

            def watched() -> None:
                paint()
                painted.append(perf_counter() - begun)

            app.paint = watched  # type: ignore[method-assign]
            async with app.run_test(size=(80, 24)) as pilot:
                print(f"first paint of {count} leases: {painted[0] * 1000:.0f} ms")
                while len(many.shop.looks) < count or app._asking:
                    await pilot.pause(0.05)
                spent = process_time()
                for _time in range(20):
                    app.paint()
                print(f"a paint that changes nothing: {(process_time() - spent) * 50:.1f} ms")
                spent = process_time()
                for _time in range(5):
                    many.overview.reload()
                print(f"taking up the journal: {(process_time() - spent) * 200:.1f} ms")
                spent = process_time()
                for _time in range(20):
                    await pilot.press("down")
                print(f"a key: {(process_time() - spent) * 50:.1f} ms")
            print(f"memory: {before:.0f} MiB before the screen, {memory():.0f} MiB at most")


if __name__ == "__main__":
    asyncio.run(bench(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
