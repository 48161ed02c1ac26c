"""Faults of simulators, which would let a faulty plugin pass."""

from __future__ import annotations

from tests.testing.seeded.fault import SIMULATED_ACCOUNTS, seed

SIMULATOR_FAULTS = (
    seed(
        "simulator",
        "same-account-in-each-sandbox",
        "the accounts of each sandbox have the same numbers",
        "vast",
        "test_another_sandbox_has_other_accounts",
        (
            "simulator/state.py",
            "self._user_numbers, self._instance_numbers = count(_draw_number())",
            "self._user_numbers, self._instance_numbers = count(LEAST_NUMBER)",
        ),
    ),
    seed(
        "simulator",
        "tick-not-exact",
        "one minute is billed a tick, however much time has passed",
        "mistgpu",
        "test_seldom_or_often_it_bills_the_same",
        (
            "simulator/state.py",
            "        while (next_one := self._find_next_to_bill()) and",
            "        if (next_one := self._find_next_to_bill()) and",
        ),
    ),
    seed(
        "simulator",
        "unstated-routes",
        "the API's routes are not stated",
        "vast",
        "test_every_call_of_the_plugin_is_a_stated_route",
        ("simulator/service.py", "            *shown,\n", "            *shown[:1],\n"),
    ),
    seed(
        "simulator",
        "observed-by-nothing",
        "a route is called observed, and there is no recording of it",
        "vast",
        "test_what_is_observed_is_kept_and_read_again",
        (
            "simulator/service.py",
            "    Evidence,\n",
            "    Evidence,\n    Observation,\n",
        ),
        (
            "simulator/service.py",
            "path=GPU_NAMES, evidence=Evidence.SOURCE,",
            "path=GPU_NAMES, evidence=Evidence.OBSERVED, observation=Observation(file='names.jsonl', sha256='',"
            " recorded_on=__import__('datetime').date(2026, 1, 1), version='1'),",
        ),
    ),
    seed(
        "simulator",
        "undeclared-setting",
        "it sets what the plugin does not declare",
        "vast",
        "test_its_settings_are_declared_by_the_plugin",
        ("simulator/service.py", '"billing_page": f"', '"bill_page": f"'),
    ),
    seed(
        "simulator",
        "undeclared-login-field",
        "its user enters a field that the login does not have",
        "vast",
        "test_its_login_fields_are_those_of_the_plugin",
        (
            SIMULATED_ACCOUNTS,
            "        return self.get_login_fields()\n",
            '        return {**self.get_login_fields(), "pin": "1234"}\n',
        ),
    ),
    seed(
        "simulator",
        "crashes-on-nonsense",
        "a request that is no JSON crashes it",
        "dbcchain",
        "test_no_request_breaks_it",
        (
            "simulator/service.py",
            '            except ValueError:\n                return PlainTextResponse("not JSON", 400)\n',
            '            except ZeroDivisionError:\n                return PlainTextResponse("not JSON", 400)\n',
        ),
    ),
    seed(
        "simulator",
        "billed-after-the-end",
        "the balance goes on paying for the storage of a deleted machine, the ledger does not",
        "vast",
        "test_the_balance_is_that_of_the_ledger",
        (
            "simulator/life.py",
            "        instance.end_meters(at, DISK)\n        if instance.deposit",
            "        if instance.deposit",
        ),
    ),
    seed(
        "simulator",
        "money-not-as-said",
        "more money is said to have come in than is in the ledger",
        "vast",
        "test_money_comes_in_as_it_says",
        (SIMULATED_ACCOUNTS, "return self.funds", "return self.funds + self.funds"),
    ),
    seed(
        "simulator",
        "one-account-for-all",
        "every further account is the first one",
        "vast",
        "test_each_further_account_is_a_new_one",
        ("simulator/audit.py", "self.state.make_account().api_key", "self.state.accounts[0].api_key"),
    ),
    seed(
        "simulator",
        "false-alarm",
        "its audit complains about an honest life",
        "mistgpu",
        "test_an_honest_life_has_no_discrepancy",
        (
            "simulator/audit.py",
            "if (excess := _compute_excess(server)) > 0",
            "if (excess := _compute_excess(server)) >= 0",
        ),
    ),
    seed(
        "simulator",
        "ledger-without-account",
        "the lines of its ledger name no account",
        "mistgpu",
        "test_money_comes_in_as_it_says",
        (
            "simulator/state.py",
            "SimulatorLedgerEntry(at=at, account=account,",
            'SimulatorLedgerEntry(at=at, account="",',
        ),
    ),
    seed(
        "simulator",
        "bills-the-released",
        "a server that was shut down is billed on",
        "mistgpu",
        "test_nothing_is_billed_before_and_after",
        (
            "simulator/state.py",
            "        server.runs[-1].ended_at = at\n",
            "        server.runs[-1].ended_at = None\n",
        ),
    ),
)
