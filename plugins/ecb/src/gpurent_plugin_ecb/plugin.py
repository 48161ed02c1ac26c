"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gpurent.api import InputField, RateEntry, SimulatorEntry, check_web_url, hookimpl
from gpurent_plugin_ecb import _

if TYPE_CHECKING:
    from gpurent.api import PluginContext, ProviderSimulator, RateSource, SimulatorContext

REQUIRED_API = (1, 0)
NAME = "ecb"
# From Thursday to the Tuesday after Easter there is no new value.
MAX_AGE = timedelta(days=6)
SETTINGS = (
    InputField(
        name="url",
        label=_("Website of the European Central Bank; empty: its rates are not used"),
        default="https://www.ecb.europa.eu",
        check=check_web_url,
    ),
)


def _build_source(context: PluginContext) -> RateSource:
    from gpurent_plugin_ecb.source import EcbRateSource

    return EcbRateSource(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_ecb.simulator.service import EcbSimulator

    return EcbSimulator(context)


@hookimpl
def gpurent_register_rate() -> Sequence[RateEntry]:
    return [
        RateEntry(
            name=NAME,
            summary=_("USD/CNY from the reference rates of the European Central Bank"),
            build=_build_source,
            settings=SETTINGS,
            max_age=MAX_AGE,
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of the daily reference rates of the European Central Bank"),
            build=_build_simulator,
        )
    ]
