"""The file of a backup: what was written is read again, and nothing else is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, StorageError, UsageError
from gpurent.infra.backup.contents import (
    BackupManifest,
    iter_content,
    list_kept_logs,
    list_ssh_files,
    unpack_content,
)
from gpurent.infra.backup.sealed_file import (
    CHUNK_BYTES,
    MAGIC,
    TAG_BYTES,
    BackupHeader,
    decrypt_chunks,
    encrypt_chunks,
    make_header,
    read_header,
)
from gpurent.infra.vault.key import VaultKey

NOW = datetime(2026, 11, 30, tzinfo=UTC)
PASSPHRASE = Secret("correct horse battery")
CHUNK = CHUNK_BYTES + TAG_BYTES


@pytest.fixture(scope="module")
def sealed() -> tuple[BackupHeader, VaultKey]:
    """A key takes half a second."""
    return make_header(PASSPHRASE, is_of_vault=False)


def seal(sealed: tuple[BackupHeader, VaultKey], parts: Iterable[bytes]) -> bytes:
    return b"".join(encrypt_chunks(*sealed, parts))


def unseal(data: bytes, key: VaultKey) -> bytes:
    file = io.BytesIO(data)
    header = read_header(file, "b")
    return b"".join(decrypt_chunks(file, "b", header, key))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_any_size_is_read_as_it_was_written(sealed: tuple[BackupHeader, VaultKey], size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    parts = [content[:7], content[7:size]] if size > 7 else [content[:size]]
    assert unseal(seal(sealed, parts), sealed[1]) == content[:size]


def test_every_change_is_noticed(sealed: tuple[BackupHeader, VaultKey]) -> None:
    data = seal(sealed, [b"x" * (2 * CHUNK_BYTES + 10)])
    start = data.index(b"\n", len(MAGIC)) + 1
    first, second = data[start : start + CHUNK], data[start + CHUNK : start + 2 * CHUNK]
    changed = [
        *(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(start, len(data), 9973)),
        *(data[:at] for at in (start, start + 1, start + CHUNK, start + 2 * CHUNK, len(data) - 1)),
        data + b"x",
        data[:start] + second + first + data[start + 2 * CHUNK :],
        data[:start] + data[start + CHUNK :],
    ]  # fmt: skip
    for other in changed:
        with pytest.raises(StorageError, match="b is damaged or incomplete"):
            unseal(other, sealed[1])
    again = seal(make_header(PASSPHRASE, is_of_vault=False), [b"x"])
    with pytest.raises(StorageError):
        unseal(data[:start] + again[again.index(b"\n", len(MAGIC)) + 1 :], sealed[1])


def test_the_header_says_what_the_file_is(sealed: tuple[BackupHeader, VaultKey]) -> None:
    data = seal(sealed, [b"secret content"])
    assert b"secret" not in data
    header = read_header(io.BytesIO(data), "b")
    assert header.open("b", PASSPHRASE) == sealed[1]
    assert not header.is_of_vault
    with pytest.raises(AuthError, match="the passphrase is wrong, or b was tampered with"):
        header.open("b", Secret("another one, quite long"))


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"", UsageError, "b is not a backup of gpurent"),
        (b"PK\x03\x04" + bytes(100), UsageError, "b is not a backup of gpurent"),
        (MAGIC, StorageError, "b is damaged or incomplete"),
        (MAGIC + b"[" * 5000, StorageError, "b is damaged or incomplete"),
        (MAGIC + b"{}\n", StorageError, "b is damaged or incomplete"),
        (MAGIC + b'{"format": 0}\n', StorageError, "b is damaged or incomplete"),
        (MAGIC + b'{"format": 2}\n', UsageError, r"newer gpurent \(format 2, this one reads up to 1\)"),
        (MAGIC + b'{"format": 1, "kdf": {"kind": "argon2id", "memory": 1}}\n', StorageError, "damaged"),
    ],
)
def test_another_file_is_named_as_what_it_is(data: bytes, kind: type[GpurentError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        read_header(io.BytesIO(data), "b")
    assert "Nothing was changed." in caught.value.hint


def pack(files: dict[str, bytes], folder: Path, **claimed: int) -> bytes:
    paths = {name: folder / str(number) for number, name in enumerate(files)}
    for name, path in paths.items():
        path.write_bytes(files[name])
    sizes = {name: len(data) for name, data in files.items()} | claimed
    manifest = BackupManifest(version="0.1.0", made_at=NOW, installation="ab", sizes=sizes)
    return b"".join(iter_content(manifest, paths))


def unpack(content: bytes, folder: Path) -> BackupManifest:
    folder.mkdir(mode=0o700)
    return unpack_content([content[:5], content[5:]], "b", folder)


def test_files_come_back_private_and_in_their_places(tmp_path: Path) -> None:
    files = {
        "journal.sqlite": b"j" * 100_000,
        "vault/vault.json": b"{}",
        "ssh/acme-1/key": b"k",
        "trips/t1201-abcde.log": b"epoch 1\n",
        "config.toml": b"",
    }
    manifest = unpack(pack(files, tmp_path), tmp_path / "new")
    assert (manifest.made_at, manifest.installation) == (NOW, "ab")
    for name, data in files.items():
        path = tmp_path / "new" / name
        assert path.read_bytes() == data
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "ssh").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/x", "journal.sqlite/x", "locks/x", "trips/../x.log", "trips/a.txt", ""),
        *("ssh/../x", "ssh/a/../../x", "ssh/.x/key", "ssh/a/.profile"),
    ],
)
def test_only_names_of_gpurent_are_taken(name: str, tmp_path: Path) -> None:
    content = pack({"journal.sqlite": b"j", name: b"x"}, tmp_path)
    with pytest.raises(StorageError, match="damaged"):
        unpack(content, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_list_of_files_that_is_not_one_is_refused(tmp_path: Path) -> None:
    good = pack({"journal.sqlite": b"j" * 50}, tmp_path)
    cut = [good[:4], good[:20], good[:-1], good + b"x", b"\xff" * 8 + good]
    lists: list[object] = [
        [],
        {"files": 1},
        {"files": [["journal.sqlite", -1]]},
        {"files": [["config.toml", 0]]},
    ]
    for found in lists:
        about = {"version": "1", "made_at": NOW.isoformat(), "installation": "x"}
        text = json.dumps({**about, **found} if isinstance(found, dict) else found).encode()
        cut.append(len(text).to_bytes(8, "big") + text)
    for number, content in enumerate(cut):
        with pytest.raises(StorageError, match="damaged"):
            unpack(content, tmp_path / f"new{number}")


def test_a_file_that_changes_while_it_is_read_makes_no_backup(tmp_path: Path) -> None:
    for size in (1, 3):
        with pytest.raises(OSError, match="changed while it was read"):
            pack({"journal.sqlite": b"jj"}, tmp_path, **{"journal.sqlite": size})


def test_of_the_ssh_folder_only_files_of_leases_are_taken(tmp_path: Path) -> None:
    lease = tmp_path / "ssh" / "acme@lab-1"
    lease.mkdir(parents=True)
    (lease / "key").write_text("k")
    (lease / "known_hosts").write_text("h")
    (lease / "link").symlink_to("/etc/passwd")
    (lease / "odd name").write_text("x")
    (tmp_path / "ssh" / "away").symlink_to("/etc")
    assert [name for name, _path in list_ssh_files(tmp_path)] == [
        "ssh/acme@lab-1/key",
        "ssh/acme@lab-1/known_hosts",
    ]


def test_of_the_kept_logs_only_those_of_trips_are_taken(tmp_path: Path) -> None:
    logs = tmp_path / "trips"
    logs.mkdir()
    (logs / "t1201-abcde.log").write_text("epoch 1\n")
    (logs / "notes.txt").write_text("x")
    (logs / "away.log").symlink_to("/etc/passwd")
    assert [name for name, _path in list_kept_logs(tmp_path)] == ["trips/t1201-abcde.log"]
