"""Downloads a job's results: what was named, what patterns match, or what the job made; and says what is missing."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote_from_bytes

from attrs import evolve, field, frozen

from gpurent.domain.filenames import NameProblem, escape_name, find_path_problem
from gpurent.domain.job import Job
from gpurent.domain.name_policy import LocalNames
from gpurent.domain.result_paths import (
    collapse_folders,
    compile_pattern,
    drop_nested,
    get_pattern_base,
    group_by_folder,
    is_pattern,
    iter_folders,
)
from gpurent.domain.transfer import (
    PullRequest,
    SkipKind,
    SkippedFile,
    TransferLimits,
    TransferReport,
    sum_reports,
)
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, TransferError, UnavailableError
from gpurent.locale import _
from gpurent.locale.sizes import format_size
from gpurent.ports.connection import SshConnection
from gpurent.ports.kept_logs import KeptLogs
from gpurent.remote.file_reader import parse_digest, read_digest_command
from gpurent.remote.results_probe import (
    FoundResults,
    JobChanges,
    NamedPath,
    PathKind,
    find_results_command,
    parse_results,
)
from gpurent.workflow.connection.jobs import JobRunner, JobRunners
from gpurent.workflow.connection.known_files import DownloadableFiles
from gpurent.workflow.connection.local_folder import LocalPlace, get_results_folder, get_results_place
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.connection.result_list import ResultList, list_results
from gpurent.workflow.connection.transfers import FileTransfers, work_folder

MAX_NAMES = 500  # in one request, so that its command does not become too long
PROBE_TIMEOUT = 300.0


@frozen(kw_only=True)
class ResultsOutcome:
    """What was downloaded, and what was not.

    ``saved``: what is on this computer now. ``absent``: named paths that do not exist on the machine. ``unchanged``:
    those that are there from before the job, which has changed nothing in them. ``failures``: why something that exists
    was not downloaded, in words.
    """

    report: TransferReport
    saved: ResultList | None = None
    absent: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is absent and what failed, in words."""
        absent = [_("{path} does not exist on the machine").format(path=path) for path in self.absent]
        text = _("{path} is from before the job, which has changed nothing in it")
        return (*absent, *(text.format(path=path) for path in self.unchanged), *self.failures)

    @property
    def missing(self) -> tuple[str, ...]:
        """All that is missing, in words; empty if the results are complete."""
        left = [f"{item.name}: {item.reason}" for item in self.report.skipped if item.is_missing]
        return (*self.problems, *left)

    def without_unmade(self) -> ResultsOutcome:
        """Return the outcome for a job that did not end by itself: what it had not made or changed is not missing."""
        return evolve(self, absent=(), unchanged=())


@frozen(kw_only=True)
class ResultsPlan:
    """What to download. ``paths`` are relative to the job's folder; a slash at the end follows a link.

    ``linked_files``: the path and the real place of named links to files. ``refused``: files whose names cannot be
    used here. ``limit``: the most bytes in all, None for no limit of its own.
    """

    paths: tuple[str, ...] = ()
    linked_files: tuple[tuple[str, str], ...] = ()
    refused: tuple[bytes, ...] = ()
    links: tuple[bytes, ...] = ()
    absent: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    limit: int | None = None


