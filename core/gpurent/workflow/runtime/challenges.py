"""Answers to challenges: from the mailbox first, then from the person."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from gpurent.domain.mail import Challenge, Mail
from gpurent.errors import AuthError, InputRequired, UnavailableError
from gpurent.locale import _
from gpurent.ports.clock import Clock
from gpurent.ports.mail_reader import MailReader

POLL = timedelta(seconds=5)
PATIENCE = timedelta(minutes=10)
TRIES = 3
LONGEST = 500


def answer_in(challenge: Challenge, text: str) -> str | None:
    """Group one of the pattern, matched against a whole line of ``text``; None if no line fits, or two differ."""
    found = {answer for line in text.splitlines() if (answer := _answer(challenge, line)) is not None}
    return found.pop() if len(found) == 1 else None


def _answer(challenge: Challenge, line: str) -> str | None:
    # Digits are the ASCII ones, as a shop's form wants them; nobody's code is longer than `LONGEST`.
    line = line.strip()
    match = re.fullmatch(challenge.pattern, line, re.ASCII) if len(line) <= LONGEST else None
    return match[1] if match is not None else None


def counts(challenge: Challenge, mail: Mail) -> bool:
    """Whether ``mail`` may answer at all: its sender, its age, its subject."""
    # A mail's date has whole seconds.
    since = challenge.since.replace(microsecond=0)
    return mail.sender == challenge.sender.lower() and mail.at >= since and challenge.subject in mail.subject


@frozen(kw_only=True)
class Asker:
    """``person`` asks at the terminal and returns a line, or None; it is None when nobody is there."""

    post: MailReader
    clock: Clock
    person: Callable[[str], str | None] | None

    async def ask(self, challenge: Challenge) -> str:
        """The answer. Nobody has one: `InputRequired`, and the same question may be put again later.

        A mailbox that does not answer is tried again until the time is over; one that refuses us is an
        `AuthError`, unless a person is there to answer in its place.
        """
        if self.post.available:
            try:
                found = await self._from_mail(challenge)
            except AuthError:
                if self.person is None:
                    raise
                found = None
            if found is not None:
                return found
        return self._from_person(challenge)

    async def _from_mail(self, challenge: Challenge) -> str | None:
        waited = timedelta()
        while waited < PATIENCE:
            found = await self._look(challenge)
            if found is not None:
                return found
            await self.clock.sleep(POLL)
            waited += POLL
        return None

    async def _look(self, challenge: Challenge) -> str | None:
        """The answer in the newest mail that has one."""
        try:
            mails = await self.post.search(
                since=challenge.since, sender=challenge.sender, subject=challenge.subject
            )
        except UnavailableError:
            return None
        for mail in sorted(mails, key=lambda mail: mail.at, reverse=True):
            if counts(challenge, mail) and (found := answer_in(challenge, mail.text)) is not None:
                return found
        return None

    def _from_person(self, challenge: Challenge) -> str:
        hint = _("Nothing is lost: answer later with gpurent resume.")
        if self.person is None:
            raise InputRequired(challenge.question, hint=hint, retryable=True)
        for _try in range(TRIES):
            line = self.person(challenge.question)
            if line is None:
                raise InputRequired(challenge.question, hint=hint, retryable=True)
            answer = _answer(challenge, line)
            if answer is not None:
                return answer
        raise UnavailableError(
            _("that does not look like the answer to: {question}").format(question=challenge.question),
            hint=hint,
        )
