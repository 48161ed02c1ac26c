"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import (
    AuthEntry,
    BillingEntry,
    InputField,
    LeaseEntry,
    MachineProfile,
    SimulatorEntry,
    build_lazily,
    check_web_url,
    hookimpl,
)
from gpurent_plugin_prime import _

if TYPE_CHECKING:
    from gpurent.api import Authenticator, PluginContext

REQUIRED_API = (1, 0)
NAME = "prime"
SETTINGS = (
    InputField(
        name="url", label=_("URL of the API"), default="https://api.primeintellect.ai", check=check_web_url
    ),
    InputField(
        name="billing_page",
        label=_("page on which money is added; {account} and {amount} are filled in"),
        default="https://app.primeintellect.ai/dashboard/billing",
        check=check_web_url,
    ),
    InputField(name="image", label=_("image of new pods"), default="cuda_12_6_pytorch_2_7"),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent.api import ApiKeyAuthenticator
    from gpurent_plugin_prime import wire

    return ApiKeyAuthenticator(wire.make_api(context), wire.WALLET_PATH, "wallet_id")


_build_billing = build_lazily("gpurent_plugin_prime.billing", "PrimeBilling")
_build_provider = build_lazily("gpurent_plugin_prime.provider", "PrimeProvider")
_build_simulator = build_lazily("gpurent_plugin_prime.simulator.service", "PrimeSimulator")


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="api_key", label=_("API key"), secret=True),)
    return [
        AuthEntry(
            name=NAME,
            summary=_("Prime Intellect account, by API key"),
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
            summary=_("Prime Intellect wallet in USD"),
            build=_build_billing,
            settings=SETTINGS,
            currency="USD",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("GPUs of many clouds through Prime Intellect, billed from one wallet in USD"),
            build=_build_provider,
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="root", install_prefix="apt-get install -y"),
            web_hosts=("app.primeintellect.ai",),
            key_only=True,
            overview={
                "machines": _("hundreds, of some twenty clouds"),
                "difficulty": _("simple"),
                "price": _("0.2-4 USD/h and GPU"),
                "upload": _("depends on the cloud"),
                "cpu_only": _("not by gpurent"),
                "compatibility": _("images with CUDA and PyTorch"),
                "invoice": _("on its billing page"),
                "withdrawal": _("none"),
            },
            live_notes=_(
                "Never run against the live service. Its API is known from its OpenAPI document and the source of its"
                " own client, of 2026."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME,
            summary=_("simulator of the Prime Intellect API, from its OpenAPI document and client"),
            build=_build_simulator,
        )
    ]
