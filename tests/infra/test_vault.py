"""Secrets at rest: unreadable without the key, tampering detected, nothing lost to crashes or a second writer."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpurent.domain.question import Question
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, StorageError, UsageError
from gpurent.infra import vault as vault_module
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.vault import FileVault
from gpurent.infra.vault_access import VaultAccess

CANARY = "canary-7f3a-壹-secret"
PASSPHRASE = "correct horse battery staple"


class CountingPassphrase:
    """Answers with one passphrase and counts the requests."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.requests: list[bool] = []

    def __call__(self, first: bool) -> Secret | None:
        self.requests.append(first)
        return None if self.text is None else Secret(self.text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_private_folder(tmp_path / "vault")


def open_vault(folder: Path, text: str | None = None) -> FileVault:
    return FileVault(folder, CountingPassphrase(text))


def read_vault(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "vault.json").read_bytes())
    return found


def rewrite_vault(folder: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    found = read_vault(folder)
    change(found)
    data = json.dumps(found).encode()
    (folder / "vault.json").write_bytes(data)
    return data


@pytest.mark.parametrize("phrase", [None, PASSPHRASE])
def test_put_get_delete_over_processes(folder: Path, phrase: str | None) -> None:
    first = open_vault(folder, phrase).get_vault("dbc")
    assert first.get("key") is None
    first.put("key", Secret(CANARY))
    assert first.get("key") == Secret(CANARY)
    later = open_vault(folder, phrase)
    assert later.get_vault("dbc").get("key") == Secret(CANARY)
    assert later.get_vault("mistgpu").get("key") is None
    later.get_vault("dbc").delete("key")
    later.get_vault("dbc").delete("key")
    assert open_vault(folder, phrase).get_vault("dbc").get("key") is None


@pytest.mark.parametrize("phrase", [None, PASSPHRASE])
def test_no_secret_in_any_file_and_every_file_private(folder: Path, phrase: str | None) -> None:
    before = os.umask(0)
    try:
        open_vault(folder, phrase).get_vault("dbc").put("key", Secret(CANARY))
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
    vault = open_vault(folder).get_vault("x")
    seen = set()
    for _attempt in range(3):
        vault.put("a", Secret(CANARY))
        seen.add(read_vault(folder)["records"]["x/a"])
    assert len(seen) == 3


def test_the_passphrase_is_asked_once_and_only_when_needed(folder: Path) -> None:
    ask = CountingPassphrase(PASSPHRASE)
    vault = FileVault(folder, ask)
    assert vault.get("none") is None
    assert ask.requests == []
    vault.put("a", Secret("1"))
    vault.put("b", Secret("2"))
    assert vault.get("a") == Secret("1")
    assert ask.requests == [True]
    again = CountingPassphrase(PASSPHRASE)
    other = FileVault(folder, again)
    other.get("a")
    other.put("c", Secret("3"))
    other.delete("c")
    assert again.requests == [False]


def test_cryptography_loads_only_when_a_secret_is_used() -> None:
    code = "import sys, gpurent.infra.vault; sys.exit('cryptography' in sys.modules)"
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
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    open_vault(folder, odd).put("a", Secret(odd))
    assert open_vault(folder, odd).get("a") == Secret(odd)


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
    vault = open_vault(folder).get_vault("p")
    vault.put("a", Secret(CANARY))
    vault.put("b", Secret("other"))
    data = rewrite_vault(folder, RECORD_CHANGES[change])
    with pytest.raises(StorageError, match="'p/a'"):
        open_vault(folder).get_vault("p").get("a")
    assert (folder / "vault.json").read_bytes() == data
    assert open_vault(folder).get_vault("p").get("b") == Secret("other")


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
    with pytest.raises((StorageError, AuthError)):
        open_vault(folder, PASSPHRASE).get("a")
    with pytest.raises((StorageError, AuthError)):
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


WRITER_SCRIPT = """
import sys
from pathlib import Path
from gpurent.infra.vault import FileVault
from gpurent.infra.vault_access import VaultAccess
from gpurent.domain.question import Question
from gpurent.domain.secret import Secret
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
vault = FileVault(folder, lambda first: None).get_vault(name)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(count):
    vault.put(f"{turn % 50}", Secret(f"{name}:{turn}:" + "x" * 500))
    print(turn, flush=True)
"""


def start_writer(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER_SCRIPT, folder, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def test_two_writers_from_the_very_first_write_lose_nothing(folder: Path) -> None:
    children = [start_writer(folder, name, 25) for name in ("left", "right")]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    for name in ("left", "right"):
        vault = open_vault(folder).get_vault(name)
        for turn in range(25):
            found = vault.get(f"{turn}")
            assert found is not None
            assert found.reveal().startswith(f"{name}:{turn}:")


def test_kill_9_while_writing_keeps_all_confirmed_secrets(folder: Path) -> None:
    kept = 0
    for turn in range(300):
        if turn >= 8 and kept:
            break
        child = start_writer(folder, f"w{turn}", 1_000_000)
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        time.sleep(0.02 + turn % 8 * 0.013)
        child.kill()
        confirmed = child.communicate()[0].split()
        assert child.returncode == -signal.SIGKILL
        vault = open_vault(folder).get_vault(f"w{turn}")
        for number in map(int, confirmed[-50:]):
            found = vault.get(f"{number % 50}")
            assert found is not None
            # A write after the last reported one may have finished too.
            assert int(found.reveal().split(":")[1]) in (number, number + 50)
            kept += 1
        open_vault(folder).put("after", Secret("still works"))
        assert {path.name for path in folder.iterdir()} == {"vault.json", "vault.key", "vault.lock"}
    assert kept > 0


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
    text = "\n".join(seen) + caplog.text + repr(open_vault(folder).get_vault("p"))
    assert CANARY not in text
    assert PASSPHRASE not in text


def test_the_key_is_stretched_as_hard_as_promised() -> None:
    assert (vault_module.MEMORY_KIB, vault_module.ROUNDS, vault_module.LANES) == (65536, 3, 1)


def test_the_passphrase_can_be_asked_for_in_time(folder: Path) -> None:
    phrase = CountingPassphrase(PASSPHRASE)
    FileVault(folder, phrase).unlock()
    assert phrase.requests == [], "there is nothing to unlock"
    open_vault(folder, PASSPHRASE).put("a", Secret(CANARY))
    vault = FileVault(folder, phrase)
    vault.unlock()
    assert phrase.requests == [False]
    assert vault.get("a") == Secret(CANARY)
    assert phrase.requests == [False]


async def test_a_vault_that_nobody_opens_stays_locked_and_only_secrets_fail(folder: Path) -> None:
    open_vault(folder, PASSPHRASE).get_vault("s").put("a", Secret(CANARY))
    asked: list[Question] = []

    async def nobody(question: Question) -> str | None:
        asked.append(question)
        return None

    secrets = VaultAccess(folder, {}, nobody)
    await secrets.unlock()
    assert [question.secret for question in asked] == [True]
    assert secrets.get_vault("s").get("nothing there") is None
    with pytest.raises(AuthError, match="needs its passphrase"):
        secrets.get_vault("s").get("a")
    access = VaultAccess(folder, {"GPURENT_PASSPHRASE": PASSPHRASE}, nobody)
    await access.unlock()
    assert access.get_vault("s").get("a") == Secret(CANARY)
    assert len(asked) == 1, "the variable answers"
