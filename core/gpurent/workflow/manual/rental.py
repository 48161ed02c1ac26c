"""Manual rental: the user rents on the provider's page; the SSH command arrives by e-mail or is pasted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.access import USER_SOURCE, Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.domain.question import Mail, Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, InputRequired, UsageError
from gpurent.locale import _, join_list
from gpurent.ports.connection import KeyLoader, PrivateKey
from gpurent.ports.services import MailReader
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import AssistedRental, MachineAccess, ManualTask, TaskInstructions
from gpurent.workflow.manual.adopt import Adoption, AdoptionRequest
from gpurent.workflow.manual.instructions import ManualInstructions
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.questions import MAILBOX_ERRORS, Questions
from gpurent.workflow.runtime.waiting import Poller

MAX_ATTEMPTS = 3
MAIL_POLL_INTERVAL = timedelta(seconds=5)
MAIL_TIMEOUT = timedelta(minutes=10)
# Allowance for the difference between the mail server's clock and ours.
MAIL_CLOCK_SKEW = timedelta(minutes=2)


@frozen(kw_only=True)
class ManualRentalStart:
    """The price, and when the user was first sent to the page; older e-mails belong to other leases."""

    at: datetime
    price: UnitPrice


def parse_accesses(
    mails: Iterable[Mail], helper: AssistedRental, instructions: TaskInstructions
) -> list[MachineAccess]:
    """Parse e-mails of exactly the provider's address; one access per machine, from its newest e-mail.

    If any of them is authenticated, only such count.
    """
    checked: dict[Endpoint, MachineAccess] = {}
    others: dict[Endpoint, MachineAccess] = {}
    for mail in sorted(mails, key=lambda mail: mail.at):
        if mail.sender == instructions.sender.lower() and instructions.subject in mail.subject:
            access = helper.parse_access(mail)
            if access is not None:
                found = checked if mail.source.is_authenticated else others
                found[access.endpoint] = evolve(access, source=mail.source)
    return list((checked or others).values())


@frozen
class AccessMailReader:
    mail: MailReader
    leases: LeaseStore
    poller: Poller

    async def wait_for_access(
        self,
        trip: TripContext,
        helper: AssistedRental | None,
        instructions: TaskInstructions,
        since: datetime,
    ) -> MachineAccess | None:
        """Return the access if e-mails describe exactly one machine; None if there are several, or none in time."""
        if helper is None or not (instructions.sender and self.mail.is_available):
            return None
        trip.emit(EventKind.WAITING, _("waiting for the e-mail with the SSH command (Ctrl-C to quit)"))
        try:
            found = await self.poller.poll(
                lambda: self._find_new_accesses(helper, instructions, since),
                interval=MAIL_POLL_INTERVAL,
                timeout=MAIL_TIMEOUT,
            )
        except GpurentError as error:
            trip.emit(EventKind.WARNING, error.message)
            return None
        if found and len(found) == 1:
            return found[0]
        if found:
            many = join_list(str(access.endpoint) for access in found)
            trip.emit(EventKind.WARNING, _("the e-mails describe several machines: {many}").format(many=many))
        return None

    async def _find_new_accesses(
        self, helper: AssistedRental, instructions: TaskInstructions, since: datetime
    ) -> list[MachineAccess] | None:
        """Return accesses that belong to none of our leases; None if there is none, or the mailbox does not answer."""
        after = (since - MAIL_CLOCK_SKEW).replace(microsecond=0)
        try:
            mails = await self.mail.search(
                since=after, sender=instructions.sender, subject=instructions.subject
            )
        except MAILBOX_ERRORS:
            return None
        leases = await self.leases.list_leases()
        refs = {lease.ref for lease in leases if lease.ref}
        taken = {lease.endpoint for lease in leases if not lease.is_over}
        fresh = parse_accesses((mail for mail in mails if mail.at >= after), helper, instructions)
        return [access for access in fresh if access.ref not in refs and access.endpoint not in taken] or None


@frozen
class ManualRentalQuestions:
    """Questions of a manual rental. Raises `InputRequired` if nobody answers; a resumed trip asks again."""

    questions: Questions
    clock: Clock
    load_key: KeyLoader

    async def ask_price(self, trip: TripContext) -> UnitPrice:
        """Ask what the machine costs. Raises `UsageError` after `MAX_ATTEMPTS` invalid answers."""
        question = _make_question(
            trip, "price", _("What does the machine cost? (e.g. 3.5CNY/h; 0 if it is free)")
        )
        for _try in range(MAX_ATTEMPTS):
            hint = "\n".join((_resume_hint(trip), _("Or type the command again with: --price 3.5CNY/h")))
            text = await self.questions.require_input(question, hint=hint)
            try:
                return parse_price(text)
            except ValueError:
                trip.emit(EventKind.WARNING, _("invalid price; write it like this: 3.5CNY/h"))
        raise UsageError(_("no price was given"), hint=_("Specify it: --price 3.5CNY/h"))

    async def ask_access(self, trip: TripContext, helper: AssistedRental | None) -> MachineAccess:
        """Ask for the SSH command: alone, or together with the password as the provider prints them."""
        question = _make_question(trip, "line", _("SSH command shown on the page"))
        for _try in range(MAX_ATTEMPTS):
            line = (await self.questions.require_input(question, hint=_resume_hint(trip))).strip()
            mail = Mail(uid="", at=self.clock.now(), sender="", subject="", text=line)
            access = helper.parse_access(mail) if helper is not None else None
            if access is not None:
                return evolve(access, source=USER_SOURCE)
            try:
                endpoint = Endpoint.parse(line)
            except UsageError as error:
                trip.emit(EventKind.WARNING, f"{error.message} {error.hint}")
                continue
            text = _("Password of the machine (empty: use a key file)")
            password = await self._ask_secret(trip, "password", text)
            return MachineAccess(endpoint=endpoint, password=password, source=USER_SOURCE)
        raise InputRequired(_("no SSH command was given"), hint=_resume_hint(trip), retryable=True)

    async def ask_key(self, trip: TripContext) -> PrivateKey:
        path = await self.questions.require_input(
            _make_question(trip, "key", _("Private key file to log in with"))
        )
        text = _("Passphrase for {path}").format(path=path)
        return await self.load_key(_expand_path(path), lambda: self._ask_secret(trip, "passphrase", text))

    async def _ask_secret(self, trip: TripContext, name: str, text: str) -> Secret | None:
        given = await self.questions.ask_question(_make_question(trip, name, text, secret=True))
        return Secret(given) if given else None


def _make_question(trip: TripContext, name: str, text: str, *, secret: bool = False) -> Question:
    # A CODE question is never stored, so a mistyped answer can be corrected.
    return Question(
        id=f"{trip.id}:manual-rental:{name}", kind=QuestionKind.CODE, text=text, trip=trip.id, secret=secret
    )


def _expand_path(text: str) -> Path:
    return Path(text).expanduser()


def _resume_hint(trip: TripContext) -> str:
    return _("Continue with: gpurent resume {trip}").format(trip=trip.id)


@frozen
class ManualRental:
    instructions: ManualInstructions
    access_mail: AccessMailReader
    questions: ManualRentalQuestions
    adoption: Adoption
    clock: Clock

    async def rent_manually(self, trip: TripContext, spec: TripSpec, lease_id: str) -> Lease:
        """Return the lease of a manually rented machine. Asks again after an interruption, but rents nothing itself."""
        leases = self.adoption.leases

        async def begin() -> ManualRentalStart:
            at = self.clock.now()
            price = spec.terms.price if spec.terms else await self.questions.ask_price(trip)
            return ManualRentalStart(at=at, price=price)

        async def take() -> str:
            known = await leases.store.find_lease(lease_id) or await self._adopt_machine(
                trip, spec, lease_id, begun
            )
            return known.id

        begun = await trip.step("manual-rental.begin", ManualRentalStart, begin, quiet=True)
        await trip.step("manual-rental", str, take)
        return await leases.get_lease(lease_id)

    async def _adopt_machine(
        self, trip: TripContext, spec: TripSpec, lease_id: str, begun: ManualRentalStart
    ) -> Lease:
        instructions = self.instructions.get_instructions(spec.provider, ManualTask.RENT)
        await self.instructions.show_instructions(spec.provider, instructions, trip=trip.id)
        helper = self.instructions.find_assisted_rental(spec.provider)
        access = await self.access_mail.wait_for_access(trip, helper, instructions, begun.at)
        access = access or await self.questions.ask_access(trip, helper)
        terms = spec.terms or DeclaredTerms(tariff=Metered(price=begun.price), at=begun.at)
        handed = AdoptionRequest(
            provider=spec.provider,
            access=access,
            terms=evolve(terms, at=self.clock.now()),
            private_key=None if access.password else await self.questions.ask_key(trip),
        )
        return await self.adoption.adopt_machine(lease_id, handed)
