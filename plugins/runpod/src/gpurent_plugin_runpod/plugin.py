"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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
    build_lazily,
    check_web_url,
    hookimpl,
)
from gpurent_plugin_runpod import _

if TYPE_CHECKING:
    from gpurent import api

REQUIRED_API = (1, 0)
NAME = "runpod"
# The documented quota of an account is 60 calls a minute over all routes. These are called again and again.
PACING = tuple(
    RoutePace(method="POST" if path == "/graphql" else "GET", path=path, interval=timedelta(seconds=2))
    for path in ("/graphql", "/v2/pods", "/v2/pods/{}", "/v2/catalog/gpus", "/v2/billing/pods")
)


def _check_balance(text: str) -> object:
    from gpurent_plugin_runpod.wire import parse_declared_balance

    return parse_declared_balance(text)


SETTINGS = (
    InputField(name="url", label=_("URL of the API"), default="https://api.runpod.io", check=check_web_url),
    InputField(
        name="billing_page",
        label=_("page on which credit is added; {account} and {amount} are filled in"),
        default="https://console.runpod.io/user/billing",
        check=check_web_url,
    ),
    InputField(
        name="image",
        label=_("Docker image of new pods; it has to start an SSH server for the keys in PUBLIC_KEY"),
        default="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
    ),
    InputField(
        name="balance",
        label=_("your credit and when you read it, used where RunPod does not tell it"),
        optional=True,
        example="25.00 USD 2026-12-01T09:00:00Z",
        check=_check_balance,
    ),
)
SHARED: Any = {"name": NAME, "settings": SETTINGS, "pacing": PACING}


def _build_authenticator(context: api.PluginContext) -> api.Authenticator:
    from gpurent_plugin_runpod import wire
    from gpurent_plugin_runpod.login import RunpodAuthenticator

    return RunpodAuthenticator(wire.make_api(context), wire.KEYS_PATH, "id")


_build_billing = build_lazily("gpurent_plugin_runpod.billing", "RunpodBilling")
_build_provider = build_lazily("gpurent_plugin_runpod.provider", "RunpodProvider")
_build_simulator = build_lazily("gpurent_plugin_runpod.simulator.service", "RunpodSimulator")


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="api_key", label=_("API key"), secret=True),)
    summary = _("RunPod account, by API key")
    return [AuthEntry(**SHARED, summary=summary, build=_build_authenticator, fields=fields)]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [BillingEntry(**SHARED, summary=_("RunPod credit in USD"), build=_build_billing, currency="USD")]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            **SHARED,
            summary=_("GPUs in RunPod's data centers, billed by the second from a credit in USD"),
            build=_build_provider,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="root", data_dir="/workspace", install_prefix="apt-get install -y"),
            web_hosts=("console.runpod.io",),
            key_only=True,
            overview={
                "machines": _("many, in some thirty data centers"),
                "difficulty": _("simple"),
                "price": _("0.2-8 USD/h and GPU"),
                "upload": _("traffic is free"),
                "cpu_only": _("no"),
                "compatibility": _("Docker images with an SSH server"),
                "invoice": _("on its billing page"),
                "withdrawal": _("none"),
            },
            retention=(
                RetentionStep(
                    RetentionEvent.BALANCE_USED_UP,
                    RetentionEffect.STOPPED,
                    note=_("pods with a network volume"),
                ),
                RetentionStep(RetentionEvent.BALANCE_USED_UP, RetentionEffect.DELETED, note=_("other pods")),
            ),
            live_notes=_(
                "Never run against the live service. Its API v2 is known from its documentation of 2026, and the"
                " GraphQL API from the source of its Python client."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    summary = _("simulator of RunPod's REST API v2 and GraphQL API, from their documentation")
    return [SimulatorEntry(name=NAME, summary=summary, build=_build_simulator)]
