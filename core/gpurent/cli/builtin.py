"""Core's own commands, registered the way a plugin's are."""

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
        N_("The whole trip"),
        "trips",
        (
            ("run", N_("Rent, upload, run, bring the results home, give back")),
            ("plan", N_("Say what a trip would do and cost, and spend nothing")),
            ("trips", N_("List the trips, finished and under way")),
            ("resume", N_("Go on with a trip that was interrupted or left")),
        ),
    ),
    (
        N_("The whole trip"),
        "init",
        (
            ("init", N_("Write a project file for this folder")),
            ("schema", N_("Print the project file's schema, for editors")),
        ),
    ),
    (
        N_("Looking around"),
        "market",
        (
            ("providers", N_("Compare the providers")),
            ("offers", N_("List what can be rented now")),
        ),
    ),
    (
        N_("Account and money"),
        "account",
        (
            ("login", N_("Log in to a provider")),
            ("logout", N_("Forget a login")),
            ("whoami", N_("Show the accounts that are logged in")),
            ("balance", N_("Show the balance of an account")),
        ),
    ),
    (
        N_("Account and money"),
        "account",
        (
            ("receipts", N_("Show what a lease or a trip cost")),
            ("costs", N_("Show what was spent, by day, provider, GPU or trip")),
            ("reconcile", N_("Compare the ledger with the providers' own books")),
        ),
    ),
    (
        N_("Account and money"),
        "payments",
        (
            ("topup", N_("Show how money gets in, and wait for it")),
            ("invoice", N_("Show whether an invoice can be had, and ask for it")),
            ("withdraw", N_("Show how money gets out")),
        ),
    ),
    (N_("Leases"), "leases", (("rent", N_("Rent a machine and keep it")),)),
    (
        N_("Leases"),
        "listing",
        (
            ("ls", N_("List your leases")),
            ("show", N_("Show one lease in full")),
        ),
    ),
    (
        N_("Leases"),
        "leases",
        (
            ("renew", N_("Buy more time for a lease")),
            ("upgrade", N_("Switch a staged machine to its GPU")),
            ("restart", N_("Start a shut machine again with its kept files")),
            ("release", N_("Give a machine back")),
        ),
    ),
    (
        N_("Leases"),
        "adopt",
        (
            ("adopt", N_("Take over a machine that you rented by hand")),
            ("declare", N_("Say how a machine that you rented by hand stands now")),
        ),
    ),
    (
        N_("Files and sessions"),
        "machine",
        (
            ("push", N_("Carry files to a machine")),
            ("pull", N_("Bring files from a machine")),
            ("ssh", N_("Open a shell on a machine")),
            ("exec", N_("Run one command on a machine")),
            ("start", N_("Start a job that outlives the line")),
            ("sessions", N_("List the sessions on a machine")),
            ("attach", N_("Get into a session")),
            ("logs", N_("Show a job's output")),
            ("stop", N_("End a job")),
        ),
    ),
    (
        N_("Your own programs"),
        "programs",
        (
            ("export", N_("Write a machine down for another program")),
            ("open", N_("Open a machine's page, or a program on it")),
            ("forward", N_("Reach a port of a machine from here")),
            ("jupyter", N_("Work in a notebook on a machine")),
        ),
    ),
    (N_("Leases"), "leases", (("doctor", N_("Examine a machine: GPU, CUDA, cuDNN, disk, line")),)),
    (N_("Leases"), "leases", (("timer", N_("Let a machine shut itself in time")),)),
    (N_("Leases"), "top", (("top", N_("Watch all leases live")),)),
    (N_("The tool itself"), "tool", (("notify", N_("Test the messages that reach you when you are away")),)),
    (N_("Leases"), "watch", (("watch", N_("Look after all leases by your written policy")),)),
    (
        N_("The tool itself"),
        "tool",
        (
            ("plugins", N_("List the plugins and what is wrong with them")),
            ("completion", N_("Print the shell's completion script")),
        ),
    ),
    (
        N_("The tool itself"),
        "sandbox",
        (
            ("sandbox", N_("A rental world on this computer, for nothing")),
            ("demo", N_("Make two whole trips in a sandbox")),
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
    """Core's own entries and those of every installed plugin."""
    return system.load_registry([sys.modules[__name__]])
