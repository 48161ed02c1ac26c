"""Finds, reads and writes `gpurent.toml`. What is wrong in it is a `UsageError` that names the line and a remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_toml_value
from gpurent.domain.trip_fields import FIELDS_BY_NAME, PROJECT_FILE, TRIP_FIELDS, FieldGroup, FieldKind
from gpurent.errors import UsageError
from gpurent.infra.config.toml_file import TomlFile
from gpurent.locale import _


def find_project_file(start: Path, home: Path) -> Path | None:
    """The file in ``start`` or the nearest folder above it.

    The search ends at the filesystem's boundary, and below ``home``: a file in the home itself counts only there.
    Above ``start`` only files of the user's own count: in a folder like /tmp anybody could order for everybody.
    """
    here = start.resolve()
    home = home.resolve()
    device = here.stat().st_dev
    for folder in (here, *here.parents):
        if folder != here and (folder == home or folder.stat().st_dev != device):
            return None
        if _is_usable_file(folder / PROJECT_FILE, anybody=folder == here):
            return folder / PROJECT_FILE
    return None


def _is_usable_file(path: Path, *, anybody: bool) -> bool:
    try:
        return path.is_file() and (anybody or path.stat().st_uid == os.getuid())
    except OSError:
        return False


# What keys were called once; the tables that they stood in are gone.
_RENAMED = {
    "inputs": "include",
    "outputs": "results",
    "home": "results_dir",
    "providers": "provider",
    "term": "for",
    "gpu.name": "gpu",
    "gpu.count": "gpus",
    "gpu.memory": "gpu_memory",
    "gpu.cpus": "cpus",
    "gpu.ram": "memory",
    "gpu.machine": "machine",
    "setup.conda": "conda",
    "setup.pip": "pip",
    "setup.commands": "setup",
    "setup.needs": "setup_needs",
    **{f"guard.{key}": key for key in ("idle", "idle_load", "timer", "after_job", "save_before")},
    "notify.events": "notify",
}


def read_project_file(path: Path, now: datetime) -> dict[str, Any]:
    """The values of the trip's fields that ``path`` has, and the folder where it lies."""
    try:
        return parse_project_values(TomlFile.read(path), now)
    except FileNotFoundError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=error.strerror),
            hint=_("Write one with: gpurent init"),
        ) from None


def parse_project_values(file: TomlFile, now: datetime) -> dict[str, Any]:
    """As `read_project_file`, of a file that was read already."""
    folder = file.path.resolve().parent
    found: dict[str, Any] = {"folder": str(folder)}
    for name, value in file.values.items():
        field = FIELDS_BY_NAME.get(name)
        _check_renamed_key(file, name, value)
        if field is None:
            raise file.unknown_key_error("", name, tuple(FIELDS_BY_NAME))
        try:
            found[name] = parse_toml_value(field, value, now)
        except ValueError as error:
            expected = str(error) or _(EXPECTED_MESSAGES[field.kind])
            raise file.wrong_value_error("", name, expected, f"{name} = {field.example}") from None
        if field.kind is FieldKind.PATH and not field.relative_to_upload:
            # Paths outside the uploaded folder are relative to the file.
            found[name] = str(folder / str(found[name]))
    return found


def _check_renamed_key(file: TomlFile, name: str, value: object) -> None:
    """A key under the name that it once had is told its new one."""
    old = [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
    renamed = [f"{key} → {_RENAMED[key]}" for key in old if key in _RENAMED]
    if renamed:
        raise UsageError(
            _("{where}: every key stands at the top, under the option's own name").format(
                where=file.format_position("", name)
            ),
            hint=_("What it is called now: {names}").format(names=", ".join(renamed)),
        )


IGNORE_TEMPLATE = """\
# What never goes up to a rented machine, beside what .gitignore names. The same rules as there.
.venv/
venv/
.ipynb_checkpoints/
.DS_Store
"""


def render_project_file(given: Mapping[str, Any]) -> str:
    """The text of a file with the values of ``given``, as TOML has them, by field name.

    What was said, with a word on each key; the rest as examples that are commented out.
    """
    import tomlkit  # only who writes a file needs it

    document = tomlkit.document()
    document.add(tomlkit.comment(_("What `gpurent run` does in this folder; the command line wins over it.")))
    document.add(tomlkit.comment(_("What is commented out is an example. Paths are relative to this file.")))
    for group in FieldGroup:
        document.add(tomlkit.nl())
        document.add(tomlkit.comment(_(group.value)))
        for field in (field for field in TRIP_FIELDS if field.group is group):
            value, about = given.get(field.name), _(field.help_text)
            if value in (None, "", [], ()):
                document.add(tomlkit.comment(f"{field.name} = {field.example}  # {about}"))
            else:
                document.add(field.name, tomlkit.item(value).comment(about))
    return tomlkit.dumps(document)


def write_new_file(path: Path, text: str, *, force: bool = False) -> None:
    """Never over a file that is there, unless ``force``."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            _("{path} is there already").format(path=path), hint=_("Write over it with: --force")
        ) from None
    except OSError as error:
        raise UsageError(_("{path} cannot be written: {why}").format(path=path, why=error.strerror)) from None
