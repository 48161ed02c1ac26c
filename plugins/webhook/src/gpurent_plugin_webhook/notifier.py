"""The notifier: one POST request per notification."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC
from urllib.parse import urlsplit

import httpx2

from gpurent.api import Notice, Notifier, UnavailableError, UsageError, is_loopback
from gpurent_plugin_webhook import _

PAYLOAD_VERSION = 1
TIMEOUT = 5.0
RETRY_PAUSES = (0.5, 1.5)
# The receiver says that it did not accept the message.
RETRY_STATUSES = (429, 503)


class WebhookNotifier(Notifier):
    """Posts to one URL. Its path and query may be secret, so errors name only the host."""

    def __init__(self, url: str, secret: str) -> None:
        self._host = parse_host(url)
        self._url = url
        self._secret = secret

    def notify(self, notice: Notice) -> None:
        """Post the notice; retry only if it certainly was not accepted, with the same ``Idempotency-Key``.

        Redirects are errors: what is meant for one host is not sent to another.
        """
        sent = make_body(notice)
        with httpx2.Client(
            follow_redirects=False, timeout=TIMEOUT, trust_env=not is_loopback(self._host)
        ) as client:
            for pause in (*RETRY_PAUSES, None):
                if self._post(client, notice, sent, last=pause is None):
                    return
                time.sleep(pause or 0)

    def _post(self, client: httpx2.Client, notice: Notice, sent: bytes, *, last: bool) -> bool:
        """Post once; return whether it was accepted. False means that it was not and may be sent again."""
        # The receiver uses real time, even if the provider's clock is the sandbox's.
        timestamp = str(int(time.time()))
        request = client.build_request(
            "POST", self._url, content=sent, headers=make_headers(notice, self._secret, timestamp, sent)
        )
        try:
            answer = client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            if not last:
                return False
            raise self._delivery_error(_("cannot be reached ({why})"), type(error).__name__) from None
        except httpx2.TimeoutException:
            raise self._delivery_error(_("does not answer"), "") from None
        except httpx2.HTTPError as error:
            raise self._delivery_error(_("dropped the connection ({why})"), type(error).__name__) from None
        answer.close()  # unread: an endless body must not block us
        if answer.is_success:
            return True
        if answer.status_code in RETRY_STATUSES and not last:
            return False
        if answer.is_redirect:
            raise self._delivery_error(
                _("sent a redirect ({why}), which is not followed"), str(answer.status_code)
            )
        raise self._delivery_error(_("returned HTTP {why}"), str(answer.status_code))

    def _delivery_error(self, what: str, why: str) -> UnavailableError:
        return UnavailableError(f"{self._host} {what.format(why=why)}", retryable=True)


def make_body(notice: Notice) -> bytes:
    """Return the notice as a JSON object; `version` is raised when a field changes its meaning."""
    event = notice.event
    return json.dumps(
        {
            "version": PAYLOAD_VERSION,
            "id": notice.id,
            "kind": event.kind.value,
            "level": notice.level.value,
            "at": event.at.astimezone(UTC).isoformat(),
            "trip": event.trip,
            "lease": event.lease,
            "step": event.step,
            "title": notice.title,
            "text": notice.body,
            "data": dict(event.data),
        },
        ensure_ascii=False,
    ).encode()


def sign_body(secret: str, timestamp: str, sent: bytes) -> str:
    """Return ``sha256=`` and the hex HMAC-SHA256 of the timestamp, a dot and the body."""
    key, text = secret.encode(), timestamp.encode() + b"." + sent
    return "sha256=" + hmac.new(key, text, hashlib.sha256).hexdigest()


def make_headers(notice: Notice, secret: str, timestamp: str, sent: bytes) -> dict[str, str]:
    """Return the headers. ``timestamp``: seconds since 1970, so that a receiver can reject old messages."""
    found = {
        "Content-Type": "application/json",
        "User-Agent": "gpurent",
        "Idempotency-Key": notice.id,
        "X-Gpurent-Timestamp": timestamp,
    }
    if secret:
        found["X-Gpurent-Signature"] = sign_body(secret, timestamp, sent)
    return found


def parse_host(url: str) -> str:
    """Return the host. Raises `UsageError` if the URL is not a web address or would send messages unencrypted."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(_("the webhook URL is invalid"))
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(_("the webhook URL is not encrypted; use https"))
    return host
