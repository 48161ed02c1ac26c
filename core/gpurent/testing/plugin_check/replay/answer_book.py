"""Which recorded answer a request of the plugin gets, and what became of each answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import unquote

from attrs import define, field

from gpurent.infra.recording.redact_exchange import make_route
from gpurent.testing.plugin_check.replay.recording_reader import RecordedExchange

_SAFE_METHODS = ("GET", "HEAD")
MAX_REPEATS = 6
"""How often one answer is given in a pass: a plugin that polls for what never comes is not kept waiting."""


class AnswerState(Enum):
    """NOT_CALLED: the plugin never asked for it. CHANGED: the plugin does not understand it."""

    NOT_CALLED = "not-called"
    PARSED = "parsed"
    CHANGED = "changed"


@define
class BookedAnswer:
    """One recorded exchange; ``error``: what the plugin said about it; ``used``: how often it was given in a pass."""

    exchange: RecordedExchange
    state: AnswerState = AnswerState.NOT_CALLED
    served: int = 0
    error: str = ""
    used: int = 0


@define
class AnswerBook:
    """The answers of one recording, and those that were given since `begin_call`."""

    answers: Sequence[BookedAnswer]
    given: list[BookedAnswer] = field(factory=list)
    missing: list[str] = field(factory=list)

    def begin_pass(self) -> None:
        """Begin at the beginning again: what was recorded one after the other is given so."""
        for answer in self.answers:
            answer.used = 0

    def begin_call(self) -> None:
        self.given, self.missing = [], []

    def count_unserved(self) -> int:
        return sum(not answer.served for answer in self.answers if answer.exchange.can_be_served)

    def count_unused(self) -> int:
        """Return how many answers nobody got in this pass."""
        return sum(not answer.used for answer in self.answers if answer.exchange.can_be_served)

    def find_answer(
        self, service: tuple[str, str], method: str, path: str, query: Mapping[str, str], body: str
    ) -> RecordedExchange | None:
        """Return the answer to a request; None if none was recorded, which is noted.

        ``service``: the names of the entry and of its setting with the URL; ``path``: with nothing escaped.
        """
        same_method = [
            answer
            for answer in self.answers
            if answer.exchange.can_be_served
            and (answer.exchange.name, answer.exchange.setting) == service
            and answer.exchange.method == method
            and answer.used < MAX_REPEATS
            and _get_operation(answer.exchange.request_body) == _get_operation(body)
        ]
        same_path = [answer for answer in same_method if (unquote(answer.exchange.path) or "/") == path]
        groups = [
            [answer for answer in same_path if set(answer.exchange.query) == set(query)],
            [answer for answer in same_path if not answer.served],
        ]
        if method not in _SAFE_METHODS:
            route = make_route(path)
            groups.append(
                [answer for answer in same_method if answer.exchange.route == route and not answer.served]
            )
        found = next(filter(None, groups), None)
        if found is None:
            self.missing.append(f"{method} {path}")
            return None
        best = max(found, key=lambda answer: _rate_likeness(answer, query, body))
        best.served, best.used = best.served + 1, best.used + 1
        self.given.append(best)
        return best.exchange

    def close_call(self, error: str, url: str, *, is_guess: bool = False) -> None:
        """Judge the answers of a call.

        ``error``: why one of them was not understood, or empty: the last one from that ``url``, or else the last one.
        A guess may have got the answer to another question: it changes nothing for one that was understood before.
        """
        understood = (
            [answer for answer in self.given if answer.state is AnswerState.PARSED] if is_guess else []
        )
        for answer in self.given:
            if answer.state is AnswerState.NOT_CALLED:
                answer.state = AnswerState.PARSED
        if error and self.given:
            named = [answer for answer in self.given if answer.exchange.path and answer.exchange.path in url]
            wrong = (named or self.given)[-1]
            if not any(wrong is answer for answer in understood):
                wrong.state, wrong.error = AnswerState.CHANGED, error


def _rate_likeness(answer: BookedAnswer, query: Mapping[str, str], body: str) -> tuple[int, int, bool, int]:
    exchange = answer.exchange
    same_query = sum(exchange.query.get(name) == value for name, value in query.items())
    asked, recorded = _parse_fields(body), _parse_fields(exchange.request_body)
    same_body = sum(recorded.get(name) == value for name, value in asked.items())
    return same_body, same_query, not answer.used, exchange.line if answer.used else -exchange.line


def _get_operation(body: str) -> object:
    """Return what tells apart the calls of an API that has one path for all of them; None elsewhere.

    It is the method of JSON-RPC, the query of GraphQL, or the ``Action`` of a form.
    """
    fields = _parse_fields(body)
    query = fields.get("query")
    if isinstance(query, str) and "{" in query:
        return query.split()
    return fields.get("method") if "jsonrpc" in fields else fields.get("Action")


def _parse_fields(body: str) -> dict[str, Any]:
    """Return the fields of a JSON object or a form; those of another body are none."""
    try:
        found = json.loads(body) if body[:1] == "{" else dict(re.findall(r"([^=&]+)=([^&]*)", body))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
