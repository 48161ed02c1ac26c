"""The user rents on the provider's page; the SSH line comes back by mail, or is pasted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.money_text import parse_price
from gpurent.domain.offer import DeclaredTerms, Metered
from gpurent.domain.question import Mail, Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, InputRequired, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import KeyLoader, PrivateKey
from gpurent.ports.services import MailReader
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import AssistedRental, MachineAccess, ManualTask, TaskInstructions
from gpurent.workflow.manual.adopt import Adoption, AdoptionRequest
from gpurent.workflow.manual.instructions import ManualInstructions
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.waiting import Poller

MAX_ATTEMPTS = 3
MAIL_POLL_INTERVAL = timedelta(seconds=5)
MAIL_TIMEOUT = timedelta(minutes=10)
# A mail's clock is another one.
MAIL_CLOCK_SKEW = timedelta(minutes=2)


@frozen(kw_only=True)
class ManualRentalStart:
    """When the user was first sent to the page: older mails are of other leases."""

    at: datetime
    price: UnitPrice


def parse_accesses(
    mails: Iterable[Mail], helper: AssistedRental, instructions: TaskInstructions
) -> list[MachineAccess]:
    """What mails of exactly the provider's address tell: one access for each machine, by its newest mail."""
    found: dict[Endpoint, MachineAccess] = {}
    for mail in sorted(mails, key=lambda mail: mail.at):
        if mail.sender == instructions.sender.lower() and instructions.subject in mail.subject:
            access = helper.parse_access(mail)
            if access is not None:
                found[access.endpoint] = access
    return list(found.values())


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
        """The access that exactly one machine's mails tell; None when none came in time, or several."""
        if helper is None or not (instructions.sender and self.mail.is_available):
            return None
        trip.emit(EventKind.WAITING, _("waiting for the mail with the SSH line (Ctrl-C leaves)"))
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
            many = ", ".join(str(access.endpoint) for access in found)
            trip.emit(EventKind.WARNING, _("the mails tell of several machines: {many}").format(many=many))
        return None

    async def _find_new_accesses(
        self, helper: AssistedRental, instructions: TaskInstructions, since: datetime
    ) -> list[MachineAccess] | None:
        """Those of no lease of ours; None: no mail tells of one yet, or the mailbox does not answer now."""
        after = (since - MAIL_CLOCK_SKEW).replace(microsecond=0)
        try:
            mails = await self.mail.search(
                since=after, sender=instructions.sender, subject=instructions.subject
            )
        except UnavailableError:
            return None
        leases = self.leases.list_leases()
        refs = {lease.ref for lease in leases if lease.ref}
        taken = {lease.endpoint for lease in leases if not lease.is_over}
        fresh = parse_accesses((mail for mail in mails if mail.at >= after), helper, instructions)
        return [access for access in fresh if access.ref not in refs and access.endpoint not in taken] or None


@frozen
class ManualRentalQuestions:
    """Asks; nobody there is `InputRequired`, and a resumed trip asks again."""

    questions: Questions
    clock: Clock
    load_key: KeyLoader

    async def ask_price(self, trip: TripContext) -> UnitPrice:
        """What the machine costs. No price in `TRIES` tries: `UsageError`."""
        question = _make_question(trip, "price", _("What does the machine cost? (3.5CNY/h; 0 for nothing)"))
        for _try in range(MAX_ATTEMPTS):
            text = await self.questions.require_input(question, hint=f"{_resume_hint(trip)} --price")
            try:
                return parse_price(text)
            except ValueError:
                trip.emit(EventKind.WARNING, _("that is no price; write it so: 3.5CNY/h"))
        raise UsageError(_("no price was given"), hint=_("Give it with: --price 3.5CNY/h"))

    async def ask_access(self, trip: TripContext, helper: AssistedRental | None) -> MachineAccess:
        """What the user pastes: the line alone, or with the password as the provider writes it."""
        question = _make_question(trip, "line", _("The line with ssh, as the page shows it"))
        for _try in range(MAX_ATTEMPTS):
            line = (await self.questions.require_input(question, hint=_resume_hint(trip))).strip()
            mail = Mail(uid="", at=self.clock.now(), sender="", subject="", text=line)
            access = helper.parse_access(mail) if helper is not None else None
            if access is not None:
                return access
            try:
                endpoint = Endpoint.parse(line)
            except UsageError as error:
                trip.emit(EventKind.WARNING, strip_terminal(f"{error.message} {error.hint}"))
                continue
            text = _("The machine's password (empty: a key file)")
            return MachineAccess(endpoint=endpoint, password=await self._ask_secret(trip, "password", text))
        raise InputRequired(_("no SSH line was given"), hint=_resume_hint(trip), retryable=True)

    async def ask_key(self, trip: TripContext) -> PrivateKey:
        path = await self.questions.require_input(
            _make_question(trip, "key", _("The private key file that lets you in"))
        )
        text = _("The passphrase of {path}").format(path=path)
        return await self.load_key(_expand_path(path), lambda: self._ask_secret(trip, "passphrase", text))

    async def _ask_secret(self, trip: TripContext, name: str, text: str) -> Secret | None:
        given = await self.questions.ask_question(_make_question(trip, name, text, secret=True))
        return Secret(given) if given else None


def _make_question(trip: TripContext, name: str, text: str, *, secret: bool = False) -> Question:
    # Only the user has the answer, and a mistyped one must not be remembered.
    return Question(
        id=f"{trip.id}:by-hand:{name}", kind=QuestionKind.CODE, text=text, trip=trip.id, secret=secret
    )


def _expand_path(text: str) -> Path:
    return Path(text).expanduser()


def _resume_hint(trip: TripContext) -> str:
    return _("Nothing was spent. Go on with: gpurent resume {trip}").format(trip=trip.id)


@frozen
class ManualRental:
    instructions: ManualInstructions
    access_mail: AccessMailReader
    questions: ManualRentalQuestions
    adoption: Adoption
    clock: Clock

    async def rent_manually(self, trip: TripContext, spec: TripSpec, lease_id: str) -> Lease:
        """The machine's lease. Interrupted, it asks again; nothing is rented twice by us."""
        leases = self.adoption.leases

        async def begin() -> ManualRentalStart:
            at = self.clock.now()
            price = spec.terms.price if spec.terms else await self.questions.ask_price(trip)
            return ManualRentalStart(at=at, price=price)

        async def take() -> str:
            known = leases.store.find_lease(lease_id) or await self._adopt_machine(
                trip, spec, lease_id, begun
            )
            return known.id

        begun = await trip.step("price", ManualRentalStart, begin, quiet=True)
        await trip.step("by-hand", str, take)
        return leases.get_lease(lease_id)

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
