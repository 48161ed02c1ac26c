"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gpurent.api import (
    AuthEntry,
    BillingEntry,
    InputField,
    LeaseEntry,
    MachineProfile,
    SimulatorEntry,
    hookimpl,
)
from gpurent_plugin_mistgpu import _

if TYPE_CHECKING:
    from gpurent.api import (
        Authenticator,
        BillingProvider,
        LeaseProvider,
        PluginContext,
        ProviderSimulator,
        SimulatorContext,
    )

NAME = "mistgpu"
SETTINGS = (
    InputField(name="url", label=_("The site"), default="https://mistgpu.com"),
    InputField(
        name="mode", label=_("auto, portal, or hands: you rent and stop on its pages"), default="auto"
    ),
    InputField(
        name="assumed", label=_("Use forms that are only assumed (the sandbox says yes)"), default="no"
    ),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent_plugin_mistgpu.client import MistgpuAuthenticator

    return MistgpuAuthenticator(context)


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_mistgpu.billing import MistgpuBilling

    return MistgpuBilling(context)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_mistgpu.provider import MistgpuProvider

    return MistgpuProvider(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_mistgpu.simulator.service import MistgpuSimulator

    return MistgpuSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (
        InputField(name="username", label=_("phone number or e-mail")),
        InputField(name="password", label=_("password"), secret=True),
    )
    return [
        AuthEntry(
            name=NAME,
            summary=_("MISTGPU account"),
            build=_build_authenticator,
            settings=SETTINGS,
            fields=fields,
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary=_("MISTGPU balance in CNY"),
            build=_build_billing,
            settings=SETTINGS,
            currency="CNY",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    stop = "if [ -e /mistgpu/shutdown.sh ]; then sh /mistgpu/shutdown.sh; else sh ~/shutdown.sh; fi"
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPU servers by the minute, paid in CNY from a balance"),
            build=_build_provider,
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(
                user="mist",
                data_dir="/data",
                install_prefix="sudo apt-get install -y",
                stop_script=stop,
                files_kept_for=timedelta(days=15),
            ),
            web_hosts=("mistgpu.com",),
            overview={
                "machines": "14",
                "difficulty": _("simple"),
                "price": _("3-6 CNY/h"),
                "upload": _("medium"),
                "cpu_only": _("none"),
                "compatibility": _("no trouble seen"),
                "invoice": _("from 200 CNY spent"),
                "cash_out": _("none"),
            },
            live_notes=_(
                "Never run against the live site. Its sign-in form and machine list are known "
                "from a public client of 2020; create, stop and charges were never seen: "
                "gpurent opens the page, and you do these by hand."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME, summary=_("MISTGPU's site as it was, and as it must have been"), build=_build_simulator
        )
    ]
