"""A vault that was tampered with or damaged: that is seen, and nothing is overwritten."""

from __future__ import annotations

import base64
import logging
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, InputRequired, StorageError, UsageError
from tests.infra.vault_files import CANARY, PASSPHRASE, open_vault, rewrite_vault, scope


def flip_bit(text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return base64.b64encode(bytes(raw)).decode()


RECORD_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a bit": lambda c: c["records"].update({"p/a": flip_bit(c["records"]["p/a"])}),
    "another record's value": lambda c: c["records"].update({"p/a": c["records"]["p/b"]}),
    "the check's value": lambda c: c["records"].update({"p/a": c["check"]}),
    "empty": lambda c: c["records"].update({"p/a": ""}),
    "no base64": lambda c: c["records"].update({"p/a": "%%%"}),
    "text expected": lambda c: c["records"].update({"p/a": 7}),
}


@pytest.mark.parametrize("change", RECORD_CHANGES)
def test_tampering_is_seen_names_the_record_and_deletes_nothing(folder: Path, change: str) -> None:
    vault = scope(open_vault(folder), "p")
    vault.put("a", Secret(CANARY))
    vault.put("b", Secret("other"))
    data = rewrite_vault(folder, RECORD_CHANGES[change])
    with pytest.raises(StorageError, match="'p/a'"):
        scope(open_vault(folder), "p").get("a")
    assert (folder / "vault.json").read_bytes() == data
    with pytest.raises(StorageError, match="'p/a'"):
        scope(open_vault(folder), "p").get(
            "b"
        )  # not a word of a changed file is believed, until the user says so
    open_vault(folder).accept()
    assert scope(open_vault(folder), "p").get("b") == Secret("other")
    with pytest.raises(StorageError, match="'p/a'"):
        scope(open_vault(folder), "p").get("a")


HEADER_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "cheap": lambda c: c["kdf"].update(memory=8),
    "huge": lambda c: c["kdf"].update(memory=1 << 40),
    "one round": lambda c: c["kdf"].update(rounds=1),
    "no salt": lambda c: c["kdf"].pop("salt"),
    "short salt": lambda c: c["kdf"].update(salt=""),
    "another salt": lambda c: c["kdf"].update(salt=base64.b64encode(b"x" * 16).decode()),
    "check": lambda c: c.update(check=flip_bit(c["check"])),
    "no check": lambda c: c.pop("check"),
    "no kdf": lambda c: c.update(kdf=[]),
    "records": lambda c: c.update(records=[]),
    "newer": lambda c: c.update(version=99),
    "unknown kind": lambda c: c["kdf"].update(kind="md5"),
    "downgrade": lambda c: c["kdf"].update(kind="file"),
}


@pytest.mark.parametrize("change", HEADER_CHANGES)
def test_a_changed_header_is_refused_and_stays_as_it_is(folder: Path, change: str) -> None:
    open_vault(folder, PASSPHRASE).put("a", Secret(CANARY))
    data = rewrite_vault(folder, HEADER_CHANGES[change])
    with pytest.raises((StorageError, AuthError, InputRequired)):
        open_vault(folder, PASSPHRASE).get("a")
    with pytest.raises((StorageError, AuthError, InputRequired)):
        open_vault(folder, PASSPHRASE).put("a", Secret("new"))
    assert (folder / "vault.json").read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"version": 1}'])
def test_a_damaged_file_is_refused_and_never_overwritten(folder: Path, data: bytes) -> None:
    open_vault(folder).put("a", Secret(CANARY))
    (folder / "vault.json").write_bytes(data)
    with pytest.raises(StorageError, match="is damaged"):
        open_vault(folder).get("a")
    with pytest.raises(StorageError, match="is damaged"):
        open_vault(folder).put("a", Secret("new"))
    assert (folder / "vault.json").read_bytes() == data


def test_a_lost_damaged_or_foreign_key_file_is_refused(folder: Path) -> None:
    open_vault(folder).put("a", Secret(CANARY))
    key = folder / "vault.key"
    right = key.read_bytes()
    key.write_bytes(b"short")
    with pytest.raises(StorageError, match=r"vault\.key is damaged"):
        open_vault(folder).get("a")
    key.write_bytes(bytes(32))
    with pytest.raises(StorageError, match="is not the key for"):
        open_vault(folder).get("a")
    key.unlink()
    with pytest.raises(StorageError, match="is missing"):
        open_vault(folder).put("b", Secret("2"))
    assert not key.exists()
    key.write_bytes(right)
    with pytest.raises(UsageError, match="accessible to other users"):
        open_vault(folder).get("a")


def test_a_vault_made_anew_by_another_process_is_written_with_its_own_key(folder: Path) -> None:
    old = open_vault(folder, PASSPHRASE)
    old.put("a", Secret("1"))
    for path in folder.iterdir():
        path.unlink()
    open_vault(folder, PASSPHRASE).put("b", Secret("2"))
    old.put("c", Secret("3"))
    fresh = open_vault(folder, PASSPHRASE)
    assert (fresh.get("b"), fresh.get("c")) == (Secret("2"), Secret("3"))


def test_no_secret_in_errors_or_logs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vault = open_vault(folder, PASSPHRASE)
    vault.put("p/a", Secret(CANARY))
    vault.put("p/b", Secret(CANARY))
    shutil.copy(folder / "vault.json", folder / "copy")
    seen = []
    for change in (*RECORD_CHANGES.values(), *HEADER_CHANGES.values()):
        shutil.copy(folder / "copy", folder / "vault.json")
        rewrite_vault(folder, change)
        try:
            open_vault(folder, PASSPHRASE).get("p/a")
        except GpurentError as error:
            seen.append("".join(traceback.format_exception(error)) + error.hint + error.detail + repr(error))
    assert len(seen) == len(RECORD_CHANGES) + len(HEADER_CHANGES)
    text = "\n".join(seen) + caplog.text + repr(scope(open_vault(folder), "p"))
    assert CANARY not in text
    assert PASSPHRASE not in text
