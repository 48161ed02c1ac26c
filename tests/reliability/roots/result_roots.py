"""The roots of results that are lost, of what is released or spent unasked, and of what an upload takes along."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_WORKFLOW = "core/gpurent/workflow"
_RESULTS = "tests/workflow/test_results.py"
_ASKING = "tests/workflow/test_asking.py"

RESULT_ROOTS = (
    TestedRoot(
        name="clean-up-records-the-download",
        kind="A7",
        summary="what a failed clean-up downloaded is on record as the trip's download, and is not brought up to date",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/finish.py",
                "await self.download.try_download(connection, spec, trip.id)",
                'await self.download.download_results(trip, "leg0", connection, spec)',
            ),
        ),
        tests=(
            f"{_RESULTS}::test_resume_after_a_failed_clean_up_downloads_everything_and_reports_the_failure",
        ),
    ),
    TestedRoot(
        name="absent-results-are-complete",
        kind="A15",
        summary="results that were named and do not exist are not missing: the machine is released with what there is",
        edits=(
            Edit(
                f"{_WORKFLOW}/connection/results_download.py",
                "return (*self.problems, *left)",
                "return (*self.failures, *left)",
            ),
        ),
        tests=(
            f"{_RESULTS}::test_a_wrong_name_keeps_the_files_and_resume_brings_them",
            f"{_RESULTS}::test_every_printed_command_works",
        ),
    ),
    TestedRoot(
        name="unnamed-results-are-none",
        kind="A15",
        summary="without --results, nothing is downloaded before the machine is released",
        edits=(
            Edit(
                f"{_WORKFLOW}/connection/results_download.py",
                "return _plan_changes(found.changes, spec.results.auto_limit)",
                "return ResultsPlan()",
            ),
        ),
        tests=(f"{_RESULTS}::test_what_the_job_made_is_downloaded_without_being_named",),
    ),
    TestedRoot(
        name="linked-results-stay-there",
        kind="A15",
        summary="of a results folder that is a link to another disk, the link alone counts",
        edits=(
            Edit(
                f"{_WORKFLOW}/connection/results_download.py",
                "if about.kind is PathKind.LINKED_FOLDER)",
                "if about.kind is None)",
            ),
        ),
        tests=(f"{_RESULTS}::test_links_and_patterns",),
    ),
    TestedRoot(
        name="left-out-is-not-told",
        kind="A15",
        summary="a trip does not say what a transfer left out",
        edits=(
            Edit(
                f"{_WORKFLOW}/steps/upload.py",
                'describe_left_out(report, _("not uploaded: {what}"))',
                "()",
            ),
            Edit(
                f"{_WORKFLOW}/steps/download.py",
                'return (*outcome.problems, *describe_left_out(outcome.report, _("not downloaded: {what}")))',
                "return outcome.problems",
            ),
        ),
        tests=(
            f"{_RESULTS}::test_uploads_say_what_they_leave_out",
            f"{_RESULTS}::test_what_the_job_made_is_downloaded_without_being_named",
        ),
    ),
    TestedRoot(
        name="released-without-a-question",
        kind="A17",
        summary="a release asks nothing and downloads nothing, whatever is running on the machine",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/release_review.py",
                "return bool(self.trips or self.jobs or self.results or self.unseen_reason)",
                "return False",
            ),
        ),
        tests=(
            f"{_ASKING}::test_a_running_job_is_not_ended_by_accident",
            f"{_ASKING}::test_a_release_under_a_running_trip",
        ),
    ),
    TestedRoot(
        name="terminal-shows-no-price",
        kind="A17",
        summary="in a terminal, money is spent without showing a price",
        edits=(
            Edit(
                f"{_WORKFLOW}/payments/authorize_spending.py",
                "            await self._ask_user(trip, proposal)\n",
                "",
            ),
        ),
        tests=(
            f"{_ASKING}::test_an_authorization_is_recorded_and_covers_no_higher_price",
            f"{_ASKING}::test_restart_asks_for_its_price",
        ),
    ),
    TestedRoot(
        name="home-folder-is-uploaded",
        kind="A18",
        summary="a home folder is a project like any other, and so are the folders with keys and the vault in it",
        edits=(
            Edit(
                f"{_WORKFLOW}/connection/upload_guard.py",
                "        if home.is_relative_to(real):\n",
                "        if home.is_relative_to(real) and real != home:\n",
            ),
            Edit(
                f"{_WORKFLOW}/connection/upload_guard.py",
                "for own in self.own_folders):",
                "for own in ()):",
            ),
        ),
        tests=(
            f"{_ASKING}::test_folders_that_nobody_means_are_refused",
            f"{_ASKING}::test_gpurents_own_folder_is_refused_even_if_it_is_named",
        ),
    ),
    TestedRoot(
        name="credentials-are-uploaded",
        kind="A18",
        summary="folders and files of credentials below a project are uploaded with it",
        edits=(
            Edit(
                "core/gpurent/domain/upload_rules.py",
                "if name in CREDENTIAL_NAMES and is_credential_name(name, parent.rpartition(os.sep)[2]):",
                "if parent in CREDENTIAL_NAMES and is_credential_name(name, parent.rpartition(os.sep)[2]):",
            ),
        ),
        tests=(f"{_ASKING}::test_the_plan_shows_what_would_be_uploaded",),
    ),
)
