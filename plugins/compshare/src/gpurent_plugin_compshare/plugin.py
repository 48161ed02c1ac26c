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
from gpurent_plugin_compshare import _

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
NAME = "compshare"
SETTINGS = (
    InputField(
        name="url", label=_("URL of the API"), default="https://api.compshare.cn", check=check_web_url
    ),
    InputField(
        name="billing_page",
        label=_("page of money and invoices; {account} and {amount} are filled in"),
        default="https://console.compshare.cn/",
        check=check_web_url,
    ),
    InputField(
        name="image",
        label=_("image of new machines: its id, or a part of the name of a container image"),
        default="PyTorch",
    ),
    InputField(
        name="cardless",
        label=_("yes: upload while the machine runs without its GPU, which others may take meanwhile"),
        default="no",
        check=one_of("yes", "no"),
    ),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent_plugin_compshare.client import CompShareAuthenticator, make_api

    return CompShareAuthenticator(make_api(context), "GetProjectList", "ProjectId")


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_compshare.billing import CompShareBilling

    return CompShareBilling(context)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_compshare.provider import CompShareProvider
    from gpurent_plugin_compshare.staging import StagingCompShareProvider

    return (StagingCompShareProvider if context.settings["cardless"] == "yes" else CompShareProvider)(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_compshare.simulator.service import CompShareSimulator

    return CompShareSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (
        InputField(name="public_key", label=_("public key")),
        InputField(name="private_key", label=_("private key"), secret=True),
    )
    return [
        AuthEntry(
            name=NAME,
            summary=_("CompShare account, by a pair of API keys"),
            build=_build_authenticator,
            settings=SETTINGS,
            fields=fields,
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    summary = _("CompShare balance in CNY")
    return [BillingEntry(name=NAME, summary=summary, build=_build_billing, settings=SETTINGS, currency="CNY")]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPUs of CompShare (优云智算), billed by the second from a balance in CNY"),
            build=_build_provider,
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="root", data_dir="/root", install_prefix="apt-get install -y"),
            web_hosts=("console.compshare.cn",),
            overview={
                "machines": _("several data centres in China"),
                "difficulty": _("simple; needs a verified real name"),
                "price": _("1.2-7.5 CNY/h and GPU"),
                "upload": _("fast within China"),
                "cpu_only": _("no"),
                "compatibility": _("container images, and system images of your choice"),
                "invoice": _("ordinary or special, on its page"),
                "withdrawal": _("to Alipay within 90 days, to WeChat within a year"),
            },
            retention=(
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.WARNED, timedelta(minutes=30)),
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED, timedelta(hours=1)),
                RetentionStep(
                    RetentionEvent.BALANCE_USED_UP,
                    RetentionEffect.DELETED,
                    timedelta(hours=12),
                    note=_("between 10:00 and 19:00 in China"),
                ),
                RetentionStep(
                    RetentionEvent.STOPPED,
                    RetentionEffect.DELETED,
                    timedelta(days=7),
                    note=_("at the next 12:00 in China; data disks stay, and cost money"),
                ),
            ),
            live_notes=_(
                "Never run against the live service. Its API is known from its documentation and the source of its"
                " command line and SDK, of 2026."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    summary = _("simulator of the CompShare API, from its documentation")
    return [SimulatorEntry(name=NAME, summary=summary, build=_build_simulator)]
