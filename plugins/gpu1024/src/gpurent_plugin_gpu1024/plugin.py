"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gpurent.api import (
    InputField,
    LeaseEntry,
    MachineProfile,
    RetentionEffect,
    RetentionEvent,
    RetentionStep,
    SimulatorEntry,
    check_web_url,
    hookimpl,
    one_of,
)
from gpurent_plugin_gpu1024 import _

if TYPE_CHECKING:
    from gpurent.api import LeaseProvider, PluginContext, ProviderSimulator, SimulatorContext

REQUIRED_API = (1, 0)
NAME = "1024gpu"
SETTINGS = (
    InputField(
        name="url", label=_("URL of the web API"), default="https://info.dbchain.ai", check=check_web_url
    ),
    InputField(
        name="mode",
        label=_("auto, api (never manually), or manual (you rent and release manually on its pages)"),
        default="auto",
        check=one_of("auto", "api", "manual"),
        new_values_by_former={"hands": "manual", "portal": "api"},
    ),
    InputField(
        name="web_url",
        label=_("URL of the rental pages"),
        default="https://www.1024gpu.top",
        check=check_web_url,
        former_name="site",
    ),
    InputField(name="brand", label=_("Brand name sent with every request"), default="1024lab"),
    InputField(name="language", label=_("Language: CN or EN"), default="CN", check=one_of("cn", "en")),
    InputField(
        name="mail_sender",
        label=_("Sender of the e-mails with codes and SSH access"),
        default="service@1024lab.example",
    ),
    InputField(
        name="binding_address",
        label=_("Address that receives the e-mail binding fee"),
        default="AKMqDy51FuMnc4poiGBczQvPh6819hQuLH",
        former_name="platform",
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
            summary=_(
                "GPU containers prepaid in DBC; you can upload to a CPU container first, for a deposit"
            ),
            build=_build_provider,
            settings=SETTINGS,
            claims_offers=True,
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
                "compatibility": _("cuDNN errors seen"),
                "invoice": _("none"),
                "withdrawal": _("by selling DBC"),
            },
            retention=(
                RetentionStep(
                    RetentionEvent.TERM_ENDED,
                    RetentionEffect.DELETED,
                    note=_("with less than 20,000 DBC in the wallet"),
                ),
                RetentionStep(
                    RetentionEvent.TERM_ENDED,
                    RetentionEffect.DELETED,
                    timedelta(days=7),
                    note=_("with 20,000 DBC or more in the wallet"),
                ),
            ),
            live_notes=_(
                "The 2020 service no longer exists. Its web API is fully known from its public web "
                "client and followed exactly; the wording of its e-mails and its charges are assumed. "
                "Never run against the live service."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [SimulatorEntry(name=NAME, summary=_("simulator of the 2020 web API"), build=_build_simulator)]
