"""The roots of losses that a family meets too rarely: each names the tests that have to fail."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_WORKFLOW = "core/gpurent/workflow"
_REPEATED = "tests/reliability/test_repeated_commands.py"
_LATE = "tests/reliability/test_late_machines.py"
_PROJECT_FOLDERS = "tests/workflow/test_project_folders.py"
_GPU1024 = "plugins/gpu1024/tests/test_gpu1024_trip.py"

LOSS_ROOTS = (
    TestedRoot(
        name="odd-answer-ends-trip",
        kind="A1",
        summary="an answer of another shape, or a refused login, ends the trip and releases its machine",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/durable_steps.py",
                "INCONCLUSIVE_ERRORS = (*RESUMABLE_ERRORS, UnexpectedResponse, PluginError, ForeignMachine)",
                "INCONCLUSIVE_ERRORS = RESUMABLE_ERRORS",
            ),
            Edit(
                f"{_WORKFLOW}/runtime/leases.py",
                "        except GpurentError as error:\n            return make_unknown(error)",
                "        except UnavailableError as error:\n            return make_unknown(error)",
            ),
        ),
        tests=("tests/reliability/test_odd_answers.py::test_an_odd_answer_while_the_job_runs",),
    ),
    TestedRoot(
        name="order-beside-unfinished-order",
        kind="A6",
        summary="a renewal that is typed again is ordered and paid a second time",
        edits=(
            Edit(f"{_WORKFLOW}/steps/order_records.py", "raise make_unfinished_order_error(other)", "return"),
            Edit(
                f"{_WORKFLOW}/trips/lease_orders.py",
                "            if await self._is_same_order(trip, kind, order):",
                "            if lease.id == trip.id:",
            ),
            Edit(
                f"{_WORKFLOW}/trips/lease_orders.py",
                "        if record is not None:\n            raise make",
                "        if record is not None and record.key == lease.id:\n            raise make",
            ),
            Edit(
                f"{_WORKFLOW}/steps/provider_orders.py",
                "if lease.pending is not None and lease.pending.key != order.key:",
                "if lease.pending is not None and lease.pending.key == order:",
            ),
            Edit(
                f"{_WORKFLOW}/steps/provider_orders.py",
                "    if lease.pending is None or lease.pending.key != order.key:",
                "    if lease.pending is None and lease.is_over:",
            ),
            Edit(
                f"{_WORKFLOW}/steps/provider_orders.py",
                "if order.key in lease.completed_orders:",
                "if order.key in lease.completed_orders or lease.pending is None:",
            ),
        ),
        tests=(f"{_REPEATED}::test_a_renewal_typed_again_is_paid_once",),
    ),
    TestedRoot(
        name="trip-ends-before-it-is-shown",
        kind="A6",
        summary="a command that died before it had shown its result rents again when it is typed again",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/durable_steps.py",
                "        try:\n            await show()\n",
                "        await self.store.end_trip(trip_id, DONE)\n        try:\n            await show()\n",
            ),
        ),
        tests=(
            f"{_REPEATED}::test_a_rent_that_died_before_it_was_shown_is_shown_when_typed_again",
            f"{_REPEATED}::test_a_run_that_died_before_it_was_shown_is_shown_when_typed_again",
        ),
    ),
    TestedRoot(
        name="arrived-order-is-forgotten",
        kind="A6",
        summary="an order that has arrived is not found by its command, which is typed again",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/lease_orders.py",
                "return [(trip, record) for trip, record in trips if await has_ordered(trip)]",
                "return []",
            ),
        ),
        tests=(
            f"{_REPEATED}::test_an_upgrade_typed_again_goes_on_while_its_machine_starts",
            f"{_REPEATED}::test_a_renewal_typed_again_is_paid_once",
        ),
    ),
    TestedRoot(
        name="code-of-another-wallet-is-paid",
        kind="A28",
        summary="1024gpu: the mailed code that answers another wallet with the same address is paid",
        edits=(
            Edit(
                "plugins/gpu1024/src/gpurent_plugin_gpu1024/mail.py",
                "if found.status != wire.FAILED:",
                "if found.url:",
            ),
        ),
        tests=(f"{_GPU1024}::test_a_code_of_another_wallet_with_the_same_address_is_not_paid",),
    ),
    TestedRoot(
        name="binding-of-a-lost-journal",
        kind="A28",
        summary="dbc: what a lost journal has paid for binding an address is paid again",
        edits=(
            Edit(
                "plugins/dbc/src/gpurent_plugin_dbc/wallet.py",
                "if not bill.amount_is_unique:",
                "if bill.amount_is_unique:",
            ),
        ),
        tests=(f"{_GPU1024}::test_a_binding_that_a_lost_journal_paid_is_not_paid_again",),
    ),
    TestedRoot(
        name="moved-journal-is-not-seen",
        kind="A8",
        summary="a process that waits goes on with a journal that was moved",
        edits=(
            Edit(
                "core/gpurent/infra/sqlite/store.py",
                "        self._sessions.require_in_place()\n",
                "",
            ),
        ),
        tests=("tests/infra/test_sqlite_store.py::test_a_file_that_was_moved_is_found_without_a_write",),
    ),
    TestedRoot(
        name="refused-about-itself-is-forgotten",
        kind="A3",
        summary="a machine of an order that was refused, since it had arrived twice, is nobody's when it is listed",
        edits=(
            Edit(
                "core/gpurent/workflow/reports/orphans.py",
                "await self.late.revive_lease(machine, ended) or await self.late.find_lease_of(machine)",
                "await self.late.revive_lease(machine, ended)",
            ),
        ),
        tests=(f"{_LATE}::test_what_was_refused_and_runs_is_a_lease_again",),
    ),
    TestedRoot(
        name="unseen-run-costs-nothing",
        kind="A10",
        summary="autodl: a machine that the list lacked until its release costs nothing in the books",
        edits=(
            Edit(
                "plugins/autodl/src/gpurent_plugin_autodl/provider.py",
                "self.make_released(await self._note_unseen_run(lease), ",
                "self.make_released(lease, ",
            ),
        ),
        tests=(
            "plugins/autodl/tests/test_autodl_traps.py::test_a_machine_that_the_list_lacked_until_its_release_has_its_cost",
        ),
    ),
    TestedRoot(
        name="taken-is-believed-at-once",
        kind="A3",
        summary="mistgpu: a create that arrived twice while the list lags is refused about itself; its server burns",
        edits=(
            Edit(
                "plugins/mistgpu/src/gpurent_plugin_mistgpu/provider.py",
                "if server is None and not await self._attempts.may_be_refused_about_itself(pending):",
                "if server is None:",
            ),
        ),
        tests=(
            "plugins/mistgpu/tests/test_mistgpu_provider.py::test_a_create_that_arrived_twice_is_found_once_the_list_shows_it",
        ),
    ),
    TestedRoot(
        name="second-machine-passes-for-the-first",
        kind="A3",
        summary="a second machine with the label of a living lease burns unseen until that lease is over",
        edits=(Edit("core/gpurent/workflow/reports/orphans.py", " and not refs & listed:", ":"),),
        tests=(
            f"{_LATE}::test_a_second_machine_of_a_living_lease_is_found_and_costs_no_less_than_the_bill[twice]",
        ),
    ),
    TestedRoot(
        name="late-machine-began-when-it-was-seen",
        kind="A10",
        summary="lambda: a machine that is listed late costs nothing for the time before it was seen",
        edits=(
            Edit(
                "plugins/lambda/src/gpurent_plugin_lambda/provider.py",
                "await self.find_first_create(lease.label)",
                "None",
            ),
        ),
        tests=(
            f"{_LATE}::test_a_second_machine_of_a_living_lease_is_found_and_costs_no_less_than_the_bill[lost]",
        ),
    ),
    TestedRoot(
        name="first-time-is-this-computers",
        kind="A20",
        summary="the time of a process's first request is that of this computer's clock, which may be wrong by days",
        edits=(
            Edit(
                "core/gpurent/roles/request_times.py",
                "return lambda: clock.from_wall_time(sent_at)",
                "first = clock.now()\n    return lambda: first",
            ),
        ),
        tests=(f"{_LATE}::test_a_look_by_a_wrong_clock_does_not_move_the_start_of_the_costs",),
    ),
    TestedRoot(
        name="taken-while-staging-ends-the-work",
        kind="A4",
        summary="a machine whose GPUs another trip takes during the upload ends the work, although others are free",
        edits=(
            Edit(
                "core/gpurent/workflow/trips/continuation.py",
                "may_go_on = _was_taken_while_staging(spec, lease)",
                "may_go_on = False",
            ),
        ),
        tests=("tests/workflow/test_taken_machines.py::test_the_job_is_done_on_the_next_machine",),
    ),
    TestedRoot(
        name="one-projects-files-on-all-machines",
        kind="A15",
        summary="what was uploaded to one machine may be replaced by another that has a folder of the same project",
        edits=(
            Edit(
                "core/gpurent/workflow/connection/known_files.py",
                'return f"{machine} {project.group()}"',
                "return project.group()",
            ),
        ),
        tests=("tests/workflow/test_known_files.py::test_a_machine_gives_back_only_what_was_sent_to_it",),
    ),
    TestedRoot(
        name="unchanged-results-of-a-running-job-are-missing",
        kind="A15",
        summary="a result that a running job has not changed yet keeps the guard from saving the others",
        edits=(
            Edit(
                "core/gpurent/workflow/guard/lease_endings.py",
                "outcome = outcome.without_unmade()",
                "pass",
            ),
        ),
        tests=(
            f"{_PROJECT_FOLDERS}::test_a_save_while_the_job_runs_misses_nothing_that_it_has_not_changed_yet",
        ),
    ),
)
