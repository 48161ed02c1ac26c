"""A trip's specification, the plan made from it, and its records in the Store."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from gpurent.domain.guard_actions import GuardAction
from gpurent.domain.money import Money, Rate
from gpurent.domain.offer import DeclaredTerms, Offer, Order, Quote, Requirements
from gpurent.domain.outcomes import OutcomeKind, TripOutcome


class OnError(Enum):
    """What happens to the machine when a trip fails after it was rented."""

    RELEASE = "release"
    KEEP = "keep"


@frozen(kw_only=True)
class UploadSpec:
    """What is uploaded: the local ``folder``, or only ``include`` of it.

    ``root``: the folder of the project file that names ``folder``, on the way from which no link is followed; empty:
    the user named it.

    ``withheld``: local files that are not uploaded although they lie there. ``project``: the name of the project's
    folder on machines, empty for a folder of the trip's own; ``fresh``: the user wants that.

    ``transfer``: the backend, empty for the best one. ``staged``: upload to a cheaper machine first, where the provider
    has one; None: yes, unless only a machine is wanted.
    """

    folder: str = "."
    root: str = ""
    include: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    project: str = ""
    fresh: bool = False
    transfer: str = ""
    staged: bool | None = None


@frozen(kw_only=True)
class SetupSpec:
    """What prepares the machine for the job: ``conda``, then ``requirements`` and ``pip``, then shell ``commands``.

    ``requirements`` and ``conda`` are files in the folder. ``needs``: the files that the setup needs, so that it can
    run in parallel with the rest of the upload; None: it waits for the whole upload.
    """

    requirements: str = ""
    pip: tuple[str, ...] = ()
    conda: str = ""
    commands: tuple[str, ...] = ()
    needs: tuple[str, ...] | None = None

    @property
    def is_needed(self) -> bool:
        return bool(self.requirements or self.pip or self.conda or self.commands)


@frozen(kw_only=True)
class JobSpec:
    """The job to run.

    ``command``: the job's argument vector, empty when only a machine is wanted. ``name``: the session's name, empty for
    the trip's own. ``session``, ``launcher``: the plugins to use, empty for the best.

    ``env``: variables, ``NAME=VALUE``. ``env_file``: a local file with more, of which only the path is kept, and
    ``env_root`` as in `UploadSpec`. ``secrets``: names in the vault, or ``VARIABLE=NAME``.
    """

    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    env_file: str = ""
    env_root: str = ""
    secrets: tuple[str, ...] = ()
    name: str = ""
    session: str = ""
    launcher: str = ""
    setup: SetupSpec = SetupSpec()


@frozen(kw_only=True)
class ResultsSpec:
    """``paths`` in the job's folder are downloaded into ``dir`` (empty: the uploaded folder).

    ``root``: as in `UploadSpec`, for ``dir``.

    A path may be a pattern (`gpurent.domain.result_paths`). Without paths, the files that the job made are downloaded,
    up to ``auto_limit`` bytes in all. ``unwanted``: nothing is downloaded.

    ``every``: also download at this interval while the job runs, so that at most that much is lost if the money runs
    out. ``checkpoints``: paths and patterns that are downloaded then too, so that another machine can go on from them;
    they are no results, and not missed at the end.
    """

    paths: tuple[str, ...] = ()
    dir: str = ""
    root: str = ""
    every: timedelta | None = None
    checkpoints: tuple[str, ...] = ()
    auto_limit: int = 1 << 30
    unwanted: bool = False

    @property
    def are_wanted(self) -> bool:
        return not self.unwanted


@frozen(kw_only=True)
class TripLimits:
    """What ends the trip or its machine; None: as in the settings.

    ``term``: for how long to rent. ``budget``: the most that the trip may cost. ``budget_authorizes``: it was given on
    the command line, so that it is also a permission to spend where nobody can be asked. At most one of
    ``deadline_at`` and ``deadline_in`` (counted from the lease's start) is set. ``idle_load`` is in percent. ``keep``:
    the machine is not released when the job has ended. ``results_grace``: how long a machine that has ended its job is
    kept at most for results that could not be downloaded. ``ready_within``: how long a new machine may take until it
    answers, from its order on; then it is returned and another one taken. ``recover``: how often the job is run again
    on another machine if the provider says that its machine has ended.
    """

    term: timedelta | None = None
    budget: Money | None = None
    deadline_at: datetime | None = None
    deadline_in: timedelta | None = None
    idle: timedelta | None = None
    idle_load: int | None = None
    after_job: timedelta | None = None
    timer: timedelta | None = None
    save_before: timedelta | None = None
    keep: bool = False
    on_error: OnError = OnError.RELEASE
    budget_authorizes: bool = False
    results_grace: timedelta = timedelta(hours=2)
    ready_within: timedelta | None = None
    recover: int = 0

    def deadline_for(self, started_at: datetime) -> datetime | None:
        if self.deadline_in is not None:
            return started_at + self.deadline_in
        return self.deadline_at


@frozen(kw_only=True)
class ProjectOrigin:
    """The project file that a trip was made from. ``fields``: the names of the fields whose values come from it.

    Such values may tighten the user's settings, never loosen them.
    """

    path: str
    sha256: str
    fields: tuple[str, ...] = ()


@frozen(kw_only=True)
class TripSpec:
    """A whole trip as the user asked for it.

    ``providers``: candidates; the first that can serve the trip becomes ``provider``; with ``any_provider``, the user
    named none, and they are tried by what the trip would cost. ``lease``: use this lease instead of renting a machine.
    ``terms``: the declared terms of a machine that the user rents manually. ``rent_only``: stop
    after connecting. ``doctor``: how strictly the machine is examined, empty for the policy in the settings.
    ``notify``: the events to notify about, None for the user's settings. ``project``: None without a project file.
    ``attempt``: how often the job is begun with this trip, 1 for the first time. ``continues``: the trip whose machine
    failed, and with whose work this one goes on.
    """

    requirements: Requirements = Requirements()
    upload: UploadSpec = UploadSpec()
    job: JobSpec = JobSpec()
    results: ResultsSpec = ResultsSpec()
    limits: TripLimits = TripLimits()
    provider: str = ""
    providers: tuple[str, ...] = ()
    any_provider: bool = False
    lease: str = ""
    terms: DeclaredTerms | None = None
    rent_only: bool = False
    doctor: str = ""
    notify: tuple[str, ...] | None = None
    project: ProjectOrigin | None = None
    attempt: int = 1
    continues: str = ""

    def is_from_project(self, field_name: str) -> bool:
        """Whether the value of a trip field comes from the project file, and not from the user's own words."""
        return self.project is not None and field_name in self.project.fields


@frozen(kw_only=True)
class RestartOptions:
    """How a machine is started again; ``term`` None: as short as possible. ``is_staged``: without its GPU."""

    term: timedelta | None = None
    is_staged: bool = False


AS_BEFORE = RestartOptions()


@frozen(kw_only=True)
class AgreedPrice:
    """What the user agreed to pay for one order.

    ``ceiling``: the most that one bill for rent may be without asking again; None: no limit. ``deposit``: likewise for
    deposits; None: none. ``rate``: the exchange rate of the quote.
    """

    ceiling: Money | None = None
    deposit: Money | None = None
    rate: Rate | None = None

    @classmethod
    def from_quote(cls, quote: Quote) -> AgreedPrice:
        return cls(ceiling=quote.high, deposit=quote.deposit, rate=quote.rate)


@frozen(kw_only=True)
class Leg:
    """The part of a trip on one machine: files are uploaded to it, the ``job`` runs on it, or both."""

    order: Order
    upload: bool
    job: bool
    quote: Quote


@frozen(kw_only=True)
class TripPlan:
    """The legs in order and their expected total cost."""

    offer: Offer
    legs: tuple[Leg, ...]
    quote: Quote


@frozen(kw_only=True)
class TripRecord:
    """``kind`` is run, rent, renew, upgrade, downgrade, restart, release, bind-mail or guard.

    ``outcome`` is None while the trip is open. ``action``: what a trip of the guard does.
    """

    id: str
    kind: str
    spec: TripSpec
    lease: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: TripOutcome | None = None
    action: GuardAction | None = None

    @property
    def is_open(self) -> bool:
        return self.outcome is None

    @property
    def has_failed(self) -> bool:
        """Whether it failed and spent nothing."""
        return self.outcome is not None and self.outcome.kind is OutcomeKind.FAILED

    @property
    def outcome_text(self) -> str:
        """The outcome as stable words; empty while the trip is open."""
        return self.outcome.text if self.outcome is not None else ""


@frozen(kw_only=True)
class StepRecord:
    """One durable step; ``done_at`` None means that it was begun, but its result was not recorded."""

    name: str
    started_at: datetime
    done_at: datetime | None
