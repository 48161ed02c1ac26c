"""gpurent started by gpurent: its command line, its environment without secrets, and how it gets the passphrase."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gpurent.child_processes import (
    STATE_VARIABLES,
    TERMINAL_VARIABLES,
    USER_VARIABLES,
    close_secret_pipe,
    make_child_environment,
    make_python_command,
    make_secret_pipe,
    run_in_terminal,
)
from gpurent.infra.vault.access import PASSPHRASE_PIPE_VARIABLE, PASSPHRASE_VARIABLE
from gpurent.roles.entries import AuthEntry, PluginEntry
from gpurent.workflow.runtime.settings import environment_variable_name

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import EntryPointRegistry

_FOLDER_VARIABLES = ("GPURENT_HOME", "GPURENT_STATE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def make_own_command(*arguments: str) -> list[str]:
    """Return the command line that runs gpurent with ``arguments``, whatever lies in the current folder."""
    return make_python_command("-m", "gpurent", *arguments)


def make_own_environment(registry: EntryPointRegistry, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what gpurent needs of ``environment`` in a terminal: no passphrase, and no secret setting of a plugin."""
    settings = _list_open_variables(registry, environment)
    found = make_child_environment(
        (*USER_VARIABLES, *TERMINAL_VARIABLES, *STATE_VARIABLES, *settings), environment
    )
    for name in _FOLDER_VARIABLES:
        if name in found:  # the child has another working folder
            found[name] = str(Path(found[name]).absolute())
    return found


def _list_open_variables(registry: EntryPointRegistry, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the variables of all settings that no plugin declares to be secret, those of accounts included."""
    declared: dict[str, bool] = {}
    of_accounts: dict[str, bool] = {}
    for entry in registry.iter_entries():
        if isinstance(entry, PluginEntry):
            for field in (*entry.settings, *(entry.fields if isinstance(entry, AuthEntry) else ())):
                name = environment_variable_name(entry.name, field.name)
                declared[name] = declared.get(name, False) or field.secret
                # A label may end like a key: what may be a secret is one.
                head, end = environment_variable_name(f"{entry.name}@", "")[:-1], f"_{field.name.upper()}"
                for name in environment:
                    if name.startswith(head) and name.endswith(end):
                        of_accounts[name] = of_accounts.get(name, False) or field.secret
    return (name for name, is_secret in {**of_accounts, **declared}.items() if not is_secret)


def run_own_command(registry: EntryPointRegistry, *arguments: str) -> int:
    """Run gpurent with ``arguments`` in this terminal and return its exit code; it need not ask for the passphrase."""
    environment = make_own_environment(registry, os.environ)
    passphrase = os.environ.get(PASSPHRASE_VARIABLE, "")
    if not passphrase:
        return run_in_terminal(make_own_command(*arguments), environment=environment)
    pipe = make_secret_pipe(passphrase)
    try:
        environment[PASSPHRASE_PIPE_VARIABLE] = str(pipe)
        return run_in_terminal(make_own_command(*arguments), environment=environment, secret_pipe=pipe)
    finally:
        close_secret_pipe(pipe)
