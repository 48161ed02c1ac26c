"""Questions to the user, answered once, and plugins' challenges, which may also be answered from the mailbox."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import define, field, frozen

from gpurent.domain.question import Challenge, Mail, Question, QuestionKind
from gpurent.errors import (
    AuthError,
    ConfirmationRequired,
    Declined,
    GpurentError,
    InputRequired,
    UnavailableError,
)
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
# How often and how long to search the mailbox for the answer to a challenge; how often to ask the user.
MAIL_POLL_INTERVAL = timedelta(seconds=5)
MAIL_TIMEOUT = timedelta(minutes=10)
MAIL_BACKOFF_BASE, MAX_MAIL_BACKOFF = timedelta(seconds=15), timedelta(minutes=5)
# A refused login too: many services refuse the right password for a while.
MAILBOX_ERRORS = (UnavailableError, AuthError)
MAX_ATTEMPTS = 3
MAX_CODE_LENGTH = 500  # longer than any code


@frozen
class Questions:
    """Asks the user. In a trip, a yes or a choice is stored before it counts; a no, a code or a secret never is."""

    store: QuestionStore
    prompter: Prompter
    clock: Clock

    @property
    def is_interactive(self) -> bool:
        return self.prompter.is_interactive

    @property
    def can_confirm(self) -> bool:
        return self.prompter.can_confirm

    async def confirm(self, question: Question) -> bool:
        """Return yes or no; without an answer in time, the question's default, else no."""
        kept = bool(question.trip)
        if kept and await self.store.find_answer(question.id) == YES:
            return True
        if kept:
            await self.store.put_question(question)
        agreed = await self._wait_for_answer(question, self.prompter.confirm(question))
        if agreed is None:
            agreed = question.default == YES
        if kept and agreed:
            await self.store.put_answer(question.id, YES)
        return agreed

    async def require_yes(self, question: Question, refused: str) -> None:
        """Return if the answer is yes. ``refused`` says what was not done.

        Raises `Declined` if the answer is no, `ConfirmationRequired` if nobody is there to answer.
        """
        if not self.can_confirm:
            raise ConfirmationRequired(refused, hint=question.text, retryable=True)
        if not await self.confirm(question):
            raise Declined(refused)

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        """Return one of ``choices``, words with their meaning, or None; the answer is not stored."""
        return await self.prompter.choose(question, choices)

    async def ask_question(self, question: Question) -> str | None:
        """Return a line of text; None if nobody answers."""
        kept = bool(question.trip) and question.kind is QuestionKind.CHOICE and not question.secret
        known = await self.store.find_answer(question.id) if kept else None
        if known is not None:
            return known
        if kept:
            await self.store.put_question(question)
        given = (
            await self._wait_for_answer(question, self.prompter.ask_question(question)) or question.default
        )
        if kept and given:
            await self.store.put_answer(question.id, given)
        return given

    async def require_input(self, question: Question, *, hint: str = "") -> str:
        """Return the answer to the question; raises `InputRequired` if there is none."""
        given = await self.ask_question(question)
        if not given:
            raise InputRequired(
                _("an answer is required: {question}").format(question=question.text),
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


@define(eq=False)
class ConfiguredMailReader:
    """Implements `gpurent.ports.services.MailReader`.

    A mailbox that failed is left alone for a while, longer after each failure, since services refuse clients that log
    in too often; meanwhile a search raises the last error again.
    """

    plugins: Plugins
    settings: Settings
    clock: Clock
    _failures: int = field(default=0, init=False)
    _last_error: GpurentError | None = field(default=None, init=False)
    _ask_again_at: datetime | None = field(default=None, init=False)

    @property
    def is_available(self) -> bool:
        return self._find_mailbox() is not None

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        entry = self._find_mailbox()
        if entry is None:
            return ()
        now = self.clock.now()
        if self._last_error is not None and self._ask_again_at is not None and now < self._ask_again_at:
            raise self._last_error
        try:
            found = await self.plugins.build(entry).search(since=since, sender=sender, subject=subject)
        except MAILBOX_ERRORS as error:
            pause = min(MAIL_BACKOFF_BASE * 2 ** min(self._failures, 10), MAX_MAIL_BACKOFF)
            self._failures += 1
            self._last_error, self._ask_again_at = error, now + pause
            raise
        self._failures, self._last_error, self._ask_again_at = 0, None, None
        return found

    def _find_mailbox(self) -> MailboxEntry | None:
        return next(iter_configured_entries(self.plugins, self.settings, MailboxEntry), None)


def extract_answer(challenge: Challenge, text: str) -> str | None:
    """Return group 1 of the pattern, matched against whole lines of ``text``; None if no line or several differ."""
    found = {answer for line in text.splitlines() if (answer := _match_line(challenge, line)) is not None}
    return found.pop() if len(found) == 1 else None


def _match_line(challenge: Challenge, line: str) -> str | None:
    # ASCII digits only, as providers' forms expect; no code is longer than `MAX_CODE_LENGTH`.
    line = line.strip()
    match = re.fullmatch(challenge.pattern, line, re.ASCII) if len(line) <= MAX_CODE_LENGTH else None
    return match[1] if match is not None else None


def is_matching_mail(challenge: Challenge, mail: Mail) -> bool:
    """Return whether ``mail`` can be the answer, by its sender, date and subject."""
    # The date of an e-mail has whole seconds.
    since = challenge.since.replace(microsecond=0)
    return mail.sender == challenge.sender.lower() and mail.at >= since and challenge.subject in mail.subject


async def find_mailed_answer(reader: MailReader, challenge: Challenge) -> str | None:
    """Search the mailbox once; return the answer from the newest e-mail that has one."""
    found = await reader.search(since=challenge.since, sender=challenge.sender, subject=challenge.subject)
    mails = sorted(found, key=lambda mail: mail.at)
    mails.reverse()  # not reverse=True: of e-mails in the same second, the last one is the newest
    for mail in mails:
        if is_matching_mail(challenge, mail) and (answer := extract_answer(challenge, mail.text)) is not None:
            return answer
    return None


@frozen
class ChallengeAnswerer:
    """Answers plugins' challenges from the mailbox or by asking the user. An unanswered one can be asked again.

    ``report`` is given each reason why the mailbox cannot be read, once in a row.
    """

    mail: MailReader
    poller: Poller
    questions: Questions
    report: Callable[[str], None]

    async def answer_challenge(self, challenge: Challenge) -> str:
        """Return the answer; raises `InputRequired` if nobody has it.

        A mailbox that does not answer, or refuses the login, is asked again until the timeout; if it refuses the login
        and a user is present, the user is asked at once.
        """
        found, problem = await self._find_mailed_answer(challenge) if self.mail.is_available else (None, "")
        return found if found is not None else await self._ask_person(challenge, problem)

    async def _find_mailed_answer(self, challenge: Challenge) -> tuple[str | None, str]:
        """Return the answer, and why the last search failed, or an empty string."""
        problem = ""

        async def search() -> str | None:
            nonlocal problem
            try:
                found = await find_mailed_answer(self.mail, challenge)
            except MAILBOX_ERRORS as error:
                if error.message != problem:
                    self.report(error.message)
                problem = error.message
                if isinstance(error, AuthError) and self.questions.is_interactive:
                    return ""
                return None
            problem = ""
            return found

        answer = await self.poller.poll(
            search, interval=MAIL_POLL_INTERVAL, timeout=MAIL_TIMEOUT, min_seconds=0
        )
        return answer or None, problem

    async def _ask_person(self, challenge: Challenge, problem: str) -> str:
        hint = f"{problem}\n{_('Nothing is lost. Answer later with: gpurent resume')}".strip()
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
            _("not a valid answer to: {question}").format(question=challenge.question),
            hint=hint,
        )
