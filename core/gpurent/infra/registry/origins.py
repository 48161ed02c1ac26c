"""Where a plugin comes from: its distribution, version, and the hash of what was installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from importlib_metadata import Distribution, EntryPoint

RELEASED_LIST = "released-plugins.txt"
_CODE_SUFFIXES = (".py", ".so", ".pyd", ".pth")


@frozen(kw_only=True)
class PluginOrigin:
    """``sha256`` is that of the list of installed files with their hashes (RECORD); empty if there is none.

    Of a plugin that was not released with this gpurent, the code itself counts too, so that an edited file is noticed.
    """

    distribution: str
    version: str
    sha256: str


def read_origin(point: EntryPoint) -> PluginOrigin:
    """Return the origin of an entry point; what cannot be read is empty."""
    try:
        found = point.dist
        # Parsed by hand: every command reads this, and the parser of e-mail takes longer than all the rest.
        head = (found.read_text("METADATA") or "").partition("\n\n")[0] if found is not None else ""
        fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        name, version = fields.get("Name", point.name), fields.get("Version", "")
        digest = _hash_record(found, with_code=not _is_released(name, version)) if found is not None else ""
        return PluginOrigin(distribution=name, version=version, sha256=digest)
    except Exception:  # noqa: BLE001 - metadata on disk may be damaged in any way
        return PluginOrigin(distribution=point.name, version="", sha256="")


def _hash_record(distribution: Distribution, *, with_code: bool) -> str:
    import hashlib

    text = distribution.read_text("RECORD")
    if not text:
        return ""
    found = hashlib.sha256(text.encode())
    if with_code:
        for file in distribution.files or ():
            if file.suffix in _CODE_SUFFIXES:
                path = Path(str(file.locate()))
                found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def _is_released(name: str, version: str) -> bool:
    return _list_released().get(_normalize(name)) == version


def is_released_here(point: EntryPoint) -> bool:
    """Return whether an entry point is of a plugin that was released with this gpurent, as it was installed.

    By name, version and module, and by the hashes of its files. Whoever can change installed files can change their
    list too.
    """
    try:
        found = point.dist
        if found is None or not _is_released(found.name, found.version):
            return False
        # Named as the distribution, so that it is not another one's module.
        module = _normalize(found.name).replace("-", "_")
        return point.module.partition(".")[0] == module and not _list_changed_files(found, module)
    except Exception:  # noqa: BLE001 - likewise
        return False


@cache
def _list_released() -> Mapping[str, str]:
    """Return name and version of every plugin that was released with this gpurent."""
    text = resources.files("gpurent").joinpath("data", RELEASED_LIST).read_text("utf-8")
    return dict(line.split("==") for line in text.split())


def list_released_names() -> list[str]:
    """Return the distributions of the plugins that were released with this gpurent."""
    return list(_list_released())


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _list_changed_files(distribution: Distribution, module: str) -> list[str]:
    """Return the installed files of a module whose content is not what RECORD says; a missing RECORD counts as one."""
    import base64
    import hashlib

    files = distribution.files
    if files is None:
        return ["RECORD"]
    changed = []
    for file in files:
        if file.hash is None or file.parts[0].removesuffix(".py") != module:
            continue
        try:
            data = hashlib.new(file.hash.mode, file.read_binary()).digest()
        except (OSError, ValueError):
            changed.append(str(file))
            continue
        if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    return changed
