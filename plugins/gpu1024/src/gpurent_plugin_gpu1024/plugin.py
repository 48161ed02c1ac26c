"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import InputField, LeaseEntry, MachineProfile, SimulatorEntry, hookimpl
from gpurent_plugin_gpu1024 import _

if TYPE_CHECKING:
    from gpurent.api import LeaseProvider, PluginContext, ProviderSimulator, SimulatorContext

NAME = "1024gpu"
SETTINGS = (
    InputField(name="url", label=_("The web API"), default="https://info.dbchain.ai"),
    InputField(
        name="mode", label=_("auto, portal, or hands: you rent and return on its pages"), default="auto"
    ),
    InputField(name="site", label=_("Where people rent"), default="https://www.1024gpu.top"),
    InputField(name="brand", label=_("Brand, sent with every call"), default="1024lab"),
    InputField(name="language", label=_("CN or EN"), default="CN"),
    InputField(
        name="mail_sender",
        label=_("Who sends the codes and the SSH access"),
        default="service@1024lab.example",
    ),
    InputField(
        name="platform",
        label=_("Where the fee of the mail binding goes"),
        default="AKMqDy51FuMnc4poiGBczQvPh6819hQuLH",
    ),
)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_gpu1024.provider import Gpu1024Provider

    return Gpu1024Provider(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_gpu1024.simulator.service import Gpu1024Simulator

    return Gpu1024Simulator(context)


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPU containers prepaid in DBC; upload first on a CPU container against a deposit"),
            build=_build_provider,
            settings=SETTINGS,
            auth="dbc",
            billing="dbc",
            profile=MachineProfile(user="root", install_prefix="apt-get install -y"),
            needs_mailbox=True,
            web_hosts=("www.1024gpu.top",),
            overview={
                "machines": "31",
                "difficulty": _("harder"),
                "price": _("1-2 CNY/h"),
                "upload": _("slow"),
                "cpu_only": _("yes"),
                "compatibility": _("CuDNN errors seen"),
                "invoice": _("none"),
                "cash_out": _("by selling DBC"),
            },
            live_notes=_(
                "The service of 2020 is gone. Its web API is known in full from its public web "
                "client and spoken exactly so; the wording of its mails and the ledger are "
                "assumed. Never run against the live service."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(name=NAME, summary=_("the web API of 2020, in the sandbox"), build=_build_simulator)
    ]