@frozen
class ResultsDownloader:
    """Downloads results to the same relative paths as in the job's folder, verified."""

    transfers: FileTransfers
    runners: JobRunners
    logs: KeptLogs

    async def download_results(
        self, connection: ReconnectingConnection, spec: TripSpec, trip_id: str
    ) -> ResultsOutcome:
        """Download all results of the trip's job that exist.

        Raises `UnavailableError` and `LeaseError` if the machine cannot be reached any more; whatever else prevents a
        download is a failure of the outcome.
        """
        if not spec.results.are_wanted:
            return ResultsOutcome(report=sum_reports(()))
        await self.keep_log(connection, spec, trip_id)
        job_name, folder = spec.job.name or trip_id, work_folder(trip_id, spec.upload)
        plan = await connection.run_helper(lambda ssh: find_results(ssh, spec, folder, job_name))
        names = self.transfers.local.names.make_names(get_results_folder(spec))
        with self.transfers.local.known_files.open_downloadable(
            connection.lease_id, (folder,), trip_id
        ) as known:
            downloads = PlannedDownloads(spec, folder, plan, names, known)
            reports, failures = [downloads.report_links()], list(plan.failures)
            for pull in downloads.iter_pulls():
                try:
                    report = await self.transfers.download_usable(connection, pull, spec.upload.transfer)
                    reports.append(report)
                except TransferError as error:
                    failures.append(f"{error.message} {error.hint}".strip())
            if plan.refused:
                reports.append(await connection.run_helper(downloads.report_refused))
            report = known.add_to_report(sum_reports(reports))
        try:
            report = await self.transfers.archive_refused(connection, downloads.make_pull(), report)
        except TransferError as error:
            failures.append(error.message)
        paths = (*plan.paths, *(path for path, _place in plan.linked_files))
        place, files = get_results_place(spec), self.transfers.local.files
        return ResultsOutcome(
            report=report,
            saved=await asyncio.to_thread(list_results, files, place, paths),
            absent=plan.absent,
            unchanged=plan.unchanged,
            failures=tuple(dict.fromkeys(failures)),
        )

    async def keep_log(self, connection: ReconnectingConnection, spec: TripSpec, trip_id: str) -> None:
        """Keep what the job has written so far. A failure is no error: the results matter more."""
        name = spec.job.name or trip_id

        async def fetch(runner: JobRunner) -> None:
            offset = self.logs.get_size(trip_id)
            while chunk := await runner.read_log(name, offset):
                self.logs.write(trip_id, offset, chunk)
                offset += len(chunk)
                if self.logs.get_size(trip_id) < offset:  # the disk is full, or as much as is kept is there
                    return

        with suppress(GpurentError):
            await self.runners.run_with_retry(connection, spec.job.session, fetch)


@frozen
class PlannedDownloads:
    """The requests that carry out a plan. ``folder`` is the job's, relative to the home folder.

    ``names`` are those of the whole local folder: no two requests write to the same one.
    """

    spec: TripSpec
    folder: str
    plan: ResultsPlan
    names: LocalNames
    known: DownloadableFiles
    _place: LocalPlace = field(init=False)

    @_place.default
    def _get_place(self) -> LocalPlace:
        return get_results_place(self.spec)

    def iter_pulls(self) -> Iterator[PullRequest]:
        for group in group_by_folder(self.plan.paths):
            sources = [posixpath.join(self.folder, group.folder, name) for name in group.names]
            for start in range(0, len(sources), MAX_NAMES):
                yield self._make_request(sources[start : start + MAX_NAMES], group.folder)
        for path, place in self.plan.linked_files:
            yield self._make_request([place], posixpath.dirname(path))

    def _make_request(self, sources: Sequence[str], folder: str) -> PullRequest:
        """Return the request into ``folder`` below the local one, which is not even made if its name is refused."""
        limits, names = self._get_limits(), self.names.below(folder)
        is_refused = names.find_problem((), limits.max_name_bytes) is not None
        below = self._place.below if is_refused else (*self._place.below, folder)
        return PullRequest(
            sources=tuple(sources),
            target=self._place.root,
            folder="/".join(below),
            limits=limits,
            names=names,
            known=self.known.below(folder),
        )

    def report_links(self) -> TransferReport:
        """Report the links that were found and are not downloaded."""
        skipped = [
            SkippedFile(
                name=escape_name(name.decode("utf-8", "replace")),
                reason=_("symbolic link; name it with --results if it is a result"),
                kind=SkipKind.LINK,
            )
            for name in self.plan.links
        ]
        return evolve(sum_reports(()), skipped=tuple(skipped))

    def make_pull(self) -> PullRequest:
        """Return the request that stands for all of them: the job's folder, and the local one."""
        place = self._place
        return PullRequest(
            sources=(self.folder,),
            target=place.root,
            folder="/".join(place.below),
            limits=self._get_limits(),
        )

    async def report_refused(self, ssh: SshConnection) -> TransferReport:
        """Report the files whose names cannot be used here."""
        skipped = [await self._describe_refused(ssh, name) for name in self.plan.refused]
        return evolve(sum_reports(()), skipped=tuple(skipped))

    def _get_limits(self) -> TransferLimits:
        limits = TransferLimits()
        return limits if self.plan.limit is None else evolve(limits, max_total_bytes=self.plan.limit)

    async def _describe_refused(self, ssh: SshConnection, name: bytes) -> SkippedFile:
        path = f"{self.folder}/".encode() + name
        found = parse_digest((await ssh.run(read_digest_command(path), timeout=PROBE_TIMEOUT)).stdout)
        problem = find_path_problem(name, TransferLimits().max_name_bytes) or NameProblem.CHARACTERS
        return SkippedFile(
            name=escape_name(name.decode("utf-8", "replace")),
            reason=problem.text,
            problem=problem,
            kind=SkipKind.NAME,
            remote_path=quote_from_bytes(path),
            size=found.size if found is not None else 0,
        )


