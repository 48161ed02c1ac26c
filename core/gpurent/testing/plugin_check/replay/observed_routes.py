"""Whether the plugin still reads what its routes are observed by."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent.errors import UsageError
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.locale import _
from gpurent.roles.entries import SimulatorEntry
from gpurent.roles.simulator import SimulatorRoute
from gpurent.testing.plugin_check.replay.answer_book import AnswerState
from gpurent.testing.plugin_check.replay.observation_files import is_of_route, read_observation
from gpurent.testing.plugin_check.replay.replay import replay_book


async def find_replay_faults(
    entry: SimulatorEntry, routes: Sequence[SimulatorRoute], registry: EntryPointRegistry
) -> list[str]:
    """Replay all recordings of a simulator together; return which observed route the plugin does not read."""
    observed = [(route, found) for route in routes if (found := route.observation) is not None]
    exchanges = []
    for route, observation in observed:
        try:
            exchanges += read_observation(entry, observation)
        except (OSError, UsageError):
            return [f"{route.method} {route.path}: " + _("its recording cannot be read")]
    if not exchanges:
        return []
    book = await replay_book(exchanges, registry, sorted({(one.kind, one.name) for one in exchanges}))
    faults = []
    for route, _observation in observed:
        answers = [answer for answer in book.answers if is_of_route(answer.exchange, entry.name, route)]
        title = f"{route.method} {route.path}: "
        faults += [title + answer.error for answer in answers if answer.state is AnswerState.CHANGED]
        if not any(answer.state is AnswerState.PARSED for answer in answers):
            faults.append(title + _("the plugin does not call it in a replay"))
    return faults
