"""Core's own commands, registered in the same way as a plugin's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import click

from gpurent.composition import system
from gpurent.locale import N_
from gpurent.roles.entries import CommandEntry
from gpurent.roles.hookspecs import hookimpl

_COMMAND_GROUPS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        N_("Trips"),
        "trips",
        (
            ("run", N_("Rent, upload, run, download the results, release")),
            ("plan", N_("Show what a trip would do and cost, without spending anything")),
        ),
    ),
    (
        N_("Trips"),
        "trip_records",
        (("trips", N_("List trips, finished and in progress; show or cancel one")),),
    ),
    (N_("Trips"), "trips", (("resume", N_("Resume trips that were interrupted or detached")),)),
    (
        N_("Trips"),
        "init",
        (
            ("init", N_("Write a project file for this folder")),
            ("schema", N_("Print the JSON Schema of the project file, for editors")),
        ),
    ),
    (N_("Trips"), "trust", (("trust", N_("Trust a project file, or list those that you trust")),)),
    (
        N_("Providers and offers"),
        "market",
        (
            ("providers", N_("Compare providers")),
            ("offers", N_("List what can be rented now")),
        ),
    ),
    (
        N_("Accounts and money"),
        "account",
        (
            ("login", N_("Log in to a provider")),
            ("logout", N_("Log out of a provider")),
            ("whoami", N_("Show the accounts you are logged in to")),
            ("email", N_("Bind an e-mail address to an account, or change it")),
            ("balance", N_("Show the balance of an account")),
        ),
    ),
    (
        N_("Accounts and money"),
        "account",
        (
            ("receipts", N_("Show what a lease or trip cost")),
            ("costs", N_("Show spending by day, provider, GPU or trip")),
            ("reconcile", N_("Compare the ledger with the providers' statements")),
        ),
    ),
    (
        N_("Accounts and money"),
        "payments",
        (
            ("topup", N_("Show how to top up an account, and wait until the money arrives")),
            ("invoice", N_("Show whether an invoice is available, and request it")),
            ("withdraw", N_("Show how to withdraw money")),
        ),
    ),
    (
        N_("Leases"),
        "rent",
        (
            ("rent", N_("Rent a machine and keep it")),
            ("wait", N_("Wait until a machine is free, and rent it")),
        ),
    ),
    (
        N_("Leases"),
        "listing",
        (
            ("ls", N_("List your leases")),
            ("show", N_("Show a lease in detail")),
        ),
    ),
    (
        N_("Leases"),
        "leases",
        (
            ("renew", N_("Buy more time for a lease")),
            ("upgrade", N_("Switch a staged CPU machine to its GPU")),
            ("downgrade", N_("Switch a machine back to a CPU machine")),
            ("shutdown", N_("Shut a machine down and keep its files")),
            ("restart", N_("Start a machine again after it was shut down, with its kept files")),
            ("bid", N_("Change what you pay for a spot machine")),
            ("release", N_("Release a machine")),
        ),
    ),
    (
        N_("Leases"),
        "volume",
        (("volume", N_("Create, list or delete volumes: storage that outlives machines")),),
    ),
    (
        N_("Leases"),
        "adopt",
        (
            ("adopt", N_("Adopt a machine that you rented outside gpurent")),
            ("declare", N_("Declare the balance or end time of an adopted machine")),
        ),
    ),
    (
        N_("Files and sessions"),
        "connect",
        (("connect", N_("Connect to a machine once, to say that it is the one that you rented")),),
    ),
    (
        N_("Files and sessions"),
        "machine",
        (
            ("push", N_("Upload files to a machine")),
            ("pull", N_("Download files from a machine")),
            ("ssh", N_("Open a shell on a machine")),
            ("exec", N_("Run a command on a machine")),
            ("start", N_("Start a job that keeps running if your connection drops")),
            ("sessions", N_("List the sessions on a machine")),
            ("attach", N_("Attach to a session")),
            ("logs", N_("Show a job's output")),
            ("stop", N_("Stop a job")),
        ),
    ),
    (
        N_("Other programs"),
        "programs",
        (
            ("export", N_("Export a connection profile for another program")),
            ("open", N_("Open a machine's page at its provider, or connect another program to it")),
            ("forward", N_("Forward ports of a machine to this computer")),
            ("jupyter", N_("Work in a Jupyter notebook on a machine")),
        ),
    ),
    (
        N_("Leases"),
        "orphans",
        (("orphans", N_("Find machines and money that this computer does not know")),),
    ),
    (N_("Leases"), "leases", (("doctor", N_("Examine a machine: GPU, CUDA, cuDNN, disk, network")),)),
    (N_("Leases"), "leases", (("timer", N_("Show or set a machine's shutdown timer")),)),
    (N_("Leases"), "status", (("status", N_("Show everything that matters on one page")),)),
    (N_("Leases"), "top", (("top", N_("Monitor all leases live")),)),
    (
        N_("Configuration and testing"),
        "config",
        (("config", N_("Read and change your settings")),),
    ),
    (N_("Configuration and testing"), "tool", (("notify", N_("Send a test notification")),)),
    (
        N_("Leases"),
        "watch",
        (("watch", N_("Run the guard: renew, download results and release according to your policy")),),
    ),
    (
        N_("Configuration and testing"),
        "plugin",
        (("plugin", N_("List, check or begin plugins")),),
    ),
    (
        N_("Configuration and testing"),
        "tool",
        (("completion", N_("Print the shell completion script")),),
    ),
    (
        N_("Configuration and testing"),
        "vault",
        (("vault", N_("Secrets for jobs; check the file of secrets, or accept one that you replaced")),),
    ),
    (
        N_("Configuration and testing"),
        "backup",
        (
            ("backup", N_("Write an encrypted backup of gpurent's state")),
            ("restore", N_("Restore a backup, as a new installation")),
        ),
    ),
    (
        N_("Configuration and testing"),
        "sandbox",
        (
            ("sandbox", N_("Run a sandbox on this computer, with no real money")),
            ("demo", N_("Make two complete trips in a sandbox")),
        ),
    ),
    (
        N_("Configuration and testing"),
        "report",
        (("report", N_("Write a report for whoever helps you, without secrets")),),
    ),
    (
        N_("Configuration and testing"),
        "about",
        (
            ("version", N_("Show the version of gpurent")),
            ("help", N_("Show the help of a command")),
        ),
    ),
)


def _command_builder(module: str, name: str) -> Callable[[], click.Command]:
    def build() -> click.Command:
        found: click.Command = getattr(import_module(f"gpurent.cli.commands.{module}"), f"{name}_command")
        return found

    return build


@hookimpl
def gpurent_register_command() -> Sequence[CommandEntry]:
    return [
        CommandEntry(name=name, summary=summary, build=_command_builder(module, name), group=group)
        for group, module, commands in _COMMAND_GROUPS
        for name, summary in commands
    ]


def load_registry() -> system.EntryPointRegistry:
    """Load core's own entries and those of every installed plugin."""
    return system.load_registry([sys.modules[__name__]])
