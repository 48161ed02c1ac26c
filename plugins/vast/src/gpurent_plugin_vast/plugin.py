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
    RoutePace,
    SimulatorEntry,
    check_web_url,
    hookimpl,
)
from gpurent_plugin_vast import _

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
NAME = "vast"
# The shortest documented intervals between two calls of one account; the answer to a call that comes too early says
# nothing of them.
PACING = tuple(
    RoutePace(
        method=method, path=path, interval=timedelta(seconds=seconds), penalty=timedelta(seconds=penalty)
    )
    for method, path, seconds, penalty in (
        ("PUT", "/api/v0/asks/{}/", 4.5, 12),
        ("DELETE", "/api/v0/instances/{}/", 3, 0),
        ("GET", "/api/v0/instances/{}/", 2, 0),
        ("PUT", "/api/v0/instances/{}/", 1, 0),
        ("GET", "/api/v1/instances/", 1, 0),
        ("GET", "/api/v0/charges/", 1, 0),
        ("GET", "/api/v1/invoices/", 3, 0),
        ("GET", "/api/v0/instances/balance/{}/", 3, 0),
    )
)
SETTINGS = (
    InputField(name="url", label=_("URL of the API"), default="https://console.vast.ai", check=check_web_url),
    InputField(
        name="billing_page",
        label=_("page on which credit is added; {account} and {amount} are filled in"),
        default="https://cloud.vast.ai/billing/",
        check=check_web_url,
    ),
    InputField(name="image", label=_("Docker image of new machines"), default="vastai/pytorch:latest"),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent.api import ApiKeyAuthenticator
    from gpurent_plugin_vast import wire

    return ApiKeyAuthenticator(wire.make_api(context), wire.ACCOUNT_PATH, "id")


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_vast.billing import VastBilling

    return VastBilling(context)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_vast.provider import VastProvider

    return VastProvider(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_vast.simulator.service import VastSimulator

    return VastSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="api_key", label=_("API key"), secret=True),)
    return [
        AuthEntry(
            name=NAME,
            summary=_("vast.ai account, by API key"),
            build=_build_authenticator,
            settings=SETTINGS,
            pacing=PACING,
            fields=fields,
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary=_("vast.ai credit in USD"),
            build=_build_billing,
            settings=SETTINGS,
            pacing=PACING,
            currency="USD",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPUs of the vast.ai market, billed by the second from a credit in USD"),
            build=_build_provider,
            settings=SETTINGS,
            pacing=PACING,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="root", data_dir="/workspace", install_prefix="apt-get install -y"),
            web_hosts=("cloud.vast.ai",),
            key_only=True,
            overview={
                "machines": _("thousands, of many hosts"),
                "difficulty": _("simple"),
                "price": _("0.1-4 USD/h and GPU"),
                "upload": _("depends on the host; traffic is not always free"),
                "cpu_only": _("no"),
                "compatibility": _("Docker images of your choice"),
                "invoice": _("on its billing page"),
                "withdrawal": _("none"),
            },
            retention=(
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED),
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.DELETED, None),
            ),
            live_notes=_(
                "Never run against the live service. Its API is known from its documentation and the source of its"
                " command line, of 2026."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of the vast.ai API, from its documentation"),
            build=_build_simulator,
        )
    ]
