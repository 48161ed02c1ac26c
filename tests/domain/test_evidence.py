"""What is left of a question to a service that failed."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.evidence import Unknown, make_unknown
from gpurent.errors import AuthError, UnavailableError


def test_a_failed_question_leaves_its_reason_and_when_to_ask_again() -> None:
    error = UnavailableError("too many requests")
    assert make_unknown(error) == Unknown("too many requests", None)
    error.retry_after = timedelta(minutes=2)
    assert make_unknown(error) == Unknown("too many requests", timedelta(minutes=2))
    assert make_unknown(AuthError("login rejected")) == Unknown("login rejected", None)
