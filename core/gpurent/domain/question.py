"""Questions to the user, and the mails that may answer them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from gpurent.domain.access import AccessChannel, AccessSource
from gpurent.terminal_text import ForeignLines, ForeignText, mark_hidden, to_foreign_texts

UNCHECKED_MAIL = AccessSource(channel=AccessChannel.MAIL)


class QuestionKind(Enum):
    """What a yes means. SPEND: money is spent. DESTROY: something is lost. TRUST: a machine or key is trusted.

    CODE: a text that only the user has (a code, an SSH command, a password). CHOICE: anything else.
    """

    SPEND = "spend"
    DESTROY = "destroy"
    TRUST = "trust"
    CODE = "code"
    CHOICE = "choice"


@frozen(kw_only=True)
class Question:
    """A question to the user. ``id`` is the same each time the same thing is asked, so that a stored answer is found.

    ``secret``: the answer is not echoed while it is typed, and never stored. ``deadline``: when ``default`` becomes the
    answer (provider time); None: it waits. ``default`` None: there is no default answer. ``details``: lines that the
    user needs for the answer. ``needs_person``: nobody can have said yes in advance.
    """

    id: str
    kind: QuestionKind
    text: ForeignText = field(converter=ForeignText)
    trip: str = ""
    secret: bool = False
    deadline: datetime | None = None
    default: str | None = None
    details: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)
    needs_person: bool = False


def _to_read_line(text: str) -> ForeignText:
    return ForeignText(mark_hidden(text))


def _to_read_lines(text: str) -> ForeignLines:
    return ForeignLines(mark_hidden(text))


@frozen(kw_only=True)
class Mail:
    """An e-mail that arrived ``at``. ``sender``: the bare address in the From header, in lower case.

    ``text`` is decoded plain text; hidden characters are marked in it, so that no line with one is read as if it had
    none. The date that the sender wrote does not count. ``source`` is authenticated if the
    mail passed the check of the user's own mail provider; without one, anybody may have written it.
    """

    uid: str
    at: datetime
    sender: str = field(converter=ForeignText)
    subject: ForeignText = field(converter=_to_read_line)
    text: ForeignLines = field(converter=_to_read_lines)
    source: AccessSource = UNCHECKED_MAIL


@frozen(kw_only=True)
class Challenge:
    """A request for something that only the user, or the user's mailbox, knows.

    ``pattern`` is a regular expression with one group that must match a whole line of the mail's text, or of what the
    user types. A mail counts only when it comes from ``sender``, is not older than ``since``, and has ``subject`` in
    its subject.
    """

    key: str
    question: ForeignText = field(converter=ForeignText)
    pattern: str
    sender: str
    subject: str
    since: datetime
    secret: bool = False
