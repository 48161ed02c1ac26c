"""The delivery queue: in order, bounded, and never waited for longer than agreed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from gpurent.domain.secret import Secret
from gpurent.infra.redact import Redactor, split_secret
from gpurent.workflow.runtime.delivery_queue import (
    MAX_PENDING,
    DeliveryOutcome,
    DeliveryQueue,
    install_stream_filters,
    remove_stream_filters,
)

LONG_SECONDS = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def test_everything_is_sent_in_order_and_reported() -> None:
    sent: list[int] = []
    outcomes: list[DeliveryOutcome] = []
    queue: DeliveryQueue[int] = DeliveryQueue("x", sent.append, LONG_SECONDS, outcomes.append)
    for number in range(20):
        queue.put(number)
    assert queue.drain(LONG_SECONDS) == 0
    assert sent == list(range(20))
    assert [outcome.reason for outcome in outcomes] == [""] * 20


def test_oldest_item_is_dropped_when_full(gate: threading.Event) -> None:
    sent: list[int] = []

    def send(number: int) -> None:
        gate.wait(LONG_SECONDS)
        sent.append(number)

    queue: DeliveryQueue[int] = DeliveryQueue("x", send, LONG_SECONDS, lambda outcome: None)
    for number in range(MAX_PENDING + 10):
        queue.put(number)
    gate.set()
    assert queue.drain(LONG_SECONDS) == 0
    assert sent[-1] == MAX_PENDING + 9
    assert sent == sorted(sent)
    assert queue.dropped_count + len(sent) == MAX_PENDING + 10
    assert queue.dropped_count >= 9


def test_hanging_delivery_is_reported_and_not_awaited(gate: threading.Event) -> None:
    outcomes: list[DeliveryOutcome] = []
    queue: DeliveryQueue[int] = DeliveryQueue("x", lambda number: gate.wait(), 0.2, outcomes.append)
    queue.put(1)
    queue.put(2)
    assert queue.drain(LONG_SECONDS) == 2, "returns as soon as the limit is exceeded, not after LONG"
    assert "0.2 s" in outcomes[0].reason
    assert len(outcomes) == 1, "the second is not begun beside the first"
    gate.set()
    end = monotonic() + LONG_SECONDS
    while queue.drain(0.1) and monotonic() < end:
        sleep(0.01)
    assert [outcome.ok for outcome in outcomes] == [False, True]


@pytest.mark.parametrize(
    "error", [RuntimeError("bad"), SystemExit(3), KeyboardInterrupt(), Exception(object())]
)
def test_any_error_is_contained(error: BaseException) -> None:
    outcomes: list[DeliveryOutcome] = []

    def send(number: int) -> None:
        raise error

    queue: DeliveryQueue[int] = DeliveryQueue("x", send, LONG_SECONDS, outcomes.append)
    queue.put(1)
    queue.put(2)
    assert queue.drain(LONG_SECONDS) == 0
    assert [type(error).__name__ in outcome.reason for outcome in outcomes] == [True, True]


def test_what_a_thread_prints_is_dropped_and_ours_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    install_stream_filters()
    try:
        queue: DeliveryQueue[str] = DeliveryQueue("x", print, LONG_SECONDS, lambda outcome: None)
        queue.put("hush-CANARY")
        queue.drain(LONG_SECONDS)
        print("mine")
        print("mine too", file=sys.stderr)
    finally:
        remove_stream_filters()
    output = capsys.readouterr()
    assert (output.out, output.err) == ("mine\n", "mine too\n")


@pytest.mark.parametrize(
    ("setting", "hidden", "seen"),
    [
        ("tgram://123456:AbC-dEfGh_1/99", ["AbC-dEfGh_1"], []),
        ("mailtos://u:pa55@smtp.example.com?to=x@example.com", ["pa55"], ["smtp.example.com"]),
        ("json://h/ dingtalk://0a1b2c3d4e5f", ["0a1b2c3d4e5f", "dingtalk://0a1b2c3d4e5f"], ["json"]),
        ("https://hooks.example.com/services/T00AAbb11/x", ["T00AAbb11"], ["hooks.example.com", "services"]),
    ],
)
def test_parts_of_a_secret_address_are_hidden_too(setting: str, hidden: list[str], seen: list[str]) -> None:
    redactor = Redactor()
    for piece in split_secret(setting):
        redactor.register_secret(Secret(piece))
    for part in hidden:
        assert part not in redactor.redact(f"it said {part}!")
    for part in seen:
        assert part in redactor.redact(f"it said {part}!")
