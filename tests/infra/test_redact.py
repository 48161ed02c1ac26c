"""Secrets never reach a log; escape sequences never reach a terminal."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.domain.secret import Secret
from gpurent.infra.redact import MASK, Redactor
from gpurent.terminal_text import strip_terminal

CANARY = "p@ss/wörd+\"'<&>\\42 x"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.register_secret(Secret(CANARY))
    return made


DISGUISES = {
    "plain": CANARY,
    "url": quote(CANARY, safe=""),
    "path": quote(CANARY),
    "form": urlencode({"password": CANARY}),
    "json": json.dumps({"password": CANARY}),
    "json in utf-8": json.dumps({"password": CANARY}, ensure_ascii=False),
    "html": html.escape(CANARY),
    "repr": repr({"password": CANARY}),
    "bytes": repr(CANARY.encode()),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 for urls": base64.urlsafe_b64encode(CANARY.encode()).decode(),
}


@pytest.mark.parametrize("kind", DISGUISES)
def test_every_usual_disguise_is_hidden(redactor: Redactor, kind: str) -> None:
    found = redactor.redact(f"before {DISGUISES[kind]} after")
    assert MASK in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    for part in ("p@ss", "p%40ss", "rd+", "rd%2B", "cEBzcy"):
        assert part not in found


@settings(deadline=None)
@given(
    st.text(max_size=9),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40),
    st.text(max_size=9),
)
def test_basic_auth_and_any_other_base64_around_a_secret_hides_it(
    before: str, secret: str, after: str
) -> None:
    redactor = Redactor()
    redactor.register_secret(Secret(secret))
    whole = f"{before}:{secret}:{after}".encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert MASK in redactor.redact(encode(whole).decode())


@settings(deadline=None)
@given(st.text(max_size=30), st.text(min_size=4, max_size=30), st.text(max_size=30))
def test_a_registered_value_never_survives(before: str, secret: str, after: str) -> None:
    redactor = Redactor()
    redactor.register_secret(Secret(secret))
    found = redactor.redact(before + secret + after)
    assert secret not in found or secret in MASK or secret in (before + MASK + after)


def test_of_two_secrets_the_longer_goes_first() -> None:
    redactor = Redactor()
    redactor.register_secret(Secret("secret"))
    redactor.register_secret(Secret("secret-and-more"))
    assert redactor.redact("secret-and-more") == MASK


def test_very_short_values_do_not_tear_ordinary_text() -> None:
    redactor = Redactor()
    for text in ("", "a", "abc"):
        redactor.register_secret(Secret(text))
    redactor.register_secret(Secret("root"))
    assert redactor.redact("abc a cm9v") == "abc a cm9v"


@pytest.mark.parametrize("kind", ["", "OPENSSH ", "RSA "])
def test_private_keys_are_hidden_unregistered(kind: str) -> None:
    text = f"a\n-----BEGIN {kind}PRIVATE KEY-----\nMC4CAQAw\nBQYDK2Vw\n-----END {kind}PRIVATE KEY-----\nb"
    assert Redactor().redact(text) == f"a\n{MASK}\nb"
    assert Redactor().redact(text[:60]) == f"a\n{MASK}"


@pytest.fixture
def redacted_log(redactor: Redactor) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(redactor)
    log = logging.getLogger("gpurent.test.redact")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield log, out
    log.removeHandler(handler)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("cannot show")


def test_logs_with_arguments_tracebacks_and_stacks_are_scrubbed(
    redacted_log: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = redacted_log
    log.info("password=%s and %r", CANARY, {"a": CANARY.encode()})
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("failed with %s", CANARY, stack_info=True)
    log.info("too few: %s %s", *[CANARY])
    log.info("shy %s %s", Unprintable(), CANARY)
    log.info("no arguments 100%")
    text = out.getvalue() + capsys.readouterr().err
    assert "p@ss" not in text
    assert "Traceback (most recent call last)" in text
    assert "ValueError: ***" in text
    assert "arguments withheld: TypeError" in text
    assert "arguments withheld: RuntimeError" in text
    assert "no arguments 100%" in text


def test_a_record_with_a_traceback_formatted_before_is_scrubbed(redactor: Redactor) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "m", None, None)
    record.exc_text = f"ValueError: {CANARY}"
    assert redactor.filter(record)
    assert record.exc_text == f"ValueError: {MASK}"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP$q\x1b\\a", "a"),
        ("\x1bc\x1b(0a", "a"),
        ("\x1b\x1b[2J[2Ja", "[2Ja"),
        ("a\x9b2Jb\x9dc", "a2Jbc"),
        ("safe\rrm -rf", "saferm -rf"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("a\x08\x07\x00\x7fb", "ab"),
        ("inv\u202eoice\u2066\u200f", "invoice"),
        ("ze\u200bro\u2060\ufeff\u2028", "zero"),
        ("tag\U000e0041", "tag"),
        ("lone\udcff", "lone"),
        ("中文 é 🙂 ok", "中文 é 🙂 ok"),
        ("\x1b]0;never ended", "0;never ended"),
    ],
)
def test_terminal_controls_are_stripped_from_remote_text(raw: str, expected: str) -> None:
    assert strip_terminal(raw) == expected


@settings(deadline=None)
@given(st.text(st.sampled_from("\x1b[]P^_;0m\x07\\\x9b\x9d\x90?\r\nab\u202e"), max_size=200))
def test_no_control_survives_however_it_is_nested(raw: str) -> None:
    stripped = strip_terminal(raw)
    assert all(char in "\t\n" or char.isprintable() for char in stripped)
    stripped.encode()


def test_hostile_text_is_stripped_in_linear_time() -> None:
    for piece in ("\x1b]", "\x1b[", "\x1bP", "\x1b[0;", "\x1b\\"):
        assert "\x1b" not in strip_terminal(piece * 200_000)