async def find_results(ssh: SshConnection, spec: TripSpec, folder: str, job_name: str) -> ResultsPlan:
    """Find out on the machine what there is to download; raises `UnavailableError` if the answer is not understood."""
    # The whole folder is what a single star matches.
    named = tuple("*" if path == "." else path for path in spec.results.paths)
    bases = list(dict.fromkeys(get_pattern_base(path) for path in named if is_pattern(path)))
    state_dir = Job(name=job_name, command="", folder=folder).state_dir
    command = find_results_command(folder, state_dir, named, bases, with_changes=not named)
    ran = await ssh.run(command, timeout=PROBE_TIMEOUT)
    found = parse_results(ran.stdout, len(named), len(bases))
    if found is None:
        raise UnavailableError(_("unexpected answer from the machine about the results"), retryable=False)
    if not named:
        return _plan_changes(found.changes, spec.results.auto_limit)
    return _plan_named(named, bases, found)


def _plan_named(named: Sequence[str], bases: Sequence[str], found: FoundResults) -> ResultsPlan:
    listings = dict(zip(bases, found.listings, strict=True))
    newer = dict(zip(bases, found.newer or found.listings, strict=True))
    paths: list[str] = []
    matched: list[bytes] = []
    linked: list[tuple[str, str]] = []
    absent: list[str] = []
    unchanged: list[str] = []
    failures: list[str] = []
    for path, about in zip(named, found.paths, strict=True):
        if about.kind is PathKind.UNCHANGED:
            unchanged.append(path)
        elif about.kind is PathKind.LINKED_FILE:
            linked.append((path, about.target))
        elif about.kind is not PathKind.MISSING:
            paths.append(path)
        elif not is_pattern(path):
            absent.append(path)
        elif (listing := (newer if about.is_earlier else listings)[get_pattern_base(path)]) is None:
            failures.append(_("{path}: the machine lists too many names").format(path=path))
        elif matches := [name for name in listing if compile_pattern(path).fullmatch(name)]:
            matched += (name for name in matches if name != b".")  # the job's folder itself
        else:
            absent.append(path)
    usable, refused = _split_names(matched)
    kept = drop_nested((*paths, *usable))
    followed = _followed_paths(named, found.paths)
    return ResultsPlan(
        paths=tuple(f"{path}/" if path in followed else path for path in kept),
        linked_files=tuple(linked),
        refused=_outside(refused, kept),
        absent=tuple(absent),
        unchanged=tuple(unchanged),
        failures=tuple(failures),
    )


def _followed_paths(named: Sequence[str], found: Sequence[NamedPath]) -> frozenset[str]:
    kinds = zip(named, found, strict=True)
    return frozenset(path for path, about in kinds if about.kind is PathKind.LINKED_FOLDER)


def _plan_changes(changes: JobChanges | None, limit: int) -> ResultsPlan:
    """Plan the download of what the job made, unless it is more than ``limit`` bytes."""
    if not limit:
        return ResultsPlan()
    if changes is None or changes.truncated:
        return ResultsPlan(failures=(_("the machine does not report which files the job made"),))
    if changes.size > limit:
        text = _("the job made {size} of files; without --results, at most {limit} are downloaded").format(
            size=format_size(changes.size), limit=format_size(limit)
        )
        return ResultsPlan(failures=(text,), links=changes.links)
    usable, refused = _split_names(changes.files)
    mixed = [name.decode("utf-8", "surrogateescape") for name in changes.mixed]
    paths = collapse_folders(usable, mixed)
    return ResultsPlan(
        paths=paths, refused=_outside(refused, paths), links=_outside(changes.links, paths), limit=limit
    )


def _split_names(names: Iterable[bytes]) -> tuple[list[str], list[bytes]]:
    """Split ``names`` into those that a request can hold, as text, and the others.

    Which of the former may be used here is judged during the download.
    """
    usable: list[str] = []
    refused: list[bytes] = []
    for name in names:
        if find_path_problem(name, TransferLimits().max_name_bytes):
            refused.append(name)
        else:
            usable.append(name.decode())
    return usable, refused


def _outside(names: Iterable[bytes], paths: Sequence[str]) -> tuple[bytes, ...]:
    """Return the names that are not below ``paths``, whose download reports them itself."""
    covered = set(paths)
    return tuple(
        name for name in names if covered.isdisjoint(iter_folders(name.decode("utf-8", "surrogateescape")))
    )
