"""A plugin as it is installed: its entry points, its files, and what it says of itself."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from attrs import define

from gpurent.errors import PluginError
from gpurent.infra.registry.origins import read_origin
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.locale import _, join_list

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint


@define
class InstalledPlugin:
    """The entry points of one distribution; ``registry`` has their entries alone."""

    points: Sequence[EntryPoint]
    registry: EntryPointRegistry

    @property
    def name(self) -> str:
        return self.points[0].name

    @property
    def module(self) -> str:
        """The module of the entry point that has its name."""
        return self.points[0].module

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def distribution(self) -> str:
        return read_origin(self.points[0]).distribution

    @property
    def version(self) -> str:
        return read_origin(self.points[0]).version

    @property
    def entries(self) -> list[tuple[str, str]]:
        return [entry for plugin in self.registry.plugins for entry in plugin.entries]

    @cached_property
    def root(self) -> Path | None:
        """The folder of the package; None for a single module, or one that cannot be found."""
        try:
            found = find_spec(self.package)
        except (ImportError, ValueError):
            return None
        places = list(found.submodule_search_locations or ()) if found else []
        return Path(places[0]) if places else None

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The source of each module, by its path below the package's folder (a single module by its name)."""
        if self.root is None:
            found = find_spec(self.package)
            path = Path(found.origin) if found and found.origin else None
            return {path.name: path.read_text("utf-8")} if path and path.suffix == ".py" else {}
        skipped = tuple(f"{folder}/" for folder in self.quality.get("runs_on_machine", ()))
        paths = {path.relative_to(self.root).as_posix(): path for path in sorted(self.root.rglob("*.py"))}
        return {
            name: path.read_text("utf-8")
            for name, path in paths.items()
            if not f"{name}/".startswith(skipped)
        }

    @property
    def product_sources(self) -> Mapping[str, str]:
        """The sources without the simulator, which stands for a service and is none of the product."""
        return {name: text for name, text in self.sources.items() if not name.startswith("simulator/")}

    @cached_property
    def quality(self) -> Mapping[str, Any]:
        """What the plugin says in its ``quality.toml``; empty without one. Raises `PluginError` if it is no TOML."""
        path = self.root / "quality.toml" if self.root else None
        if path is None or not path.is_file():
            return {}
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PluginError(_("{path} is no TOML: {why}").format(path=path, why=error)) from None

    @property
    def exempt(self) -> Mapping[str, str]:
        found = self.quality.get("exempt", {})
        return {rule: f"{why}" for rule, why in found.items()} if isinstance(found, dict) else {}

    @cached_property
    def readme(self) -> str:
        """The README: that of its folder, which may be newer, else that of the installed metadata."""
        path = self.folder / "README.md" if self.folder else None
        if path is not None and path.is_file():
            return path.read_text("utf-8")
        found = self.points[0].dist
        text = found.read_text("METADATA") if found is not None else None
        return (text or "").partition("\n\n")[2]

    @cached_property
    def requires(self) -> Sequence[str]:
        found = self.points[0].dist
        return list(found.requires or ()) if found is not None else []

    @cached_property
    def folder(self) -> Path | None:
        """The folder that it was installed from, if it is still there."""
        found = self.points[0].dist
        try:
            url = json.loads((found.read_text("direct_url.json") if found else None) or "{}").get("url", "")
        except ValueError:
            return None
        parts = urlsplit(url)
        folder = Path(unquote(parts.path))
        return folder if parts.scheme == "file" and folder.is_dir() else None

    @property
    def own_tests(self) -> Path | None:
        """The folder ``tests`` beside the sources."""
        folder = self.folder / "tests" if self.folder else None
        return folder if folder is not None and folder.is_dir() else None


def find_plugin(name: str, every: EntryPointRegistry) -> InstalledPlugin:
    """Return the plugin of that name among ``every``: its entry point's, its distribution's, or that of an entry.

    Raises `PluginError` if there is none.
    """
    points = every.list_points()
    chosen = {read_origin(point).distribution for point in points if name in _list_names(point)}
    if not chosen:
        chosen = {
            plugin.distribution
            for plugin in every.plugins
            if not plugin.is_core and name in {entry for _kind, entry in plugin.entries}
        }
    if len(chosen) != 1:
        raise _make_name_error(name, chosen, every)
    mine = [point for point in points if read_origin(point).distribution in chosen]
    mine.sort(key=lambda point: point.name != name)
    return InstalledPlugin(mine, EntryPointRegistry.load(points=mine))


def _make_name_error(name: str, chosen: set[str], every: EntryPointRegistry) -> PluginError:
    known = join_list(sorted({point.name for point in every.list_points()})) or _("none")
    if chosen:
        text = _("{name!r} is a name of several distributions: {names}").format(
            name=name, names=join_list(sorted(chosen))
        )
    else:
        text = _("no such plugin: {name!r} (installed: {known})").format(name=name, known=known)
    return PluginError(text, hint=_("See: gpurent plugin list"))


def _list_names(point: EntryPoint) -> Iterator[str]:
    yield point.name
    yield read_origin(point).distribution
