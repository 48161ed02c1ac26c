"""The plugin's entries."""

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
    RetentionEffect,
    RetentionEvent,
    RetentionStep,
    SimulatorEntry,
    check_web_url,
    hookimpl,
    one_of,
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

REQUIRED_API = (1, 0)
NAME = "mistgpu"
SETTINGS = (
    InputField(name="url", label=_("URL of the website"), default="https://mistgpu.com", check=check_web_url),
    InputField(
        name="mode",
        label=_("auto, api (never manually), or manual (you rent and shut down manually on its pages)"),
        default="auto",
        check=one_of("auto", "api", "manual"),
        new_values_by_former={"hands": "manual", "portal": "api"},
    ),
    InputField(
        name="allow_assumed",
        label=_("Use assumed, unverified forms (the sandbox sets yes)"),
        default="no",
        check=one_of("yes", "no"),
        former_name="assumed",
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
            summary=_("GPU servers billed by the minute from a CNY balance"),
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
            claims_offers=True,
            overview={
                "machines": "14",
                "difficulty": _("simple"),
                "price": _("3-6 CNY/h"),
                "upload": _("medium"),
                "cpu_only": _("no"),
                "compatibility": _("no problems seen"),
                "invoice": _("from 200 CNY spent"),
                "withdrawal": _("none"),
            },
            retention=(
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED),
                RetentionStep(RetentionEvent.STOPPED, RetentionEffect.DELETED, timedelta(days=15)),
            ),
            live_notes=_(
                "Never run against the live service. Its login form and machine list are known from a"
                " public client of 2020; its create and stop forms and its charges were never seen: "
                "gpurent opens the page, and you do these steps manually; in the sandbox gpurent does them."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME, summary=_("simulator of the MISTGPU website, partly assumed"), build=_build_simulator
        )
    ]
