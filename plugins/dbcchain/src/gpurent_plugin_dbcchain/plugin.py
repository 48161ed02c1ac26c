"""The plugin's entries."""

from __future__ import annotations

import re
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
    check_amount_of,
    check_web_url,
    hookimpl,
    one_of,
)
from gpurent_plugin_dbcchain import _

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
NAME = "dbc-chain"


def check_genesis(text: str) -> str:
    """Accept a block hash."""
    if not re.fullmatch(r"0x[0-9a-f]{64}", text.strip().lower()):
        raise ValueError
    return text


def check_runtimes(text: str) -> str:
    """Accept runtime versions such as ``412, 413``."""
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*,\s*[0-9]{1,9})*\s*", text):
        raise ValueError
    return text


SETTINGS = (
    InputField(
        name="url",
        label=_("URL of a chain node (JSON-RPC over HTTPS)"),
        default="https://httpinfo1.dbcwallet.io",
        check=check_web_url,
    ),
    InputField(
        name="second_url",
        label=_("URL of a second node, run by somebody else, that must agree about what an order costs"),
        optional=True,
        example="https://rpc.example.com",
        check=check_web_url,
    ),
    InputField(
        name="genesis",
        label=_("Hash of the first block of another chain that orders may be signed for"),
        optional=True,
        example="0x" + 64 * "0",
        check=check_genesis,
    ),
    InputField(
        name="runtime_versions",
        label=_("More runtime versions of the chain that orders may be signed for, e.g. 412"),
        optional=True,
        example="412",
        check=check_runtimes,
    ),
    InputField(
        name="client_url",
        label=_("URL of your own client node, e.g. http://127.0.0.1:5002"),
        optional=True,
        example="http://127.0.0.1:5002",
        former_name="node",
        check=check_web_url,
    ),
    InputField(name="image", label=_("Machine image (empty: one of the host's own)"), optional=True),
    InputField(
        name="allow_spending",
        label=_("yes allows orders on the real chain"),
        optional=True,
        example="yes",
        former_name="spend",
        check=one_of("yes", "no"),
    ),
    InputField(
        name="max_total_spending",
        label=_("Most that orders may be signed for in total, e.g. 500DBC"),
        optional=True,
        example="500DBC",
        former_name="ceiling",
        check=check_amount_of("DBC"),
    ),
)


def _build_authenticator(context: PluginContext) -> Authenticator:
    from gpurent_plugin_dbcchain.keys import ChainAuthenticator

    return ChainAuthenticator()


def _build_billing(context: PluginContext) -> BillingProvider:
    from gpurent_plugin_dbcchain.wallet import ChainWallet

    return ChainWallet(context)


def _build_provider(context: PluginContext) -> LeaseProvider:
    from gpurent_plugin_dbcchain.provider import ChainProvider

    return ChainProvider(context)


def _build_simulator(context: SimulatorContext) -> ProviderSimulator:
    from gpurent_plugin_dbcchain.simulator.service import DbcChainSimulator

    return DbcChainSimulator(context)


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    return [
        AuthEntry(
            name=NAME,
            summary=_("a DeepBrain Chain private key (sr25519)"),
            build=_build_authenticator,
            settings=SETTINGS,
            fields=(
                InputField(
                    name="secret",
                    label=_("mnemonic (twelve words) or seed (64 hexadecimal digits)"),
                    secret=True,
                ),
            ),
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary=_("a DeepBrain Chain account"),
            build=_build_billing,
            settings=SETTINGS,
            currency="DBC",
        )
    ]


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=NAME,
            summary=_("virtual machines rented directly on the DeepBrain Chain, prepaid in DBC"),
            build=_build_provider,
            settings=SETTINGS,
            claims_offers=True,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="dbc", install_prefix="sudo apt-get install -y"),
            overview={
                "machines": _("as listed on the chain"),
                "difficulty": _("hardest: needs your own client node"),
                "price": _("by computing points, in USD; paid in DBC"),
                "upload": _("depends on the host's connection"),
                "cpu_only": _("no"),
                "compatibility": _("unknown; depends on the host's image"),
                "invoice": _("none"),
                "withdrawal": _("by selling DBC"),
            },
            retention=(
                RetentionStep(RetentionEvent.TERM_ENDED, RetentionEffect.DELETED, timedelta(days=10)),
            ),
            live_notes=_(
                "Follows the current chain by the source of its runtime (spec 411). Never run against the live chain "
                "or a live client node; real DBC is spent only if both [dbc-chain] allow_spending and "
                "max_total_spending are set."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(name=NAME, summary=_("a simulated chain with a client node"), build=_build_simulator)
    ]
