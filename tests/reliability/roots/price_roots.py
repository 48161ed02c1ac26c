"""The roots of what a machine costs: shut is not free, prices move, amounts of pages, a restart, many past trips."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_MISTGPU = "plugins/mistgpu/src/gpurent_plugin_mistgpu"
_PAYMENTS = "core/gpurent/workflow/payments"
_SHUT = "tests/reliability/test_shut_machines.py"
_DISK_BILLED = f"{_SHUT}::test_a_machine_whose_disk_is_billed_is_not_over_and_is_deleted_by_a_release"
_LIMITS = "tests/workflow/test_payment_limits.py"
_WIRE = "plugins/mistgpu/tests/test_mistgpu_wire.py"
_MANY_TRIPS = "tests/ledger/test_many_trips.py"

PRICE_ROOTS = (
    TestedRoot(
        name="shut-is-over",
        kind="A9",
        summary="a machine that is shut down counts as over, whatever its disk costs",
        edits=(
            Edit(
                "core/gpurent/domain/lease.py",
                "OVER_STATES = frozenset({_S.RELEASED,",
                "OVER_STATES = frozenset({_S.STOPPED, _S.RELEASED,",
            ),
        ),
        tests=(_DISK_BILLED,),
    ),
    TestedRoot(
        name="stopped-is-kept",
        kind="A9",
        summary="vast: a stopped machine, whose disk is billed, is taken for one whose files are kept free of charge",
        edits=(
            Edit(
                "plugins/vast/src/gpurent_plugin_vast/instances.py",
                "seen.enter_state(LeaseState.STOPPED,",
                "seen.enter_state(LeaseState.KEPT,",
            ),
        ),
        tests=(_DISK_BILLED,),
    ),
    TestedRoot(
        name="shut-has-no-deadline",
        kind="A9",
        summary="the guard does nothing to a machine that is shut down, whatever the user's deadline",
        edits=(
            Edit(
                "core/gpurent/workflow/guard/decide.py",
                "    if facts.lease.state in BILLED_STATES:\n",
                "    if facts.lease.state in BILLED_STATES and not facts.now:\n",
            ),
        ),
        tests=(
            "tests/guard/test_decide.py::test_only_limits_of_time_end_a_lease_that_may_cost_money_without_running",
            f"{_SHUT}::test_the_guard_holds_the_deadline_of_a_machine_that_is_shut_down",
        ),
    ),
    TestedRoot(
        name="metered-price-not-compared",
        kind="A10",
        summary="the price at the moment of a metered order is not compared with the one of the quote",
        edits=(
            Edit(
                f"{_PAYMENTS}/pay.py",
                "if not isinstance(listed.tariff, Metered):",
                "if isinstance(listed.tariff, Metered):",
            ),
        ),
        tests=(
            "tests/reliability/test_repeated_commands.py::test_a_metered_price_that_rose_is_not_paid_without_a_question",
            f"{_SHUT}::test_a_restart_for_a_price_that_rose_needs_a_question",
        ),
    ),
    TestedRoot(
        name="binding-without-a-ceiling",
        kind="A28",
        summary="what binding an e-mail address costs is paid whatever it is, although nobody has agreed",
        edits=(
            Edit(
                "core/gpurent/workflow/steps/bind_mail.py",
                "await self._agree_on_price(trip, provider, binding.email, binding.bill)",
                "AgreedPrice()",
            ),
        ),
        tests=(
            f"{_LIMITS}::test_binding_an_address_is_paid_only_if_somebody_agreed",
            f"{_LIMITS}::test_a_user_who_refuses_the_price_of_a_binding_pays_nothing",
        ),
    ),
    TestedRoot(
        name="meter-of-the-quote",
        kind="A10",
        summary="a budget counts time at the price of the quote, whatever the provider's statement shows",
        edits=(
            Edit(
                f"{_PAYMENTS}/meters.py",
                "price = max(price, _observed_price(lease, booked, read_at - lease.started_at), key=_per_hour)",
                "pass",
            ),
            Edit(
                f"{_PAYMENTS}/meters.py",
                "used=booked + price.cost(now - read_at)",
                "used=price.cost(now - lease.started_at)",
            ),
        ),
        tests=("tests/guard/test_blind_spots.py::test_a_budget_counts_what_the_statement_shows",),
    ),
    TestedRoot(
        name="amount-is-cut-out",
        kind="A11",
        summary="mistgpu: an amount is the first number of a text, without what stands before and after it",
        edits=(
            Edit(
                f"{_MISTGPU}/wire.py",
                '_LABELLED_PATTERN = re.compile(rf"{_LABEL}(.+)", re.DOTALL)',
                '_LABELLED_PATTERN = re.compile(r".*?(\\d+(?:\\.\\d+)? 元).*", re.DOTALL)',
            ),
        ),
        tests=(
            f"{_WIRE}::test_an_amount_is_read_as_a_whole",
            f"{_WIRE}::test_an_amount_is_never_cut_out_of_a_text",
        ),
    ),
    TestedRoot(
        name="price-is-cut-out",
        kind="A11",
        summary="mistgpu: a price is the last number before its unit, and of two the first; crossed out or not",
        edits=(
            Edit(
                f"{_MISTGPU}/wire.py",
                '_PRICE_PATTERN = re.compile(rf"{_LABEL}(.+?)\\s*{_PRICE_UNIT.pattern}", re.DOTALL)',
                '_PRICE_PATTERN = re.compile(rf".*?(\\d+(?:\\.\\d{{1,2}})?)\\s*{_PRICE_UNIT.pattern}.*", re.DOTALL)',
            ),
            Edit(
                f"{_MISTGPU}/markup.py",
                "if node is leave_out or _is_struck(node):",
                "if node is leave_out:",
            ),
        ),
        tests=(
            f"{_WIRE}::test_a_price_is_read_as_a_whole",
            f"{_WIRE}::test_a_price_is_never_cut_out_of_a_text",
        ),
    ),
    TestedRoot(
        name="restarted-means-running",
        kind="A26",
        summary="mistgpu: only a machine that runs counts as restarted; one that was shut down since was never created",
        edits=(
            Edit(
                f"{_MISTGPU}/created_servers.py",
                "    if server.running:\n        return True\n",
                "    if not server.running:\n        return False\n",
            ),
        ),
        tests=(f"{_SHUT}::test_a_restart_that_was_shut_down_unseen_is_kept_and_costs_what_the_books_say",),
    ),
    TestedRoot(
        name="costs-visit-every-trip",
        kind="A29",
        summary="a report of costs asks the Store again for each trip that there ever was",
        edits=(
            Edit(
                f"{_PAYMENTS}/bookkeeping.py",
                "        for trip in await self.store.summaries.list_unbooked_trips():\n"
                "            await self.record_payments(trip)\n",
                "        for trip in await self.store.list_trips():\n"
                "            await self.record_payments(trip.id)\n",
            ),
        ),
        tests=(f"{_MANY_TRIPS}::test_costs_take_the_same_statements_for_twice_the_trips",),
    ),
    TestedRoot(
        name="providers-asked-under-the-lock",
        kind="A29",
        summary="the monthly budget asks the providers of all open leases while it holds every other payment up",
        edits=(
            Edit(
                f"{_PAYMENTS}/pay.py",
                "        await self.budgets.sync_leases(provider, trip.id)\n",
                "",
            ),
            Edit(f"{_PAYMENTS}/pay.py", "key=bill.key, sync=False)", "key=bill.key)"),
        ),
        tests=(f"{_MANY_TRIPS}::test_a_provider_that_hangs_does_not_hold_the_lock_of_the_budget",),
    ),
)
