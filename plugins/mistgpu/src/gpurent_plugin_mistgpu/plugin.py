"""Entries only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from gpurent.api import AuthEntry, BillingEntry, Field, LeaseEntry, MachineProfile, SimulatorEntry, hookimpl
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
    Field(name="url", label=_("The site"), default="https://mistgpu.com"),
    Field(name="mode", label=_("auto, portal, or hands: you rent and stop on its pages"), default="auto"),
    Field(name="assumed", label=_("Use forms that are only assumed (the sandbox says yes)"), default="no"),
)


def _auth(host: PluginContext) -> Authenticator:
    from gpurent_plugin_mistgpu.pages import FormLogin

    return FormLogin(host)


def _billing(host: PluginContext) -> BillingProvider:
    from gpurent_plugin_mistgpu.billing import Account

    return Account(host)


def _lease(host: PluginContext) -> LeaseProvider:
    from gpurent_plugin_mistgpu.shop import Shop

    return Shop(host)


def _simulator(site: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_mistgpu.simulator.service import MistgpuSimulator

    return MistgpuSimulator(site)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (
        Field(name="username", label=_("phone number or e-mail")),
        Field(name="password", label=_("password"), secret=True),
    )
    return [AuthEntry(name=NAME, summary=_("MISTGPU account"), build=_auth, settings=SETTINGS, fields=fields)]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME, summary=_("MISTGPU balance in CNY"), build=_billing, settings=SETTINGS, currency="CNY"
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    stop = "if [ -e /mistgpu/shutdown.sh ]; then sh /mistgpu/shutdown.sh; else sh ~/shutdown.sh; fi"
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPU servers by the minute, paid in CNY from a balance"),
            build=_lease,
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(
                user="mist",
                data="/data",
                install="sudo apt-get install -y",
                stop_script=stop,
                kept=timedelta(days=15),
            ),
            hosts=("mistgpu.com",),
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
            live=_(
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
            name=NAME, summary=_("MISTGPU's site as it was, and as it must have been"), build=_simulator
        )
    ]
