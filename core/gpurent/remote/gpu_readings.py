"""What the driver's tool reports of a GPU's limits at one moment: power, clocks, PCIe. Pure, and never fails.

Read from ``nvidia-smi -q -x``, whose names changed: before the drivers of branch 530, power is in ``power_readings``
with ``power_limit`` and ``enforced_power_limit``, and clocks have ``clocks_throttle_reasons``; since then it is in
``gpu_power_readings`` with ``current_power_limit``, and clocks have ``clocks_event_reasons``.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.remote.nvidia_smi import MAX_GPUS, parse_name, parse_root

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_FIGURE = re.compile(r"(\d{1,7})(?:\.\d{1,4})?\s*(?:W|MHz|x)?", re.ASCII)
_REASON = re.compile(r"clocks_(?:event|throttle)_reason_([a-z_]{1,40})", re.ASCII)
# Those that say that the GPU is slowed down by heat or by its power supply; a power limit at full load is usual.
SLOWDOWNS = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")


@frozen(kw_only=True)
class GpuReading:
    """Power in W, clocks in MHz, the generation and lanes of PCIe; None: not reported.

    ``reasons``: why the clocks are lower than they could be, of `SLOWDOWNS` and others. ``max_gen`` and ``max_lanes``
    are what both the GPU and the computer can.
    """

    name: str
    mig: bool = False
    power_limit: int | None = None
    default_power_limit: int | None = None
    clock: int | None = None
    max_clock: int | None = None
    reasons: tuple[str, ...] = ()
    gen: int | None = None
    max_gen: int | None = None
    lanes: int | None = None
    max_lanes: int | None = None


def parse_readings(text: str) -> tuple[GpuReading, ...]:
    """Parse the output of `XML_QUERY`; empty if it is something else."""
    root = parse_root(text)
    return tuple(map(_parse_gpu, root.findall("gpu")[:MAX_GPUS])) if root is not None else ()


def _parse_gpu(node: Element) -> GpuReading:
    link = "pci/pci_gpu_link_info"

    def first(*paths: str) -> int | None:
        return next(
            (found for path in paths if (found := _parse_figure(node.findtext(path))) is not None), None
        )

    return GpuReading(
        name=parse_name(node.findtext("product_name")),
        mig=(node.findtext("mig_mode/current_mig") or "").strip() == "Enabled",
        power_limit=first(
            "gpu_power_readings/current_power_limit",
            "power_readings/enforced_power_limit",
            "power_readings/power_limit",
        ),
        default_power_limit=first(
            "gpu_power_readings/default_power_limit", "power_readings/default_power_limit"
        ),
        clock=first("clocks/sm_clock"),
        max_clock=first("max_clocks/sm_clock"),
        reasons=_list_active_reasons(node),
        gen=first(f"{link}/pcie_gen/current_link_gen"),
        max_gen=first(f"{link}/pcie_gen/max_link_gen"),
        lanes=first(f"{link}/link_widths/current_link_width"),
        max_lanes=first(f"{link}/link_widths/max_link_width"),
    )


def _list_active_reasons(node: Element) -> tuple[str, ...]:
    groups = (node.iterfind(f"clocks_{word}_reasons/*") for word in ("event", "throttle"))
    active = [reason.tag for reason in chain(*groups) if (reason.text or "").strip() == "Active"]
    return tuple(found[1] for tag in active if (found := _REASON.fullmatch(tag)))


def _parse_figure(text: str | None) -> int | None:
    """Return the whole part of a number with its unit; None for "N/A" and the like."""
    found = _FIGURE.fullmatch((text or "").strip())
    return int(found[1]) if found else None
