"""What guards money and secrets has one door each: a way around it is found here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in (ROOT / "core" / "gpurent", *sorted((ROOT / "plugins").glob("*/src")))
    for path in sorted(folder.rglob("*.py"))
]
DOORS: dict[str, tuple[str, set[str]]] = {
    "the vault's file is read and written where it is sealed and compared": (
        r"(?<!infra\.)vault\.(json|key)\b",
        {
            "core/gpurent/infra/backup/contents.py",  # read as it is, and put in place as a whole
            "core/gpurent/infra/vault/container.py",
            "core/gpurent/infra/vault/file_vault.py",
        },
    ),
    "secrets are decrypted behind the check of the whole file": (
        r"ChaCha20Poly1305",
        {
            "core/gpurent/infra/backup/sealed_file.py",  # of backups
            "core/gpurent/infra/vault/key.py",
        },
    ),
    "entries are written with their link": (
        r"INSERT (OR \w+ )?INTO (entries|postings|chained_)|UPDATE entries SET chain",
        {
            "core/gpurent/infra/sqlite/ledger.py",
            "core/gpurent/infra/sqlite/ledger_chain_rows.py",
        },
    ),
    "cookies are sent by the client that checks them": (
        r"[\"']Cookie[\"']",
        {"core/gpurent/infra/http.py"},
    ),
    "the sandbox serves pages behind the check whose pages they are": (
        r"\buvicorn\.(Config|Server|run)\b",
        {"core/gpurent/testing/sandbox/web_server.py"},
    ),
    "private keys are read where their mode is checked": (
        r"\bimport_private_key\(",
        {
            "core/gpurent/infra/ssh/connector.py",
            "core/gpurent/infra/ssh/lease_opener.py",
        },
    ),
    "connections to machines are opened where the rule decides on them": (
        r"connector\.open_connection\(",
        {"core/gpurent/workflow/connection/contacts.py"},
    ),
    "host keys are pinned where the rule decides on them": (
        r"connector\.pin_host_key\(",
        {"core/gpurent/workflow/connection/contacts.py"},
    ),
    "machines are dialled, and get a password, where the rule decides on them": (
        r"\.(check_password|fetch_host_key|resolve_host)\(",
        {
            "core/gpurent/testing/ssh_fixture.py",
            "core/gpurent/workflow/connection/contacts.py",
        },
    ),
    "plugins are loaded by the registry, which --safe tells what to leave out": (
        r"\bentry_points\(group=ENTRY_POINT_GROUP",
        {"core/gpurent/infra/registry/registry.py"},
    ),
}


def list_users(pattern: str) -> set[str]:
    found = re.compile(pattern)
    return {str(path.relative_to(ROOT)) for path in SOURCES if found.search(path.read_text("utf-8"))}


@pytest.mark.parametrize("rule", DOORS)
def test_there_is_one_door(rule: str) -> None:
    pattern, allowed = DOORS[rule]
    assert list_users(pattern) == allowed, rule


def test_the_registry_of_the_command_line_knows_what_is_safe() -> None:
    """Every start that loads plugins for a user goes through `composition.system.load_registry`."""
    users = list_users(r"EntryPointRegistry\.load\(")
    assert users == {
        "core/gpurent/composition/system.py",
        "core/gpurent/testing/plugin_check/installed.py",  # one of those that are loaded already
        "core/gpurent/testing/sandbox_harness.py",
    }
