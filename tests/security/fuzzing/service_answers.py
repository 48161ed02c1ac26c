"""Changed answers of services: a plugin returns a value or an error of the tree, and what it sends keeps the rules.

Reading sends nothing that rents, pays or ends; each changing call sends only its own, and pays no more than its bill.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import attrs

from gpurent.api import HttpResponse, Lease, Money, Offer, Payment
from gpurent.infra.http import ReadHttpResponse
from tests.reliability.providers import list_testable_providers
from tests.security.fuzzing.mutators import change_bytes, change_document, change_text
from tests.security.fuzzing.rules import FuzzFamily, check_identifier, is_clean, require
from tests.security.fuzzing.tape import Recording, Stage, record_provider

PAGES = (
    "",
    "<html>维护中</html>",
    "null",
    "[]",
    "{}",
    "0",
    '"x"',
    "[" * 5000,
    '{"a":' * 2000,
    "\x1b[2J",
    "\ufeff{}",
)
HTML_PIECES = (
    *(
        "<",
        ">",
        "</td>",
        "<td>",
        "</tr>",
        "<tr>",
        "</table>",
        "<table>",
        "<!--",
        "<script>",
        "<del>",
        '"',
        "=",
    ),
    *(
        "正在运行",
        "已关机",
        "元",
        "元/小时",
        "999",
        "-oProxyCommand=id",
        "ssh root@evil.example -p 22",
        "&#27;[2J",
    ),
)
STATUSES = (200, 200, 200, 201, 302, 400, 403, 404, 429, 500, 503)
_IDENTIFIERS = ("key", "ref", "machine")


def change_answer(random: Random, answer: HttpResponse) -> HttpResponse:
    """Return the answer with another body, and sometimes another status."""
    text, kind = answer.text, random.random()
    if kind < 0.04:
        text = random.choice(PAGES)
    elif kind < 0.12:
        text = change_bytes(random, text.encode("utf-8", "replace")).decode("utf-8", "replace")
    elif (document := _parse_json(text)) is not None and kind < 0.9:
        text = json.dumps(
            _change_content(random, document), default=_to_json, ensure_ascii=random.random() < 0.5
        )
    elif document is not None:
        text = change_text(random, text)
    else:
        text = change_text(random, text, HTML_PIECES if kind < 0.6 else (*HTML_PIECES, *PAGES))
    status = random.choice(STATUSES) if random.random() < 0.05 else answer.status
    return ReadHttpResponse(status, answer.url, text, answer.headers, answer.cookies)


def _change_content(random: Random, document: Any) -> Any:
    """Change a document, mostly what is inside its envelope."""
    for envelope in ("result", "content"):
        if isinstance(document, dict) and envelope in document and random.random() < 0.9:
            return {**document, envelope: change_document(random, document[envelope])}
    return change_document(random, document)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _to_json(value: object) -> object:
    # As a number: json has no exact ones.
    return float(value) if isinstance(value, Decimal) else str(value)


def check_value(value: object) -> None:
    """Check everything in a plugin's answer to core."""
    for owner, name, one in _walk(value, type(value).__name__, ""):
        where = f"{owner}.{name}"
        if isinstance(one, str):
            require(is_clean(one), f"{where} is {one[:200]!r}")
            if name in _IDENTIFIERS:
                check_identifier(one, where)
        elif isinstance(one, datetime):
            require(one.tzinfo is not None, f"{where} has no time zone")
        elif isinstance(one, Decimal):
            require(one.is_finite(), f"{where} is {one}")
        elif isinstance(one, Offer):
            require(one.hardware.gpus >= 0 and one.tariff.price.value >= 0, where)


def _walk(value: Any, owner: str, name: str) -> Iterator[tuple[str, str, object]]:
    yield owner, name, value
    if attrs.has(type(value)):
        for attribute in attrs.fields(type(value)):
            inner = getattr(value, attribute.name)
            yield from _walk(inner, type(value).__name__, attribute.name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walk(inner, owner, f"{name}[{key}]")
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _walk(inner, owner, name)


def try_stage(random: Random, recording: Recording, stage: Stage, loop: asyncio.AbstractEventLoop) -> str:
    """Play a stage again with one changed answer, and check what it returns and what it paid."""
    target = random.choice(recording.list_calls(stage))
    work, _replay = recording.play(stage, target, lambda answer: change_answer(random, answer))
    found = loop.run_until_complete(work)
    check_value(found)
    if isinstance(found, Payment):
        most = stage.most.amount if stage.most is not None else None
        require(isinstance(most, Money) and found.amount <= most, f"paid {found.amount} of {most}")
    return f"{stage.name}: {found.state.value}" if isinstance(found, Lease) else type(found).__name__


def open_cases(is_wanted: Callable[[Recording], bool]) -> Callable[[Random], str]:
    """Return a function that tries one changed answer of one of the providers that are wanted."""
    recordings = [record_provider(provider.name) for provider in list_testable_providers()]
    wanted = [recording for recording in recordings if is_wanted(recording)]
    loop = asyncio.new_event_loop()

    def try_case(random: Random) -> str:
        recording = random.choice(wanted)
        stage = random.choice(list(recording.stages.values()))
        return try_stage(random, recording, stage, loop)

    return try_case


def has_remote_calls(recording: Recording) -> bool:
    """Return whether the provider is a chain that is asked through a node."""
    return any(call.remote for stage in recording.stages.values() for call in recording.list_calls(stage))


LISTINGS = FuzzFamily(
    name="listings",
    summary="offers, leases, statements and orders: pages and JSON of the providers' services",
    open_cases=lambda: open_cases(lambda recording: not has_remote_calls(recording)),
)
NODE_ANSWERS = FuzzFamily(
    name="node-answers",
    summary="answers of a chain's node and of the client node: JSON-RPC, and storage in SCALE",
    open_cases=lambda: open_cases(has_remote_calls),
)
