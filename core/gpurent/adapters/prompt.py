"""Answers to challenges: from the mailbox first, then from the person."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from gpurent.errors import NeedsPerson, UnavailableError
from gpurent.locale import _
from gpurent.model.mail import Challenge, Mail
from gpurent.ports.host import Clock, Post

POLL = timedelta(seconds=5)
PATIENCE = timedelta(minutes=10)
TRIES = 3


def answer_in(challenge: Challenge, text: str) -> str | None:
    """Group one of the pattern, matched against a whole line of ``text``; None if no line fits, or two differ."""
    found = {
        match[1]
        for line in text.splitlines()
        if (match := re.fullmatch(challenge.pattern, line.strip())) is not None
    }
    return found.pop() if len(found) == 1 else None


def counts(challenge: Challenge, mail: Mail) -> bool:
    """Whether ``mail`` may answer at all: its sender, its age, its subject."""
    # A mail's date has whole seconds.
    since = challenge.since.replace(microsecond=0)
    return mail.sender == challenge.sender.lower() and mail.at >= since and challenge.subject in mail.subject


@frozen(kw_only=True)
class Asker:
    """``person`` asks at the terminal and returns a line, or None; it is None when nobody is there."""

    post: Post
    clock: Clock
    person: Callable[[str], str | None] | None

    async def ask(self, challenge: Challenge) -> str:
        """The answer. Nobody has one: `NeedsPerson`, and the same question may be put again later."""
        if self.post.available:
            found = await self._from_mail(challenge)
            if found is not None:
                return found
        return self._from_person(challenge)

    async def _from_mail(self, challenge: Challenge) -> str | None:
        waited = timedelta()
        while waited < PATIENCE:
            mails = await self.post.search(
                since=challenge.since, sender=challenge.sender, subject=challenge.subject
            )
            for mail in reversed(mails):
                if counts(challenge, mail) and (found := answer_in(challenge, mail.text)) is not None:
                    return found
            await self.clock.sleep(POLL)
            waited += POLL
        return None

    def _from_person(self, challenge: Challenge) -> str:
        hint = _("Nothing is lost: answer later with gpurent resume.")
        if self.person is None:
            raise NeedsPerson(challenge.question, hint=hint, retryable=True)
        for _try in range(TRIES):
            line = self.person(challenge.question)
            if line is None:
                raise NeedsPerson(challenge.question, hint=hint, retryable=True)
            match = re.fullmatch(challenge.pattern, line.strip())
            if match is not None:
                return match[1]
        raise UnavailableError(
            _("that does not look like the answer to: {question}").format(question=challenge.question),
            hint=hint,
        )
