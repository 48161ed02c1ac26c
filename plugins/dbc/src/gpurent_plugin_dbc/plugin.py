"""The plugin's entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpurent.api import (
    AuthEntry,
    BillingEntry,
    InputField,
    SimulatorEntry,
    check_amount_of,
    check_web_url,
    hookimpl,
)
from gpurent_plugin_dbc.messages import _

if TYPE_CHECKING:
    from gpurent.api import Authenticator, BillingProvider, PluginContext, ProviderSimulator, SimulatorContext

REQUIRED_API = (1, 0)
NAME = "dbc"
SETTINGS = (
    InputField(
        name="url",
        label=_("URL of the DBC token ledger service"),
        optional=True,
        example="https://ledger.example",
        check=check_web_url,
    ),
    InputField(
        name="max_payment",
        label=_("Largest single payment, in DBC"),
        default="500000",
        former_name="most",
        check=check_amount_of("DBC"),
    ),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent_plugin_dbc.keys import DbcAuthenticator

    return DbcAuthenticator()


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_dbc.wallet import DbcWallet

    return DbcWallet(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_dbc.simulator.service import DbcLedgerSimulator

    return DbcLedgerSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    return [
        AuthEntry(
            name=NAME,
            summary=_("a DBC wallet's private key"),
            build=_build_authenticator,
            settings=SETTINGS,
            fields=(
                InputField(name="private_key", label=_("private key (64 hexadecimal digits)"), secret=True),
            ),
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME, summary=_("a DBC wallet"), build=_build_billing, settings=SETTINGS, currency="DBC"
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME, summary=_("simulated DBC token ledger in place of the chain"), build=_build_simulator
        )
    ]
