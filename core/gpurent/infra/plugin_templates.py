"""New plugins, from the templates in ``data/plugin_templates``: one folder a kind, and what all have in common.

In a template's file names and texts, ``@name@`` stands for what the user types, ``@module@`` for it as a Python name,
``@package@`` for the package, ``@distribution@`` for the distribution and ``@Class@`` for the beginning of its classes.
A file whose name ends in ``.in`` is a text in which they are replaced; any other is copied.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from attrs import frozen

from gpurent import __version__
from gpurent.api import API_VERSION
from gpurent.domain.provider_names import ENTRY_NAME_PATTERN
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.locale.foreign_text import describe_error

DISTRIBUTION_PREFIX = "gpurent-plugin-"
_COMMON = "common"
_TEXT_SUFFIX = ".in"


@frozen(kw_only=True)
class PluginNames:
    """The names of a plugin that users call ``name``."""

    name: str

    @property
    def module(self) -> str:
        """``24-acme-gpu`` is ``acmegpu24``: digits do not lead, and there is no hyphen."""
        return re.sub(r"^(\d+)(.+)$", r"\2\1", self.name.replace("-", ""))

    @property
    def package(self) -> str:
        return f"gpurent_plugin_{self.module}"

    @property
    def distribution(self) -> str:
        return f"{DISTRIBUTION_PREFIX}{self.module}"

    @property
    def class_prefix(self) -> str:
        words = [word for word in self.name.split("-") if word]
        if words[0].isdigit() and len(words) > 1:
            words = [*words[1:], words[0]]
        return "".join(word.capitalize() for word in [re.sub(r"^(\d+)(.+)$", r"\2\1", words[0]), *words[1:]])

    @classmethod
    def parse(cls, name: str) -> PluginNames:
        """Check a name; raises `UsageError`."""
        made = cls(name=name)
        if not re.fullmatch(ENTRY_NAME_PATTERN, name) or not made.module.isidentifier():
            raise UsageError(
                _("{name!r} cannot be the name of a plugin").format(name=name),
                hint=_(
                    "Use small letters, digits and hyphens, at most 31, with a letter in it: acme, acme-gpu."
                ),
            )
        return made


def list_kinds() -> list[str]:
    """Return the kinds of plugins that there are templates for."""
    return sorted(found.name for found in _templates().iterdir() if found.is_dir() and found.name != _COMMON)


def render_plugin(kind: str, names: PluginNames) -> Mapping[str, bytes]:
    """Return the files of a new plugin by their paths, which are relative and have slashes."""
    words = {
        "name": names.name,
        "module": names.module,
        "package": names.package,
        "distribution": names.distribution,
        "Class": names.class_prefix,
        "api": f"({API_VERSION[0]}, {API_VERSION[1]})",
        "gpurent": ".".join(__version__.split(".")[:2]),
    }
    made = {}
    for folder in (_COMMON, kind):  # a kind's own file replaces the common one
        for path, content in _iter_files(_templates() / folder):
            is_text = path.endswith(_TEXT_SUFFIX)
            target = _fill_in(path.removesuffix(_TEXT_SUFFIX), words)
            made[target] = _fill_in(content.decode(), words).encode() if is_text else content
    return made


def write_plugin(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write a new plugin, as a whole or not at all; raises `UsageError` if ``folder`` exists or cannot be written."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(
            _("{path} already exists").format(path=folder),
            hint=_("Nothing was written. Choose another folder with --into, or another name."),
        ) from None
    except OSError as error:
        raise _make_write_error(folder, error) from None
    try:
        for name, data in content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(folder)
        raise _make_write_error(folder, error) from None


def _make_write_error(folder: Path, error: OSError) -> UsageError:
    return UsageError(_("{path} cannot be written: {why}").format(path=folder, why=describe_error(error)))


def _templates() -> Traversable:
    return files("gpurent").joinpath("data", "plugin_templates")


def _iter_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for found in sorted(folder.iterdir(), key=lambda item: item.name):
        if found.is_dir():
            yield from _iter_files(found, f"{prefix}{found.name}/")
        else:
            yield f"{prefix}{found.name}", found.read_bytes()


def _fill_in(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Za-z]+)@", lambda match: words.get(match[1], match[0]), text)
