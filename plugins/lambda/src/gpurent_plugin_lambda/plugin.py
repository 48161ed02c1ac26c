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
    RoutePace,
    SimulatorEntry,
    check_web_url,
    hookimpl,
)
from gpurent_plugin_lambda import _

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
NAME = "lambda"
# As documented; what a call that comes too early is answered is not.
PACING = (
    RoutePace(method="*", path="/", interval=timedelta(seconds=1)),
    RoutePace(method="POST", path="/api/v1/instance-operations/launch", interval=timedelta(seconds=12)),
)
SETTINGS = (
    InputField(name="url", label=_("URL of the API"), default="https://cloud.lambda.ai", check=check_web_url),
    InputField(
        name="billing_page",
        label=_("page on which the account's bills are"),
        default="https://cloud.lambda.ai/settings/billing",
        check=check_web_url,
    ),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent_plugin_lambda import wire
    from gpurent_plugin_lambda.auth import LambdaAuthenticator

    return LambdaAuthenticator(wire.make_api(context))


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_lambda.billing import LambdaBilling

    return LambdaBilling(context)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_lambda.provider import LambdaProvider

    return LambdaProvider(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_lambda.simulator.service import LambdaSimulator

    return LambdaSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="api_key", label=_("API key"), secret=True),)
    return [
        AuthEntry(
            name=NAME,
            summary=_("Lambda Cloud account, by API key"),
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
            summary=_("Lambda Cloud account, billed afterwards in USD"),
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
            summary=_("GPUs of Lambda Cloud, billed by the minute, afterwards"),
            build=_build_provider,
            settings=SETTINGS,
            pacing=PACING,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="ubuntu", install_prefix="sudo apt-get install -y"),
            web_hosts=("cloud.lambda.ai",),
            key_only=True,
            overview={
                "machines": _("data centres in several countries; the wanted type is often sold out"),
                "difficulty": _("simple"),
                "price": _("0.5-7 USD/h and GPU"),
                "upload": _("free"),
                "cpu_only": _("not by gpurent"),
                "compatibility": _("Ubuntu with CUDA and PyTorch"),
                "invoice": _("every week"),
                "withdrawal": _("none: it is billed afterwards"),
            },
            live_notes=_(
                "Never run against the live service. Its API is known from its OpenAPI document of 2026 and from the"
                " source of a client that is generated from it."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of the Lambda Cloud API, from its OpenAPI document"),
            build=_build_simulator,
        )
    ]
