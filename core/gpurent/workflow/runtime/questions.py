"""Questions to a person, answered once; challenges of a plugin, which the user's mailbox may answer too."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import frozen

from gpurent.domain.question import Challenge, Mail, Question, QuestionKind
from gpurent.errors import AuthError, InputRequired, UnavailableError
from gpurent.locale import _
from gpurent.ports.services import MailReader
from gpurent.ports.store import QuestionStore
from gpurent.ports.system import Clock
from gpurent.ports.terminal import Prompter
from gpurent.roles.entries import MailboxEntry
from gpurent.workflow.runtime.plugins import Plugins, iter_configured_entries
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import Poller, wait_for_first

T = TypeVar("T")
YES = "yes"
# For the answer to a challenge: how often, and how long, the mailbox is searched; how often a person is asked.
MAIL_POLL_INTERVAL = timedelta(seconds=5)
MAIL_TIMEOUT = timedelta(minutes=10)
MAX_ATTEMPTS = 3
MAX_CODE_LENGTH = 500  # nobody's code is longer


@frozen
class Questions:
    """A yes or a choice of a trip is written down before it counts; a code or a secret never is, nor a no."""

    store: QuestionStore
    prompter: Prompter
    clock: Clock

    @property
    def is_interactive(self) -> bool:
        return self.prompter.is_interactive

    async def confirm(self, question: Question) -> bool:
        """Yes or no; nobody there, or no answer in time, is the question's default, else no."""
        kept = bool(question.trip)
        if kept and self.store.find_answer(question.id) == YES:
            return True
        if kept:
            self.store.put_question(question)
        agreed = await self._wait_for_answer(question, self.prompter.confirm(question))
        if agreed is None:
            agreed = question.default == YES
        if kept and agreed:
            self.store.put_answer(question.id, YES)
        return agreed

    async def ask_question(self, question: Question) -> str | None:
        """A line of text; None when nobody answered."""
        kept = bool(question.trip) and question.kind is QuestionKind.CHOICE and not question.secret
        known = self.store.find_answer(question.id) if kept else None
        if known is not None:
            return known
        if kept:
            self.store.put_question(question)
        given = (
            await self._wait_for_answer(question, self.prompter.ask_question(question)) or question.default
        )
        if kept and given:
            self.store.put_answer(question.id, given)
        return given

    async def require_input(self, question: Question, *, hint: str = "") -> str:
        """As `ask`; no answer is an `InputRequired`."""
        given = await self.ask_question(question)
        if not given:
            raise InputRequired(
                _("“{label}” is needed, and nobody answered").format(label=question.text),
                hint=hint,
                retryable=True,
            )
        return given

    async def _wait_for_answer(self, question: Question, asking: Awaitable[T]) -> T | None:
        async def answer() -> T:
            return await asking

        if question.deadline is None:
            return await asking
        rest = max(timedelta(), question.deadline - self.clock.now())
        answered, _waited = await wait_for_first(answer(), self.clock.sleep(rest))
        return answered.result() if answered.done() and not answered.cancelled() else None


@frozen
class ConfiguredMailReader:
    """Implements `gpurent.ports.services.MailReader`."""

    plugins: Plugins
    settings: Settings

    @property
    def is_available(self) -> bool:
        return self._find_mailbox() is not None

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        entry = self._find_mailbox()
        if entry is None:
            return ()
        return await self.plugins.build(entry).search(since=since, sender=sender, subject=subject)

    def _find_mailbox(self) -> MailboxEntry | None:
        return next(iter_configured_entries(self.plugins, self.settings, MailboxEntry), None)


def extract_answer(challenge: Challenge, text: str) -> str | None:
    """Group one of the pattern, matched against a whole line of ``text``; None if no line fits, or two differ."""
    found = {answer for line in text.splitlines() if (answer := _match_line(challenge, line)) is not None}
    return found.pop() if len(found) == 1 else None


def _match_line(challenge: Challenge, line: str) -> str | None:
    # Digits are the ASCII ones, as a provider's form wants them; nobody's code is longer than `LONGEST`.
    line = line.strip()
    match = re.fullmatch(challenge.pattern, line, re.ASCII) if len(line) <= MAX_CODE_LENGTH else None
    return match[1] if match is not None else None


def is_matching_mail(challenge: Challenge, mail: Mail) -> bool:
    """Whether ``mail`` may answer at all: its sender, its age, its subject."""
    # A mail's date has whole seconds.
    since = challenge.since.replace(microsecond=0)
    return mail.sender == challenge.sender.lower() and mail.at >= since and challenge.subject in mail.subject


async def find_mailed_answer(reader: MailReader, challenge: Challenge) -> str | None:
    """The answer in the newest mail that has one; the mailbox is searched once."""
    found = await reader.search(since=challenge.since, sender=challenge.sender, subject=challenge.subject)
    mails = sorted(found, key=lambda mail: mail.at)
    mails.reverse()  # not a sort in reverse: of mails of the same second the last one is the newest
    for mail in mails:
        if is_matching_mail(challenge, mail) and (answer := extract_answer(challenge, mail.text)) is not None:
            return answer
    return None


@frozen
class ChallengeAnswerer:
    """Answers what a plugin asks for. Nobody has the answer: the same challenge may be put again later."""

    mail: MailReader
    poller: Poller
    questions: Questions

    async def answer_challenge(self, challenge: Challenge) -> str:
        """The answer; `InputRequired` when nobody has it.

        A mailbox that does not answer is tried again until the time is over; one that refuses us is an
        `AuthError`, unless a person is there to answer in its place.
        """
        found = await self._find_mailed_answer(challenge)
        return found if found is not None else await self._ask_person(challenge)

    async def _find_mailed_answer(self, challenge: Challenge) -> str | None:
        async def search() -> str | None:
            try:
                return await find_mailed_answer(self.mail, challenge)
            except UnavailableError:
                return None

        if not self.mail.is_available:
            return None
        try:
            return await self.poller.poll(
                search, interval=MAIL_POLL_INTERVAL, timeout=MAIL_TIMEOUT, min_seconds=0
            )
        except AuthError:
            if not self.questions.is_interactive:
                raise
            return None

    async def _ask_person(self, challenge: Challenge) -> str:
        hint = _("Nothing is lost: answer later with gpurent resume.")
        question = Question(
            id=f"challenge:{challenge.key}",
            kind=QuestionKind.CODE,
            text=challenge.question,
            secret=challenge.secret,
        )
        for _try in range(MAX_ATTEMPTS):
            line = await self.questions.ask_question(question)
            if line is None:
                raise InputRequired(challenge.question, hint=hint, retryable=True)
            answer = _match_line(challenge, line)
            if answer is not None:
                return answer
        raise UnavailableError(
            _("that does not look like the answer to: {question}").format(question=challenge.question),
            hint=hint,
        )
