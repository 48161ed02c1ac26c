"""The recording that the user asked for with ``--record``, and how plugins get into it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpurent import __version__
from gpurent.domain.provider_names import get_base_name
from gpurent.locale import _, join_list

if TYPE_CHECKING:
    from gpurent.infra.recording.exchange import HttpWatch
    from gpurent.infra.recording.recorder import (
        ExchangeRecorder as ExchangeRecorder,
        RecordingSummary as RecordingSummary,
    )
    from gpurent.infra.redact import Redactor
    from gpurent.infra.registry.registry import EntryPointRegistry
    from gpurent.roles.entries import PluginEntry


def make_recorder(path: Path) -> ExchangeRecorder:
    """Return the recorder of one command line; its file is created when it is opened."""
    from gpurent.infra.clock import WallClock
    from gpurent.infra.recording.recorder import ExchangeRecorder

    return ExchangeRecorder(path, __version__, WallClock().now)


def format_replaced(summary: RecordingSummary) -> str:
    """Return how many values of each kind were replaced, in the user's language."""
    from gpurent.infra.recording.placeholders import KIND_TITLES, ValueKind

    counts = (f"{_(KIND_TITLES[ValueKind(kind)])} {count}" for kind, count in summary.replaced.items())
    return join_list(counts)


def format_entries(summary: RecordingSummary) -> str:
    """Return with whom the exchanges were, and how many with each, in the user's language."""
    from gpurent.infra.registry.registry import ENTRY_KINDS
    from gpurent.roles.entries import get_kind_title

    found = []
    for (kind, name), count in summary.by_entry.items():
        title = get_kind_title(ENTRY_KINDS[kind]) if kind in ENTRY_KINDS else kind
        found.append(f"{title} {name} {count}")
    return join_list(found)


def make_watch(
    recorder: ExchangeRecorder | None, redactor: Redactor, registry: EntryPointRegistry
) -> Callable[[PluginEntry[Any], str], HttpWatch] | None:
    """Return what makes the watch of an entry's client for a setting; None without a recorder."""
    if recorder is None:
        return None
    from gpurent.infra.recording.redact_exchange import RecordedEntry, get_own_hosts
    from gpurent.infra.registry.registry import ENTRY_KINDS

    def watch(entry: PluginEntry[Any], setting: str) -> HttpWatch:
        kind = next((word for word, found in ENTRY_KINDS.items() if type(entry) is found), "")
        # Which of the user's accounts it was is nobody else's business, and means nothing elsewhere.
        name = get_base_name(entry.name)
        plugin = next((one for one in registry.plugins if (kind, name) in one.entries), None)
        recorded = RecordedEntry(
            kind=kind,
            name=name,
            setting=setting,
            distribution=plugin.distribution if plugin is not None else "",
            version=plugin.version if plugin is not None else "",
            own_hosts=get_own_hosts({declared.name: declared.default for declared in entry.settings}),
        )
        return partial(recorder.watch_request, redactor, recorded)

    return watch
