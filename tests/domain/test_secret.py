"""Only `reveal` shows a secret."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.infra.plugin_context import BuiltPluginContext
from gpurent.infra.sqlite.codec import dumps
from gpurent.roles.account import Login

WORD = "hunter2-correct-horse"
SECRET = Secret(WORD)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        "{}".format,
        "{:>40}".format,
        "{!r}".format,
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - this is what is tested
        lambda secret: f"{secret} {secret!r} {secret!s:>50}",
        lambda secret: repr([secret, {"a": secret}, (secret,)]),
        lambda secret: repr(Login(account="me", token=secret)),
        lambda secret: str(ValueError(secret)),
        lambda secret: repr(vars(type(secret))),
    ],
)
def test_str_and_repr_do_not_show_it(show: Callable[[Secret], str]) -> None:
    assert WORD not in show(SECRET)


def test_reveal_returns_it() -> None:
    assert SECRET.reveal() == WORD


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_never_pickled(protocol: int) -> None:
    for holder in (SECRET, [SECRET], Login(account="me", token=SECRET)):
        with pytest.raises(TypeError, match="cannot be pickled") as caught:
            pickle.dumps(holder, protocol)
        assert WORD not in str(caught.value)


def test_it_is_never_copied_or_written() -> None:
    for write in (copy.copy, copy.deepcopy, json.dumps, dumps):
        with pytest.raises(TypeError) as caught:
            write(SECRET)
        assert WORD not in str(caught.value)
    with pytest.raises(TypeError):
        dumps(Login(account="me", token=SECRET, expires_at=datetime.now(UTC)))


def test_no_log_record_holds_it() -> None:
    stream = io.StringIO()
    log = logging.getLogger("test_secret")
    log.propagate = False
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        log.warning("logged in with %s and %r", SECRET, Login(account="me", token=SECRET))
    finally:
        log.removeHandler(handler)
    assert "***" in stream.getvalue()
    assert WORD not in stream.getvalue()


def _raise_with_secret(secret: Secret) -> None:
    raise RuntimeError(f"the provider refused {secret}")


def test_no_traceback_shows_it_even_with_the_local_variables() -> None:
    with pytest.raises(RuntimeError) as caught:
        _raise_with_secret(Secret("".join(WORD)))
    formatted = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(formatted.format())
    assert "secret = Secret(***)" in text
    assert WORD not in text.replace('WORD = "', "")


def test_plugin_context_does_not_print_its_settings() -> None:
    nothing: object = None
    host = BuiltPluginContext(
        http=nothing,  # type: ignore[arg-type]
        clock=nothing,  # type: ignore[arg-type]
        vault=nothing,  # type: ignore[arg-type]
        state=nothing,  # type: ignore[arg-type]
        mail=nothing,  # type: ignore[arg-type]
        settings={"password": WORD},
        log=logging.getLogger("x"),
        log_in=nothing,  # type: ignore[arg-type]
        files=nothing,  # type: ignore[arg-type]
        answer=nothing,  # type: ignore[arg-type]
        make_http=nothing,  # type: ignore[arg-type]
        enter_lock=nothing,  # type: ignore[arg-type]
        sources=nothing,  # type: ignore[arg-type]
    )
    assert WORD not in repr(host)


def test_secrets_compare_and_hash_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert bool(Secret("a"))
    assert not Secret("")


def test_it_has_no_dictionary() -> None:
    with pytest.raises(TypeError):
        vars(SECRET)
    with pytest.raises(AttributeError):
        SECRET.note = "x"  # type: ignore[attr-defined]


def test_values_around_it_stay_printable() -> None:
    secrets: Mapping[str, Secret] = {"password": SECRET}
    assert repr(secrets) == "{'password': Secret(***)}"
    assert str(Endpoint("root", "host")) == "ssh root@host -p 22"
