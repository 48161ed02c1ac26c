"""The notifier: one POST a notice."""

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
# The receiver says that it has not taken the message.
RETRY_STATUSES = (429, 503)


class WebhookNotifier(Notifier):
    """Posts to one address. Its path and query may be a key, so errors name the host alone."""

    def __init__(self, url: str, secret: str) -> None:
        self._host = parse_host(url)
        self._url = url
        self._secret = secret

    def notify(self, notice: Notice) -> None:
        """Repeated only where the message certainly was not taken, and always under the same ``Idempotency-Key``.

        Redirects are errors: what is meant for one host goes to no other.
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
        """Whether it was taken; False: it was not, and may be sent again."""
        # The receiver lives in real time, also when the provider's clock is the sandbox's.
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
            raise self._delivery_error(_("broke the line ({why})"), type(error).__name__) from None
        answer.close()  # unread: a body that never ends must not hold us
        if answer.is_success:
            return True
        if answer.status_code in RETRY_STATUSES and not last:
            return False
        if answer.is_redirect:
            raise self._delivery_error(
                _("wants to send us elsewhere ({why}), which is not followed"), str(answer.status_code)
            )
        raise self._delivery_error(_("answered {why}"), str(answer.status_code))

    def _delivery_error(self, what: str, why: str) -> UnavailableError:
        return UnavailableError(f"{self._host} {what.format(why=why)}", retryable=True)


def make_body(notice: Notice) -> bytes:
    """The notice as one JSON object; `version` rises when a field changes its meaning."""
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
    """``sha256=`` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body."""
    key, text = secret.encode(), timestamp.encode() + b"." + sent
    return "sha256=" + hmac.new(key, text, hashlib.sha256).hexdigest()


def make_headers(notice: Notice, secret: str, timestamp: str, sent: bytes) -> dict[str, str]:
    """``timestamp``: seconds since 1970, so that a receiver can refuse what is old."""
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
    """The host; a `UsageError` where a message would travel in the clear, or that is no web address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(_("the url of the web hook is no web address"))
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(_("the url of the web hook is not encrypted; use https"))
    return host
