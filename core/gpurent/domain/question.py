"""What is asked of a person, and the mails that may answer it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import frozen


class QuestionKind(Enum):
    """SPEND: money leaves by a yes. DESTROY: something is lost by a yes. TRUST: a machine or key is believed by a yes.

    CODE: a text that only the user has (a code, an SSH line, a password). CHOICE: anything else.
    """

    SPEND = "spend"
    DESTROY = "destroy"
    TRUST = "trust"
    CODE = "code"
    CHOICE = "choice"


@frozen(kw_only=True)
class Question:
    """``id`` is the same each time that the same thing is asked, so that an answer given once is found again.

    ``secret``: the answer is not shown while it is typed, and never stored. ``deadline``: when ``default`` becomes the
    answer (provider time); None: it waits. ``default`` None: no answer counts as none.
    """

    id: str
    kind: QuestionKind
    text: str
    trip: str = ""
    secret: bool = False
    deadline: datetime | None = None
    default: str | None = None


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
