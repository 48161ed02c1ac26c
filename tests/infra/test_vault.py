"""Secrets at rest: unreadable without the key, asked for only when needed, in no log and no error."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gpurent.domain.question import Question
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.vault import key as vault_key
from gpurent.infra.vault.access import VaultAccess
from tests.infra.vault_files import (
    CANARY,
    PASSPHRASE,
    CountingPassphrase,
    make_vault,
    open_vault,
    read_vault,
    scope,
)


@pytest.mark.parametrize("phrase", [None, PASSPHRASE])
def test_put_get_delete_over_processes(folder: Path, phrase: str | None) -> None:
    first = scope(open_vault(folder, phrase), "dbc")
    assert first.get("key") is None
    first.put("key", Secret(CANARY))
    assert first.get("key") == Secret(CANARY)
    later = open_vault(folder, phrase)
    assert scope(later, "dbc").get("key") == Secret(CANARY)
    assert scope(later, "mistgpu").get("key") is None
    scope(later, "dbc").delete("key")
    scope(later, "dbc").delete("key")
    assert scope(open_vault(folder, phrase), "dbc").get("key") is None


@pytest.mark.parametrize("phrase", [None, PASSPHRASE])
def test_no_secret_in_any_file_and_every_file_private(folder: Path, phrase: str | None) -> None:
    before = os.umask(0)
    try:
        scope(open_vault(folder, phrase), "dbc").put("key", Secret(CANARY))
    finally:
        os.umask(before)
    forms = [
        CANARY.encode(),
        base64.b64encode(CANARY.encode()),
        PASSPHRASE.encode(),
        json.dumps(CANARY).encode()[1:-1],
    ]
    names = set()
    for path in folder.iterdir():
        names.add(path.name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not [form for form in forms if form in path.read_bytes()]
    assert names == {"vault.json", "vault.lock"} | ({"vault.key"} if phrase is None else set())
    assert "dbc/key" in read_vault(folder)["records"]


def test_each_write_of_one_value_looks_different(folder: Path) -> None:
    vault = scope(open_vault(folder), "x")
    seen = set()
    for _attempt in range(3):
        vault.put("a", Secret(CANARY))
        seen.add(read_vault(folder)["records"]["x/a"])
    assert len(seen) == 3


def test_the_passphrase_is_asked_once_and_only_when_needed(folder: Path) -> None:
    ask = CountingPassphrase(PASSPHRASE)
    vault = make_vault(folder, ask)
    assert vault.get("none") is None
    assert ask.requests == []
    vault.put("a", Secret("1"))
    vault.put("b", Secret("2"))
    assert vault.get("a") == Secret("1")
    assert ask.requests == [True]
    again = CountingPassphrase(PASSPHRASE)
    other = make_vault(folder, again)
    other.get("a")
    other.put("c", Secret("3"))
    other.delete("c")
    assert again.requests == [False]


def test_cryptography_loads_only_when_a_secret_is_used() -> None:
    code = "import sys, gpurent.infra.vault.access; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_passphrase_is_a_clear_error_and_changes_nothing(folder: Path) -> None:
    open_vault(folder, PASSPHRASE).put("a", Secret(CANARY))
    before = (folder / "vault.json").read_bytes()
    wrong = open_vault(folder, "wrong")
    with pytest.raises(AuthError, match="passphrase is wrong") as caught:
        wrong.get("a")
    assert "GPURENT_PASSPHRASE" in caught.value.hint
    with pytest.raises(AuthError, match="passphrase is wrong"):
        wrong.put("b", Secret("2"))
    assert (folder / "vault.json").read_bytes() == before
    with pytest.raises(AuthError, match="needs its passphrase"):
        open_vault(folder, None).get("a")


def test_a_passphrase_that_is_no_utf8_works(folder: Path) -> None:
    odd = b"caf\xe9 au lait".decode("utf-8", "surrogateescape")
    open_vault(folder, odd).put("a", Secret(odd))
    assert open_vault(folder, odd).get("a") == Secret(odd)


def test_the_key_is_stretched_as_hard_as_promised() -> None:
    assert (vault_key.MEMORY_KIB, vault_key.ROUNDS, vault_key.LANES) == (65536, 3, 1)


def test_the_passphrase_can_be_asked_for_in_time(folder: Path) -> None:
    phrase = CountingPassphrase(PASSPHRASE)
    make_vault(folder, phrase).unlock()
    assert phrase.requests == [], "there is nothing to unlock"
    open_vault(folder, PASSPHRASE).put("a", Secret(CANARY))
    vault = make_vault(folder, phrase)
    vault.unlock()
    assert phrase.requests == [False]
    assert vault.get("a") == Secret(CANARY)
    assert phrase.requests == [False]


async def test_a_vault_that_nobody_opens_stays_locked_and_only_secrets_fail(folder: Path) -> None:
    scope(open_vault(folder, PASSPHRASE), "s").put("a", Secret(CANARY))
    asked: list[Question] = []

    async def nobody(question: Question) -> str | None:
        asked.append(question)
        return None

    secrets = VaultAccess(folder, {}, nobody, make_outside_records(folder.parent, {}))
    await secrets.unlock()
    assert [question.secret for question in asked] == [True]
    assert secrets.get_vault("s").get("nothing there") is None
    with pytest.raises(AuthError, match="needs its passphrase"):
        secrets.get_vault("s").get("a")
    access = VaultAccess(
        folder, {"GPURENT_PASSPHRASE": PASSPHRASE}, nobody, make_outside_records(folder.parent, {})
    )
    await access.unlock()
    assert access.get_vault("s").get("a") == Secret(CANARY)
    assert len(asked) == 1, "the variable answers"
