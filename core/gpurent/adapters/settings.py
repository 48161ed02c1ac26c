"""Settings: the user's ``config.toml``, then the environment. Both hold text only."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from gpurent.entries import Field
from gpurent.errors import UsageError


def read_config(path: Path) -> Mapping[str, Mapping[str, str]]:
    """``[section] key = value`` of the file; a missing file is empty. Not TOML, or a nested value: `UsageError`.

    A list of texts is one text, its items one after another with spaces between.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    config: dict[str, dict[str, str]] = {}
    for section, values in raw.items():
        if not isinstance(values, dict):
            raise UsageError(f"{path}: {section!r} must stand in a section", hint=f"[core]\n{section} = …")
        for key, value in values.items():
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                value = " ".join(value)  # noqa: PLW2901 - the same value, written otherwise
            if not isinstance(value, str | int | bool):
                raise UsageError(
                    f"{path}: {section}.{key} must be text, texts, a whole number, or true or false"
                )
            text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            config.setdefault(section, {})[key] = text
    return config


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
