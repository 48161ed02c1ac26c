"""Findings on how fast a machine is, compared with what its offer and the makers of its GPUs promise. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gpurent.domain.gpu_figures import GpuFigures, find_gpu_figures
from gpurent.domain.health import Finding, Verdict
from gpurent.locale import _, join_list
from gpurent.remote.doctor.health_report import MB, SLOW_DISK, ExpectedMachine, parse_dd_rate
from gpurent.remote.gpu_readings import SLOWDOWNS, GpuReading, parse_readings
from gpurent.remote.shell import ProbeSection, iter_marked_lines

_MARK = "gpurent-speed:"
_GB = 10**9
MAX_STAGES = 200
# GB/s of one lane, by generation.
_LANE_RATES = {1: 0.25, 2: 0.5, 3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
# Shares of the promised figure below which there is a warning: copies reach 80 to 92 % of the memory's figure, and 70
# to 90 % of the bus's.
LOW_POWER, LOW_CLOCK, LOW_BANDWIDTH, LOW_BUS, SMALL_DISK = 0.93, 0.6, 0.7, 0.5, 0.8
SLOW_READING = 100 * MB


def assess_performance(sections: Mapping[str, ProbeSection], wanted: ExpectedMachine) -> Iterator[Finding]:
    """Yield the findings; every check has one, even if only that it could not be done."""
    under_load = "smi-load" in sections
    smi = sections.get("smi-load") or sections.get("smi-idle")
    readings = parse_readings(smi.stdout) if smi else ()
    stages = _parse_stages(sections)
    gpus = [stage for stage in stages if stage["stage"] == "gpu"]
    figures = find_gpu_figures(wanted.gpu) or next(
        (found for reading in readings if (found := find_gpu_figures(reading.name))), None
    )
    yield _assess_power(readings, figures)
    yield _assess_clocks(readings, under_load, _explain_missing(sections, stages))
    yield _assess_bus(readings, gpus, figures, under_load)
    yield _assess_bandwidth(readings, gpus, figures, _explain_missing(sections, stages))
    yield _assess_throughput(sections)
    if wanted.disk:
        yield _assess_size(sections, wanted.disk)


def _parse_stages(sections: Mapping[str, ProbeSection]) -> Sequence[Mapping[str, Any]]:
    output = next((found.stdout for name, found in sections.items() if name.startswith("speed ")), "")
    found = []
    for line in list(iter_marked_lines(output, _MARK))[:MAX_STAGES]:
        try:
            stage = json.loads(line[:4000])
        except (ValueError, RecursionError):
            continue
        if isinstance(stage, dict) and isinstance(stage.get("stage"), str):
            found.append(stage)
    return found


def _explain_missing(sections: Mapping[str, ProbeSection], stages: Sequence[Mapping[str, Any]]) -> str:
    """Return why the GPUs were not measured."""
    if not any(name.startswith("speed ") for name in sections):
        return _("no Python with PyTorch was found to measure with")
    failed = next((stage for stage in stages if stage["stage"] == "failed"), None)
    if failed is not None:
        said = " ".join(str(failed.get("error", "")).split())[:200]
        return _("the measurement failed: {said}").format(said=said if said.isprintable() else "-")
    if any(stage["stage"] == "gpus" and not stage.get("count") for stage in stages):
        return _("PyTorch sees no GPU")
    return _("the measurement did not finish")


def _assess_power(readings: Sequence[GpuReading], figures: GpuFigures | None) -> Finding:
    limits = [reading for reading in readings if reading.power_limit is not None]
    if not limits:
        return Finding(check="power", verdict=Verdict.UNCHECKED, text=_("the driver reports no power limit"))

    def full(reading: GpuReading) -> int:
        return max(reading.default_power_limit or 0, figures.power if figures and not reading.mig else 0)

    capped = [reading for reading in limits if (reading.power_limit or 0) < full(reading) * LOW_POWER]
    shown = capped or limits
    text = join_list(
        dict.fromkeys(
            _("{limit} W of {full} W").format(limit=reading.power_limit, full=full(reading) or "?")
            for reading in shown
        )
    )
    if capped:
        return Finding(
            check="power", verdict=Verdict.WARNING, cause="power-capped", text=text,
            advice=_("The GPU is slower than the one that you pay for. Ask the provider, or rent another machine."),
        )  # fmt: skip
    return Finding(check="power", verdict=Verdict.OK, text=text)


def _assess_clocks(readings: Sequence[GpuReading], under_load: bool, missing: str) -> Finding:
    clocked = [reading for reading in readings if reading.clock and reading.max_clock]
    if not under_load or not clocked:
        return Finding(check="clocks", verdict=Verdict.UNCHECKED, text=missing)
    slowest = min(clocked, key=lambda reading: (reading.clock or 0) / (reading.max_clock or 1))
    slowed = sorted({reason for reading in clocked for reason in reading.reasons if reason in SLOWDOWNS})
    text = _("{clock} of {most} MHz under load").format(clock=slowest.clock, most=slowest.max_clock)
    if slowed:
        return Finding(
            check="clocks", verdict=Verdict.WARNING, cause="gpu-throttled",
            text=f"{text}: {join_list(slowed)}",
            advice=_("The GPU is slowed down by heat or by its power supply: rent another machine."),
        )  # fmt: skip
    if (slowest.clock or 0) < (slowest.max_clock or 0) * LOW_CLOCK:
        return Finding(
            check="clocks", verdict=Verdict.WARNING, cause="clocks-low", text=text,
            advice=_("Its clocks may be locked. Ask the provider, or rent another machine."),
        )  # fmt: skip
    return Finding(check="clocks", verdict=Verdict.OK, text=text)


def _assess_bus(
    readings: Sequence[GpuReading],
    gpus: Sequence[Mapping[str, Any]],
    figures: GpuFigures | None,
    under_load: bool,
) -> Finding:
    linked = [reading for reading in readings if reading.gen and reading.lanes]
    rates = [rate for gpu in gpus for name in ("up", "down") if (rate := _read_rate(gpu, name))]
    if not linked and not rates:
        return Finding(check="pcie", verdict=Verdict.UNCHECKED, text=_("the driver reports no PCIe link"))
    parts, narrow = [], False
    if linked:
        slowest = min(linked, key=_rate_of_link)
        # An idle GPU lowers the generation, and some the lanes: what the link can do is then in its maximum.
        gen = slowest.gen if under_load else slowest.max_gen
        lanes = slowest.lanes if under_load else slowest.max_lanes
        promised = figures.pcie_lanes if figures else slowest.max_lanes
        narrow = bool(lanes and promised and lanes < promised)
        form = (
            _("generation {gen}, {lanes} of {most} lanes") if narrow else _("generation {gen}, {lanes} lanes")
        )
        parts.append(form.format(gen=gen or "?", lanes=lanes or "?", most=promised))
    if rates:
        parts.append(_("{rate:.1f} GB/s").format(rate=min(rates) / _GB))
    promised_rate = _LANE_RATES.get(figures.pcie_gen, 0) * figures.pcie_lanes if figures else 0
    slow = bool(rates and min(rates) / _GB < promised_rate * LOW_BUS)
    if narrow or slow:
        return Finding(
            check="pcie", verdict=Verdict.WARNING, cause="pcie-slow", text=join_list(parts),
            advice=_("Loading data into the GPU is slower than it could be; some jobs do not notice."),
        )  # fmt: skip
    return Finding(check="pcie", verdict=Verdict.OK, text=join_list(parts))


def _rate_of_link(reading: GpuReading) -> float:
    return _LANE_RATES.get(reading.gen or 0, 0.0) * (reading.lanes or 0)


def _read_rate(stage: Mapping[str, Any], name: str) -> int:
    value = stage.get(name)
    return value if isinstance(value, int) and 0 < value < 10**15 else 0


def _assess_bandwidth(
    readings: Sequence[GpuReading],
    gpus: Sequence[Mapping[str, Any]],
    figures: GpuFigures | None,
    missing: str,
) -> Finding:
    rates = [copied for gpu in gpus if (copied := _read_rate(gpu, "memory"))]
    if not rates:
        return Finding(check="gpu-bandwidth", verdict=Verdict.UNCHECKED, text=missing)
    rate = min(rates) / _GB
    if figures is None or any(reading.mig for reading in readings):
        return Finding(check="gpu-bandwidth", verdict=Verdict.OK, text=_("{rate:.0f} GB/s").format(rate=rate))
    text = _("{rate:.0f} of {most} GB/s").format(rate=rate, most=figures.bandwidth)
    if rate < figures.bandwidth * LOW_BANDWIDTH:
        return Finding(
            check="gpu-bandwidth", verdict=Verdict.WARNING, cause="memory-slow", text=text,
            advice=_("The GPU is slower than the one that you pay for. Ask the provider, or rent another machine."),
        )  # fmt: skip
    return Finding(check="gpu-bandwidth", verdict=Verdict.OK, text=text)


def _assess_throughput(sections: Mapping[str, ProbeSection]) -> Finding:
    found = {
        (name, what): rate
        for name in ("home", "data")
        for what in ("write", "read")
        if (rate := parse_dd_rate(sections.get(f"{what} {name}")))
    }
    if not found:
        return Finding(
            check="disk-throughput",
            verdict=Verdict.UNCHECKED,
            text=_("the disk has too little room to be measured, or cannot be written to"),
        )
    titles: Mapping[str, Callable[[str], str]] = {
        "write": lambda rate: _("writes {rate} MB/s").format(rate=rate),
        "read": lambda rate: _("reads {rate} MB/s").format(rate=rate),
    }
    text = join_list(
        f"{'~' if name == 'home' else '/data'}: {titles[what](f'{rate / MB:.0f}')}"
        for (name, what), rate in found.items()
    )
    best_writing = max((rate for (_name, what), rate in found.items() if what == "write"), default=0.0)
    best_reading = max(
        (rate for (_name, what), rate in found.items() if what == "read"), default=SLOW_READING
    )
    if best_writing < SLOW_DISK or best_reading < SLOW_READING:
        return Finding(
            check="disk-throughput", verdict=Verdict.WARNING, cause="disk-slow", text=text,
            advice=_("Loading data will be slow. Use a few large files instead of many small ones."),
        )  # fmt: skip
    return Finding(check="disk-throughput", verdict=Verdict.OK, text=text)


def _assess_size(sections: Mapping[str, ProbeSection], disk: int) -> Finding:
    """Compare the largest file system with the offer's ``disk`` GiB."""
    spaces = [sections[name].stdout for name in ("space home", "space data") if name in sections]
    sizes = [
        int(match[1]) << 10
        for text in spaces
        if (match := re.fullmatch(r"\d{1,15} (\d{1,15})", text, re.ASCII))
    ]
    if not sizes:
        return Finding(
            check="disk-size", verdict=Verdict.UNCHECKED, text=_("the machine did not report its disk space")
        )
    text = _("rented: {wanted} GiB; found: {found:.0f} GiB").format(wanted=disk, found=max(sizes) / (1 << 30))
    if max(sizes) < disk * SMALL_DISK * (1 << 30):
        return Finding(
            check="disk-size", verdict=Verdict.WARNING, cause="disk-small", text=text,
            advice=_("Compare with the offer: gpurent show LEASE"),
        )  # fmt: skip
    return Finding(check="disk-size", verdict=Verdict.OK, text=text)
