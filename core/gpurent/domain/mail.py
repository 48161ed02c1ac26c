"""Mail that matters, and questions that a mail or a person answers."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class Mail:
    """``sender`` is the bare address of the From header, lower case; ``text`` is the decoded plain text."""

    uid: str
    at: datetime
    sender: str
    subject: str
    text: str


@frozen(kw_only=True)
class Challenge:
    """Something that only the user's mailbox or the user knows.

    ``pattern`` is a regular expression with one group, matched against the whole of one line of the mail's text
    (or of what the person types). A mail counts only when it comes from ``sender``, is not older than ``since``
    and its subject contains ``subject``.
    """

    key: str
    question: str
    pattern: str
    sender: str
    subject: str
    since: datetime
    secret: bool = False
