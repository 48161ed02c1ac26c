"""What a recording leaves out: by its value, its name, its form; and whole bodies where it cannot be sure."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.domain.secret import Secret
from gpurent.infra.recording.exchange import ReceivedAnswer, SentRequest
from gpurent.infra.recording.json_redaction import JsonRedaction, format_json, parse_json
from gpurent.infra.recording.markup_redaction import MarkupRedaction
from gpurent.infra.recording.placeholders import Placeholders, ValueKind
from gpurent.infra.recording.redact_exchange import (
    ExchangeRedaction,
    RecordedEntry,
    get_own_hosts,
    make_route,
)
from gpurent.infra.recording.redact_text import TextRedaction
from gpurent.infra.redact import Redactor

SECRET = "canary-7f3a/wörd+1"
ACCOUNT = "grace-hopper"
ENTRY = RecordedEntry(
    kind="lease",
    name="acme",
    setting="url",
    distribution="gpurent-plugin-acme",
    version="1.2",
    own_hosts=get_own_hosts({"url": "https://api.acme.example"}),
)


@pytest.fixture
def text() -> TextRedaction:
    redactor = Redactor()
    redactor.register_secret(Secret(SECRET))
    redactor.register_account(ACCOUNT)
    return TextRedaction(redactor)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (f"x {SECRET} y", "x <secret-1> y"),
        (f"of {ACCOUNT}.", "of <account-1>."),
        (f"not{ACCOUNT}here", f"not{ACCOUNT}here"),
        ("Bearer abcdefgh-1 used", "Bearer abcdefgh-1 used"),
        ("ssh root@10.1.2.3 -p 22", "ssh root@203.0.113.1 -p 22"),
        ("ssh -p 2222 -i ~/k mist@gpu28.acme.com", "ssh -p 2222 -i ~/k mist@host-1.example"),
        ("ssh me@iz2ze", "ssh me@host-1.example"),
        ("root@10.1.2.3 -p 38321", "root@203.0.113.1 -p 38321"),
        ("root@10.1.2.3", "root@203.0.113.1"),
        ("ubuntu@gpu28.acme.com -p 22", "ubuntu@host-1.example -p 22"),
        ("mail a.b+c@d.org now", "mail <email-1> now"),
        ("at [2a01:4f8::17]:22", "at [2001:db8::1]:22"),
        ("12:30:45 and 2026-11-30T12:30:45.123456+00:00", "12:30:45 and 2026-11-30T12:30:45.123456+00:00"),
        ("driver 535.104.05, CUDA 12.4", "driver 535.104.05, CUDA 12.4"),
        ("password: hunter2!", "password: <secret-1>"),
        ("验证码：4711", "验证码：<secret-1>"),
        ('{"api_key":"abc"}', '{"api_key":"<secret-1>"}'),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def", "<secret-1>"),
        ("https://me:pw@db.acme.net/x", "https://<account-1>:<secret-1>@host-1.example/x"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKv me@home ok", "ssh-ed25519 <public-key-1> ok"),
        ("SHA256:FAJFW+Zi9Ri2dGp+mHmOx0YflD46xel0L5gOzHCkglg", "SHA256:<public-key-1>"),
        ("ab" * 16, f"{1:032x}"),
        ("0x" + "ab" * 32, f"0x{1:064x}"),
        ("550e8400-e29b-41d4-a716-446655440000", "00000000-0000-4000-8000-000000000001"),
        ("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty", "token1x0000".ljust(48, "0")),
        ("call 138 1234 5678", "call <account-1>"),
        ("ec2-3-4-5-6.compute.amazonaws.com", "host-1.example"),
        ("pytorch/pytorch:2.1.0-cuda12.1-cudnn8-devel", "pytorch/pytorch:2.1.0-cuda12.1-cudnn8-devel"),
        ("RTX 4090, 24564 MB at 0.34 USD/h", "RTX 4090, 24564 MB at 0.34 USD/h"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "<secret-1>"),
    ],
)
def test_texts(raw: str, expected: str, text: TextRedaction) -> None:
    assert text.redact(raw) == expected
    assert text.redact(raw) == expected, "one value, one placeholder"


def test_redacted_text_is_left_as_it_is(text: TextRedaction) -> None:
    once = text.redact(f"{SECRET} a@b.org 1.2.3.4 gpu.acme.org ssh x@y.org {'ab' * 16} {ACCOUNT}")
    assert text.redact(once) == once


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"password": "a", "Access-Token": "b b"}, {"password": "<secret-1>", "Access-Token": "<secret-2>"}),
        ({"login": {"token": ["x1", "x2"]}}, {"login": {"token": ["<secret-1>", "<secret-2>"]}}),
        ({"stop_code": "1234", "code": "0.5"}, {"stop_code": "<secret-1>", "code": "0.5"}),
        ({"pin": 1234, "n": 1234}, {"pin": 900000001, "n": 1234}),
        ({"user_id": 77, "gpus": 77}, {"user_id": 900000001, "gpus": 77}),
        (
            {"id": 4711, "email": "a@b.org", "owner": 4711},
            {"id": 900000001, "email": "<email-1>", "owner": 900000001},
        ),
        ({"id": 4711, "gpu": "A100"}, {"id": 4711, "gpu": "A100"}),
        ({"hostname": "iz2ze", "ip": "1.2.3.4"}, {"hostname": "host-1.example", "ip": "203.0.113.1"}),
        ({"ssh_key": "ssh-rsa AAAAB3"}, {"ssh_key": "ssh-rsa <public-key-1>"}),
        ({"publicKey": "AAAAB3Nz"}, {"publicKey": "<public-key-1>"}),
        (
            {"host": "10.1.2.3", "port": 22, "username": "root"},
            {"host": "203.0.113.1", "port": 22, "username": "root"},
        ),
        ({"Password": "aHVudGVyMiE="}, {"Password": "PHNlY3JldC0xPg=="}),
        ({"extra_env": [["HF", "x"]]}, {"extra_env": [["<content-1>", "<content-2>"]]}),
        ([["DB_PASSWORD", "x"], ["A", "y"]], [["DB_PASSWORD", "<secret-1>"], ["A", "y"]]),
        ([{"name": "API_TOKEN", "value": "x"}], [{"name": "API_TOKEN", "value": "<secret-1>"}]),
        ({"raw": '{"secret": "x", "n": 1}'}, {"raw": '{"secret": "<secret-1>", "n": 1}'}),
        (
            {"note": "see longsecret99", "token": "longsecret99"},
            {"note": "see <secret-1>", "token": "<secret-1>"},
        ),
        ({"1.2.3.4": 1, "a@b.org": 2}, {"203.0.113.1": 1, "<email-1>": 2}),
        ({"can_pay": True, "token": None}, {"can_pay": True, "token": None}),
    ],
)
def test_json(raw: object, expected: object, text: TextRedaction) -> None:
    assert json.loads(format_json(JsonRedaction(text).redact(parse_json(json.dumps(raw))))) == expected


def test_json_keeps_every_number_digit_by_digit(text: TextRedaction) -> None:
    raw = '{"a": 0.10, "b": 1E-7, "c": 100000000000000000000.000000000000000001, "d": -0}'
    assert format_json(JsonRedaction(text).redact(parse_json(raw))) == raw


def test_a_page_keeps_its_markup_and_loses_what_is_the_users(text: TextRedaction) -> None:
    page = (
        '<!doctype html><html><!-- by a@b.org --><script>var token="x"</script>'
        "<form action='/login/'><input name=csrf value=abc123><input type=password value=\"pw9\"></form>"
        f'<p class="card-title" data-token="t1">Hello {ACCOUNT} &lt;a&#64;b.org&gt;</p>'
        "<td>密码：</td><td>s3cret</td><td>2080Ti</td><td>ssh mist@gpu1.acme.com -p 10000</td></html>"
    )
    found = MarkupRedaction(text).redact(page)
    kept = (
        '<p class="card-title"',
        "<td>2080Ti</td>",
        "ssh mist@host-1.example -p 10000",
        "action='/login/'",
    )
    assert all(part in found for part in kept), found
    assert not [
        part for part in ("abc123", "pw9", "t1", ACCOUNT, "a@b", "b.org", "s3cret", "var") if part in found
    ], found


def make_line(
    text: TextRedaction, body: str, media_type: str, base_url: str = "https://api.acme.example"
) -> dict[str, object]:
    sent = SentRequest(
        method="GET", base_url=base_url, path="/x", params={}, headers=[("Accept", "*/*")], body=b""
    )
    answer = ReceivedAnswer(status=200, headers=[("Content-Type", media_type)], text=body)
    line = ExchangeRedaction(text, "9.9").make_line(
        ENTRY, sent, answer, datetime(2026, 1, 1, tzinfo=UTC), 0.1
    )
    found = line["response"]
    assert isinstance(found, dict)
    return {**found, "service": line["service"]}


@pytest.mark.parametrize(
    ("body", "media_type", "why"),
    [
        ('{"a": ', "application/json", "not the JSON"),
        ("[" * 100_000, "application/json", "not the JSON"),
        ("\x00\x01", "text/plain", "not text"),
        ("�PNG", "text/html", "not text"),
        ("x", "application/octet-stream", "kind is not known"),
        ("x" * (3 << 20), "text/plain", "too large"),
        ('{"result": "0x' + "ab" * 100 + '"}', "application/json", "binary data"),
        ("<p>canary-<b>7f3a/</b>wörd+1</p>", "text/html", "another form"),
        (r"canary-7f3a\/w\örd+1", "text/plain", "another form"),
    ],
)
def test_what_is_not_understood_is_left_out_and_said(
    body: str, media_type: str, why: str, text: TextRedaction
) -> None:
    found = make_line(text, body, media_type)
    assert found["body"] == ""
    assert why in str(found["left_out"])


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://api.acme.example/v1", "https://api.acme.example"),
        ("http://127.0.0.1:4711", "sandbox"),
        ("https://proxy.my-lab.example", "another address"),
    ],
)
def test_only_the_plugin_s_own_service_is_named(url: str, service: str, text: TextRedaction) -> None:
    assert make_line(text, "{}", "application/json", url)["service"] == service


@pytest.mark.parametrize(
    ("path", "redacted", "route"),
    [
        ("/api/v0/instances/4711/ssh/", "/api/v0/instances/4711/ssh/", "/api/v0/instances/{}/ssh/"),
        ("/users/4711/keys", "/users/900000001/keys", "/users/{}/keys"),
        ("/users/current/", "/users/current/", "/users/current/"),
        (f"/of/{quote(SECRET, safe='')}", "/of/<secret-1>", "/of/{}"),
        (f"/of/{ACCOUNT}/x", "/of/<account-1>/x", "/of/{}/x"),
        ("/mail/a%40b.org", "/mail/<email-1>", "/mail/{}"),
        ("/token/abc1", "/token/<secret-1>", "/token/{}"),
    ],
)
def test_paths(path: str, redacted: str, route: str, text: TextRedaction) -> None:
    found = ExchangeRedaction(text, "9.9").redact_path(path)
    assert (found, make_route(found)) == (redacted, route)


def test_one_address_after_the_other_is_one_for_documentation() -> None:
    made = Placeholders()
    found = [made.get(ValueKind.ADDRESS, f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1000)]
    assert len(set(found)) == 1000
    assert all(re.match(r"(203\.0\.113|198\.51\.100|192\.0\.2|198\.18)\.", one) for one in found)


def test_a_placeholder_that_a_service_sent_is_no_other_value() -> None:
    made = Placeholders()
    assert made.get(ValueKind.SECRET, "<secret-1>") != made.get(ValueKind.SECRET, "real")


# a canary anywhere, in any form

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co"]), max_size=20)
CANARIES = st.text(st.sampled_from("abcXYZ019-_./+ö\"'<&"), min_size=12, max_size=30).filter(
    lambda found: len(set(found)) > 5 and not found.isspace()
)
WRITERS: dict[str, Callable[[str, str, str], tuple[str, str]]] = {
    "json": lambda a, c, b: (json.dumps({a + "k": [a, {"x": a + c + b}], c: 1}), "application/json"),
    "json in utf-8": lambda a, c, b: (json.dumps({"x": a + c + b}, ensure_ascii=False), "application/json"),
    "json in json": lambda a, c, b: (json.dumps({"x": json.dumps({"y": a + c + b})}), "application/json"),
    "page": lambda a, c, b: (f"<p title=\"{html.escape(c)}\">{html.escape(a + c + b)}</p>", "text/html"),
    "raw page": lambda a, c, b: (f"<p>{c}</p><script>{a}{c}</script><!-- {c} -->", "text/html"),
    "text": lambda a, c, b: (a + c + b, "text/plain"),
    "form": lambda a, c, b: (urlencode({"a": a + c + b}), "application/x-www-form-urlencoded"),
    "url": lambda a, c, b: (f"{a}/x?y={quote(c, safe='')}", "text/plain"),
    "base64": lambda a, c, b: (base64.b64encode((a + c + b).encode()).decode(), "text/plain"),
    "unknown": lambda a, c, b: (a + c + b, "application/json"),
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
@settings(deadline=None, max_examples=60)
@given(WORDS, CANARIES, WORDS)
def test_no_secret_survives_wherever_it_stands(writer: str, before: str, canary: str, after: str) -> None:
    redactor = Redactor()
    redactor.register_secret(Secret(canary))
    body, media_type = WRITERS[writer](before, canary, after)
    found = str(make_line(TextRedaction(redactor), body, media_type)["body"])
    for form in (canary, json.dumps(canary)[1:-1], html.escape(canary), quote(canary, safe="")):
        assert form not in found


@settings(deadline=None, max_examples=150)
@given(st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=4)
       | st.dictionaries(WORDS, inner, max_size=4), max_leaves=20))  # fmt: skip
def test_redacted_json_has_the_shape_of_the_original(value: object) -> None:
    text = TextRedaction(Redactor())
    found = json.loads(format_json(JsonRedaction(text).redact(parse_json(json.dumps(value)))))
    assert _describe_shape(found) == _describe_shape(value)


def _describe_shape(value: object) -> object:
    if isinstance(value, dict):
        return [_describe_shape(inner) for inner in value.values()]
    if isinstance(value, list):
        return [_describe_shape(inner) for inner in value]
    return type(value).__name__


@pytest.mark.parametrize(
    "piece", ["<", '<a "', "<!--", "<script>", "&amp", "a@", "1.", "ssh a@", "token:", "-", "x.y"]
)
def test_a_hostile_body_does_not_make_it_slow(piece: str) -> None:
    text = TextRedaction(Redactor())
    make_line(text, piece * (50_000 // len(piece)), "text/html")
    make_line(text, piece * (50_000 // len(piece)), "text/plain")
