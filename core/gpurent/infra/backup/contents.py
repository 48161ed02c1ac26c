"""What a backup contains: a list of its files, then their bytes. Only names that gpurent itself gives are taken."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from attrs import frozen

from gpurent.infra.backup.sealed_file import make_damage_error
from gpurent.infra.platform.system import create_private_file, make_private_folder

JOURNAL, CONFIG, COPIES = "journal.sqlite", "config.toml", "living-leases.json"
VAULT, VAULT_KEY, SSH_FOLDER, LOGS_FOLDER = "vault/vault.json", "vault/vault.key", "ssh", "trips"
SINGLE_FILES = (JOURNAL, CONFIG, COPIES, VAULT, VAULT_KEY)
_SSH_NAME = re.compile(rf"{SSH_FOLDER}/[A-Za-z0-9@][A-Za-z0-9@._-]{{0,200}}/[a-z][a-z_.]{{0,40}}")
_LOG_NAME = re.compile(rf"{LOGS_FOLDER}/[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}\.log")
_LENGTH_BYTES = 8
MAX_MANIFEST_BYTES = 64 << 20
_BLOCK = 1 << 20


@frozen(kw_only=True)
class BackupManifest:
    """``version``: of the gpurent that made it. ``installation``: whose state it is. ``sizes``: in bytes, by name."""

    version: str
    made_at: datetime
    installation: str
    sizes: Mapping[str, int]


def list_ssh_files(home: Path) -> Iterator[tuple[str, Path]]:
    """Yield the keys and host keys of all leases in the data folder: the name in a backup, and the file."""
    for folder in sorted((home / SSH_FOLDER).glob("*")):
        if folder.is_dir() and not folder.is_symlink():
            for path in sorted(folder.iterdir()):
                name = f"{SSH_FOLDER}/{folder.name}/{path.name}"
                if _SSH_NAME.fullmatch(name) and path.is_file() and not path.is_symlink():
                    yield name, path


def list_kept_logs(home: Path) -> Iterator[tuple[str, Path]]:
    """Yield the kept outputs of trips' jobs in the same way."""
    for path in sorted((home / LOGS_FOLDER).glob("*.log")):
        name = f"{LOGS_FOLDER}/{path.name}"
        if _LOG_NAME.fullmatch(name) and path.is_file() and not path.is_symlink():
            yield name, path


def iter_content(manifest: BackupManifest, files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield the bytes of a backup of ``files``, whose sizes are those of the manifest."""
    about = {
        "version": manifest.version,
        "made_at": manifest.made_at.isoformat(),
        "installation": manifest.installation,
        "files": [[name, manifest.sizes[name]] for name in files],
    }
    text = json.dumps(about).encode()
    yield len(text).to_bytes(_LENGTH_BYTES, "big") + text
    for name, path in files.items():
        with path.open("rb") as file:
            left = manifest.sizes[name]
            while left and (block := file.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
            if left or file.read(1):
                raise OSError(f"{path} changed while it was read")


def unpack_content(parts: Iterable[bytes], name: str, folder: Path) -> BackupManifest:
    """Write the files of a backup below the empty private ``folder``; ``name`` is that of the backup.

    All is on the disk when this returns. Raises `StorageError` if the content is not that of a backup.
    """
    reader = _PartReader(iter(parts), name)
    manifest = _parse_manifest(reader, name)
    for entry, size in manifest.sizes.items():
        path = folder / entry
        make_private_folder(path.parent)
        with _create_private(path) as file:
            reader.copy(size, file)
    reader.require_end()
    return manifest


def _parse_manifest(reader: _PartReader, name: str) -> BackupManifest:
    length = int.from_bytes(reader.read(_LENGTH_BYTES), "big")
    if length > MAX_MANIFEST_BYTES:
        raise make_damage_error(name)
    try:
        found: Any = json.loads(reader.read(length))
        sizes = {str(entry): int(size) for entry, size in found["files"]}
        manifest = BackupManifest(
            version=str(found["version"]),
            made_at=datetime.fromisoformat(found["made_at"]),
            installation=str(found["installation"]),
            sizes=sizes,
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        raise make_damage_error(name) from None
    is_known = all(
        entry in SINGLE_FILES or _SSH_NAME.fullmatch(entry) or _LOG_NAME.fullmatch(entry) for entry in sizes
    )
    if not is_known or JOURNAL not in sizes or min(sizes.values()) < 0 or len(sizes) != len(found["files"]):
        raise make_damage_error(name)
    return manifest


def _create_private(path: Path) -> IO[bytes]:
    create_private_file(path)
    return path.open("r+b")


class _PartReader:
    """Reads exact numbers of bytes from parts of any size."""

    def __init__(self, parts: Iterator[bytes], name: str) -> None:
        self._parts, self._name = parts, name
        self._held = b""

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            part = next(self._parts, None)
            if part is None:
                raise make_damage_error(self._name)
            self._held += part
        found, self._held = self._held[:size], self._held[size:]
        return found

    def copy(self, size: int, file: IO[bytes]) -> None:
        while size:
            block = self.read(min(size, 1 << 16))
            size -= len(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())

    def require_end(self) -> None:
        if self._held or any(self._parts):
            raise make_damage_error(self._name)


_KINDS = {JOURNAL: "journal", VAULT: "vault", CONFIG: "config"}


def describe_contents(names: Sequence[str]) -> dict[str, int]:
    """Count the files of each kind that is there: ``journal``, ``vault``, ``config``, ``keys``, ``logs``."""
    found = {kind: int(name in names) for name, kind in _KINDS.items()}
    for folder, kind in ((SSH_FOLDER, "keys"), (LOGS_FOLDER, "logs")):
        found[kind] = sum(name.startswith(f"{folder}/") for name in names)
    return {kind: count for kind, count in found.items() if count}
