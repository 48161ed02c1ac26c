"""Finds, reads and writes `gpurent.toml`. Errors are `UsageError`s that name the line and the fix."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from gpurent.domain.field_kinds import FieldGroup, FieldKind, TripField
from gpurent.domain.field_values import EXPECTED_MESSAGES, parse_toml_value
from gpurent.domain.name_policy import find_auto_run_name, leaves_folder
from gpurent.domain.project import ProjectFile
from gpurent.domain.trip_fields import FIELDS_BY_NAME, PROJECT_FILE, TRIP_FIELDS
from gpurent.errors import UsageError
from gpurent.infra.config.toml_file import TomlFile, read_with_owner
from gpurent.infra.platform.system import is_own_file, replace_file
from gpurent.locale import _, join_list
from gpurent.locale.foreign_text import describe_error


def find_project_file(start: Path, home: Path) -> Path | None:
    """Return the project file in ``start`` or in the nearest parent folder; None if there is none.

    The search stops at a file system boundary and at ``home``: a file in the home folder counts only when ``start`` is
    the home folder. In parent folders only the user's own files count: in a folder such as /tmp anybody could place an
    order in the user's name. Raises `UsageError` for a link in ``start``: it would make the trip of another project.
    """
    here = start.resolve()
    home = home.resolve()
    device = here.stat().st_dev
    for folder in (here, *here.parents):
        if folder != here and (folder == home or folder.stat().st_dev != device):
            return None
        path = folder / PROJECT_FILE
        if folder == here and path.is_symlink():
            raise UsageError(
                _("{path} is a symbolic link, not a regular file").format(path=path),
                hint=_("Name the file that is meant: --project FILE. Or use none: --no-project."),
            )
        if _is_usable_file(path, anybody=folder == here):
            return path
    return None


def _is_usable_file(path: Path, *, anybody: bool) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and (anybody or is_own_file(path))
    except OSError:
        return False


# Former names of keys; the tables that they were in no longer exist.
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


def read_project_file(path: Path, now: datetime, home: Path) -> ProjectFile:
    """Read and parse the file at ``path``. ``home``: the user's home folder, where many names run by themselves."""
    try:
        real = path.resolve()
        data, owner = read_with_owner(real)
        return parse_project_file(real, data, now, home, owner)
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=describe_error(error)),
            hint=_("Create one with: gpurent init"),
        ) from None


def parse_project_file(path: Path, data: bytes, now: datetime, home: Path, owner: int) -> ProjectFile:
    """Parse ``data``, the content of the file at the real path ``path``."""
    file = TomlFile.decode(path, data)
    return ProjectFile(
        path=path,
        sha256=sha256(data).hexdigest(),
        owner=owner,
        written=file.values,
        values=parse_project_values(file, now, home),
    )


def parse_project_values(file: TomlFile, now: datetime, home: Path) -> dict[str, Any]:
    """Return the values of the trip's fields, and the folder that the file is in."""
    folder = file.path.parent
    home_below = home.relative_to(folder).parts if home.is_relative_to(folder) else None
    found: dict[str, Any] = {"folder": str(folder)}
    for name, value in file.values.items():
        field = FIELDS_BY_NAME.get(name)
        _check_renamed_key(file, name, value)
        if field is None:
            raise file.unknown_key_error("", name, tuple(FIELDS_BY_NAME))
        try:
            parsed = parse_toml_value(field, value, now)
            _check_paths(field, parsed, home_below)
        except ValueError as error:
            expected = str(error) or _(EXPECTED_MESSAGES[field.kind])
            raise file.wrong_value_error("", name, expected, f"{name} = {field.example}") from None
        found[name] = parsed
        if field.kind in (FieldKind.PATH, FieldKind.FILE) and not field.relative_to_upload:
            # Paths outside the uploaded folder are relative to the file.
            found[name] = str(folder / str(parsed))
    return found


_PATH_KINDS = (FieldKind.PATH, FieldKind.FILE, FieldKind.PATH_LIST, FieldKind.PATTERN_LIST)


def _check_paths(field: TripField, value: Any, home: tuple[str, ...] | None) -> None:
    """Raise `ValueError` for a path that leaves the folder, or that something else on this computer would run."""
    if field.kind not in _PATH_KINDS and not (field.kind is FieldKind.PACKAGES and isinstance(value, str)):
        return
    for path in (value,) if isinstance(value, str) else value:
        if leaves_folder(path):
            raise ValueError(_("{name} is not inside the folder").format(name=path))
        if name := find_auto_run_name(path, home):
            raise ValueError(
                _("{path} is not taken from a project file: other programs run {name} by themselves").format(
                    path=path, name=name
                )
            )


def _check_renamed_key(file: TomlFile, name: str, value: object) -> None:
    """Raise `UsageError` with the new name if a key has a former name."""
    old = [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
    renamed = [f"{key} → {_RENAMED[key]}" for key in old if key in _RENAMED]
    if renamed:
        raise UsageError(
            _("{where}: all keys are at the top level and named like the options").format(
                where=file.format_position("", name)
            ),
            hint=_("Use the new names: {names}").format(names=join_list(renamed)),
        )


_IGNORED_NAMES = (".venv/", "venv/", ".ipynb_checkpoints/", ".DS_Store")


def render_ignore_file() -> str:
    """Render a first .gpurentignore: what no job needs on a machine."""
    comment = _("Not uploaded to rented machines, in addition to .gitignore. Same syntax as .gitignore.")
    return "\n".join([f"# {comment}", *_IGNORED_NAMES, ""])


def render_project_file(given: Mapping[str, Any]) -> str:
    """Render a project file with the values of ``given`` (by field name, as TOML values).

    Given values are written with a comment on each key; the other fields become commented-out examples.
    """
    import tomlkit  # only needed to write a file

    document = tomlkit.document()
    document.add(
        tomlkit.comment(_("Settings for `gpurent run` in this folder; command-line options override them."))
    )
    document.add(
        tomlkit.comment(_("Lines that are commented out are examples. Paths are relative to this file."))
    )
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
    """Write a file; raises `UsageError` if it exists, unless ``force``."""
    try:
        if force and os.path.lexists(path):
            replace_file(path, text.encode(), 0o644)  # a link is replaced, and what it leads to stays
            return
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            _("{path} already exists").format(path=path), hint=_("Overwrite it with: --force")
        ) from None
    except OSError as error:
        raise UsageError(
            _("{path} cannot be written: {why}").format(path=path, why=describe_error(error))
        ) from None
