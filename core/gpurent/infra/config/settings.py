"""Settings: the user's ``config.toml``, then the environment. Both hold text only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.roles.entries import Field


def read_config(path: Path) -> Mapping[str, Mapping[str, str]]:
    """``[section] key = value`` of the file, also ``[section.part]``; a missing file is empty.

    Numbers with a point stay the text that was typed, dates are ISO, a list of texts is one text with spaces.
    Not TOML, or nested deeper: `UsageError`.
    """
    try:
        raw = _parsed(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:  # of either the encoding or the syntax
        raise UsageError(_("{path} is not valid TOML: {error}").format(path=path, error=error)) from None
    except OSError as error:
        raise UsageError(_("{path} cannot be read: {why}").format(path=path, why=error.strerror)) from None
    config: dict[str, dict[str, str]] = {}
    for section, values in raw.items():
        if not isinstance(values, dict):
            raise UsageError(
                _("{path}: {section!r} must stand in a section").format(path=path, section=section),
                hint=f"[core]\n{section} = …",
            )
        for name, part in _parts(section, values):
            config[name] = {key: _text(path, f"{name}.{key}", value) for key, value in part.items()}
    return config


def _parsed(text: str) -> dict[str, Any]:
    import tomllib  # most users have no file

    return tomllib.loads(text, parse_float=str)


def _parts(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The section itself, and each ``[section.part]`` below it as a section of that name."""
    yield section, {key: value for key, value in values.items() if not isinstance(value, dict)}
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{section}.{key}", value


def _text(path: Path, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    if not isinstance(value, str | int):
        raise UsageError(
            _("{path}: {name} must be text, texts, a number, a date, or true or false").format(
                path=path, name=name
            )
        )
    return str(value)


def variable(section: str, key: str) -> str:
    """The environment variable that overrides ``[section] key``: GPURENT_SECTION_KEY."""
    return f"GPURENT_{section}_{key}".upper().replace("-", "_")


def settings_for(
    section: str,
    fields: tuple[Field, ...],
    config: Mapping[str, Mapping[str, str]],
    environment: Mapping[str, str],
) -> Mapping[str, str]:
    """Every declared field that has a value: environment, else file, else default."""
    found: dict[str, str] = {}
    for declared in fields:
        value = environment.get(variable(section, declared.name))
        if value is None:
            value = config.get(section, {}).get(declared.name, declared.default)
        if value:
            found[declared.name] = value
    return found
