"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import SimulatorEntry, hookimpl
from gpurent_plugin_vast import _

if TYPE_CHECKING:
    from gpurent.api import ProviderSimulator, SimulatorContext

NAME = "vast"


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_vast.simulator.service import VastSimulator

    return VastSimulator(context)


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of the vast.ai API, from its documentation"),
            build=_build_simulator,
        )
    ]
