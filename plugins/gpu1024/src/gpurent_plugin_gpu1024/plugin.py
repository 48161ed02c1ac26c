"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import Field, LeaseEntry, MachineProfile, SimulatorEntry, hookimpl
from gpurent_plugin_gpu1024 import _

if TYPE_CHECKING:
    from gpurent.api import LeaseProvider, PluginContext, ProviderSimulator, SimulatorContext

NAME = "1024gpu"
SETTINGS = (
    Field(name="url", label=_("The web API"), default="https://info.dbchain.ai"),
    Field(name="mode", label=_("auto, portal, or hands: you rent and return on its pages"), default="auto"),
    Field(name="site", label=_("Where people rent"), default="https://www.1024gpu.top"),
    Field(name="brand", label=_("Brand, sent with every call"), default="1024lab"),
    Field(name="language", label=_("CN or EN"), default="CN"),
    Field(
        name="mail_sender",
        label=_("Who sends the codes and the SSH access"),
        default="service@1024lab.example",
    ),
    Field(
        name="platform",
        label=_("Where the fee of the mail binding goes"),
        default="AKMqDy51FuMnc4poiGBczQvPh6819hQuLH",
    ),
)


def _lease(host: PluginContext) -> LeaseProvider:
    from gpurent_plugin_gpu1024.shop import Shop

    return Shop(host)


def _simulator(site: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_gpu1024.simulator.service import Gpu1024Simulator

    return Gpu1024Simulator(site)


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPU containers prepaid in DBC; upload first on a CPU container against a deposit"),
            build=_lease,
            settings=SETTINGS,
            auth="dbc",
            billing="dbc",
            profile=MachineProfile(user="root", install="apt-get install -y"),
            mailbox=True,
            hosts=("www.1024gpu.top",),
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
            live=_(
                "The service of 2020 is gone. Its web API is known in full from its public web "
                "client and spoken exactly so; the wording of its mails and the ledger are "
                "assumed. Never run against the live service."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [SimulatorEntry(name=NAME, summary=_("the web API of 2020, in the sandbox"), build=_simulator)]
