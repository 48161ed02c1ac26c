"""Entries only."""

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
    hookimpl,
)

if TYPE_CHECKING:
    from gpurent.api import (
        Authenticator,
        BillingProvider,
        LeaseProvider,
        PluginContext,
        ProviderSimulator,
        SimulatorContext,
    )

NAME = "dbc-chain"
SETTINGS = (
    InputField(
        name="url", label="A node of the chain, JSON-RPC over HTTPS", default="https://httpinfo1.dbcwallet.io"
    ),
    InputField(name="node", label="Your own client node, such as http://127.0.0.1:5002", optional=True),
    InputField(
        name="image", label="The image that machines start from; empty: the host's own", optional=True
    ),
    InputField(name="spend", label="yes: orders on the real chain are allowed", optional=True),
    InputField(name="ceiling", label="The most that may ever leave, such as 500DBC", optional=True),
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
            summary="an sr25519 key of the DeepBrain Chain",
            build=_build_authenticator,
            settings=SETTINGS,
            fields=(
                InputField(
                    name="secret", label="twelve words, or a seed of 64 hexadecimal digits", secret=True
                ),
            ),
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(
            name=NAME,
            summary="an account on the DeepBrain Chain",
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
            summary="virtual machines on hosts that are rented on the chain itself, prepaid in DBC",
            build=_build_provider,
            settings=SETTINGS,
            auth=NAME,
            billing=NAME,
            profile=MachineProfile(user="dbc", install_prefix="sudo apt-get install -y"),
            overview={
                "machines": "by the chain's list",
                "difficulty": "hardest: a client node of your own",
                "price": "by points, in USD; paid in DBC",
                "upload": "host's own line",
                "cpu_only": "no",
                "compatibility": "virtual machines with the host's images",
                "invoice": "none",
                "cash_out": "by selling DBC",
            },
            live_notes=(
                "The chain of today, by the source of its runtime (spec 411). Never run against the live chain, nor "
                "against a live client node; it spends there only with both [dbc-chain] spend and ceiling set."
            ),
        )
    ]


@hookimpl
def gpurent_register_simulator() -> Sequence[SimulatorEntry]:
    return [
        SimulatorEntry(
            name=NAME, summary="a small chain with a client node, in the sandbox", build=_build_simulator
        )
    ]
