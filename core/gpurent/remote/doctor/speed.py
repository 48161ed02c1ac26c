"""Runs on the rented machine: how fast the memory and the bus of every GPU are, and what all of them at once draw.

Usage: ``python speed.py SECONDS FILE``. Prints lines of JSON after a marker; while all GPUs are under full load, the
output of ``nvidia-smi -q -x`` is written to FILE. Needs PyTorch, and Python 3.6 or later.
"""

import json
import subprocess
import sys
import threading
import time
from typing import Any, List

MARK = "gpurent-speed:"
GIB = 1 << 30
TRIES = 5
SAMPLE_SECONDS = 20


def report_stage(stage: str, **facts: Any) -> None:
    """Print one line for the parser."""
    facts["stage"] = stage
    sys.stdout.write(MARK + json.dumps(facts, sort_keys=True) + "\n")
    sys.stdout.flush()


def measure_rate(torch: Any, device: str, size: int, copy: Any) -> float:
    """Return the best rate of a copy of ``size`` bytes, in bytes per second."""
    best = 0.0
    for _try in range(TRIES):
        torch.cuda.synchronize(device)
        begun = time.perf_counter()
        copy()
        torch.cuda.synchronize(device)
        best = max(best, size / max(time.perf_counter() - begun, 1e-9))
    return best


def measure_gpu(torch: Any, device: str) -> None:
    """Report the bandwidth of the memory (read and written) and of the bus in both directions, in bytes per second."""
    size = int(min(GIB, torch.cuda.get_device_properties(device).total_memory // 8))
    here = torch.empty(size, dtype=torch.uint8, device=device)
    there = torch.empty_like(here)
    outside = torch.empty(size // 4, dtype=torch.uint8).pin_memory()
    part = here[: size // 4]
    memory = 2 * measure_rate(torch, device, size, lambda: there.copy_(here))
    up = measure_rate(torch, device, size // 4, lambda: part.copy_(outside, non_blocking=True))
    down = measure_rate(torch, device, size // 4, lambda: outside.copy_(part, non_blocking=True))
    report_stage("gpu", device=device, memory=round(memory), up=round(up), down=round(down))


def load_gpu(torch: Any, device: str, ended: Any) -> None:
    """Multiply matrices until ``ended`` is set."""
    number = 4096
    left = torch.randn(number, number, device=device, dtype=torch.float16)
    right = torch.randn(number, number, device=device, dtype=torch.float16)
    while not ended.is_set():
        for _time in range(20):
            left @ right
        torch.cuda.synchronize(device)


def sample_load(torch: Any, devices: List[str], seconds: float, path: str) -> None:
    """Load all GPUs for ``seconds``, then write what the driver's tool says to the file, still under load."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=load_gpu, args=(torch, device, ended), daemon=True) for device in devices
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    try:
        said = subprocess.run(
            ["nvidia-smi", "-q", "-x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SAMPLE_SECONDS,
            check=False,
        ).stdout
        with open(path, "wb") as file:  # noqa: PTH123 - old Pythons
            file.write(said)
        report_stage("loaded", running=sum(thread.is_alive() for thread in threads))
    finally:
        ended.set()
        for thread in threads:
            thread.join(SAMPLE_SECONDS)


def run(seconds: float, path: str) -> None:
    import torch

    devices = ["cuda:%d" % number for number in range(torch.cuda.device_count())]  # noqa: UP031 - old Pythons
    report_stage("gpus", count=len(devices))
    for device in devices:
        measure_gpu(torch, device)
    if devices:
        sample_load(torch, devices, seconds, path)


if __name__ == "__main__":
    try:
        run(float(sys.argv[1]), sys.argv[2])
    except Exception as error:  # noqa: BLE001 - reported, not raised
        report_stage("failed", error="%s: %s" % (type(error).__name__, str(error)[:1500]))  # noqa: UP031
    report_stage("end")
