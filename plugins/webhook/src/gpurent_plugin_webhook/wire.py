"""What goes over the line. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC
from urllib.parse import urlsplit

from gpurent.api import Notice, UsageError, is_loopback
from gpurent_plugin_webhook.messages import _

VERSION = 1


def body(notice: Notice) -> bytes:
    """The notice as one JSON object; `version` rises when a field changes its meaning."""
    event = notice.event
    return json.dumps(
        {
            "version": VERSION,
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


def signature(secret: str, timestamp: str, sent: bytes) -> str:
    """``sha256=`` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body."""
    key, text = secret.encode(), timestamp.encode() + b"." + sent
    return "sha256=" + hmac.new(key, text, hashlib.sha256).hexdigest()


def headers(notice: Notice, secret: str, timestamp: str, sent: bytes) -> dict[str, str]:
    """``timestamp``: seconds since 1970, so that a receiver can refuse what is old."""
    found = {
        "Content-Type": "application/json",
        "User-Agent": "gpurent",
        "Idempotency-Key": notice.id,
        "X-Gpurent-Timestamp": timestamp,
    }
    if secret:
        found["X-Gpurent-Signature"] = signature(secret, timestamp, sent)
    return found


def host_of(url: str) -> str:
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
