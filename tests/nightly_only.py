"""What `make test` leaves to `make test-nightly`, so that it takes minutes: a pytest plugin and its lists.

A test is left out by day if others go through the same code, or if its variants differ in data alone. Tests that take
minutes by themselves carry the mark `nightly` where they stand.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase

import pytest

# `*` stands for anything, `[[]` for a bracket.
TESTS = (
    # The same on OpenSSH, in the dark: one driver of machines by day.
    "plugins/screen/tests/test_screen_contract.py::*[[]*bwrap*",
    "plugins/tmux/tests/test_tmux_contract.py::*[[]*bwrap*",
    "tests/sandbox/machines/test_machine_programs.py::*[[]*bwrap*",
    # The families of R1 kill trips too, and their share by day is smaller.
    "tests/workflow/test_crash.py::test_killed_at_every_step_and_resumed*",
    # Whole trips that others make as well.
    "plugins/turbo/tests/near/test_large_files.py::test_a_scan_of_many_files_needs_little_memory",
    "tests/guard/test_real_machines.py::test_after_a_jump_of_days_a_real_machine_is_saved_and_released",
    "tests/infra/test_vault_damage.py::test_no_secret_in_errors_or_logs",
    "tests/workflow/test_asking.py::test_the_same_command_again_can_resume",
    "tests/workflow/test_notebook.py::test_it_is_started_once_reached_over_a_cut_and_ended",
    "tests/workflow/test_results.py::test_every_printed_command_works",
)
# Of the tests of these files, of a class, or of the variants of a test, every n-th is run by day, from the first on.
STEPS = {
    "plugins/autodl/tests/test_autodl_facts.py": 3,
    "plugins/autodl/tests/test_autodl_traps.py": 3,
    "plugins/compshare/tests/test_compshare_traps.py": 3,
    "plugins/dbcchain/tests/test_chain_limits.py": 4,
    "plugins/dbcchain/tests/test_chain_lost_answers.py": 3,
    "plugins/dbcchain/tests/test_chain_sandbox.py": 3,
    "plugins/dbcchain/tests/test_chain_trip.py": 4,
    "plugins/desktop/tests/test_desktop_formats.py": 3,
    "plugins/gpu1024/tests/test_gpu1024_stopped.py": 3,
    "plugins/gpu1024/tests/test_gpu1024_trial.py": 3,
    "plugins/gpu1024/tests/test_gpu1024_trip.py::test_any_answer_may_be_lost_and_it_is_one_order_and_one_payment": 3,
    "plugins/imap/tests/test_imap_mailbox.py": 4,
    "plugins/lambda/tests/test_lambda_traps.py": 3,
    "plugins/mistgpu/tests/test_mistgpu_hostile.py::test_a_hostile_page_of_half_a_megabyte_is_parsed_in_time": 4,
    "plugins/mistgpu/tests/test_mistgpu_money.py": 3,
    "plugins/openssh/tests/test_openssh_config.py": 3,
    "plugins/runpod/tests/test_runpod_simulator.py": 3,
    "plugins/screen/tests/test_screen_contract.py": 3,
    "plugins/sftp/tests/test_sftp_batches.py": 3,
    "plugins/sftp/tests/test_sftp_contract.py::TestSftpEmbedded": 3,
    "plugins/sftp/tests/test_sftp_hostile.py": 4,
    "plugins/tmux/tests/test_tmux_contract.py": 3,
    "plugins/turbo/tests/near/test_hostile_pull.py::test_invalid_answer_is_refused": 4,
    "plugins/turbo/tests/posix/test_hostile_posix_pull.py::test_invalid_archive_writes_nothing_wrong": 4,
    "plugins/turbo/tests/posix/test_posix_contract.py::TestPosixOpenSsh": 4,
    "plugins/turbo/tests/posix/test_posix_pull.py": 3,
    "plugins/turbo/tests/posix/test_posix_tools.py": 4,
    "plugins/turbo/tests/test_turbo_contract.py": 4,
    "plugins/turbo/tests/test_turbo_cuts.py::test_cuts_at_random_bytes": 3,
    "plugins/vast/tests/test_vast_simulator.py": 3,
    "plugins/vast/tests/test_vast_simulator_answers.py": 4,
    "tests/cli/test_commands.py::test_help_of_every_command": 5,
    "tests/cli/test_hints_run.py::test_the_hint_helps": 5,
    "tests/cli/test_languages.py::test_every_help_page_is_in_one_language": 4,
    "tests/cli/test_languages.py::test_usage_errors_and_empty_lists_are_in_one_language": 4,
    "tests/cli/test_logs.py": 4,
    "tests/cli/test_notify_command.py": 4,
    "tests/cli/test_project.py": 4,
    "tests/cli/test_record_command.py": 4,
    "tests/cli/test_terminal_habits.py::test_every_locale_shows_the_list": 5,
    "tests/cli/test_top.py": 5,
    "tests/client/test_client.py": 3,
    "tests/docs/test_blocks.py": 3,
    "tests/doctor/test_doctor_script.py": 4,
    "tests/doctor/test_speed_script.py": 3,
    "tests/doctor/test_try_gpu.py": 3,
    "tests/guard/test_autostart.py": 4,
    "tests/guard/test_decide.py": 5,
    "tests/guard/test_limits.py": 5,
    "tests/guard/test_metered_trips.py": 4,
    "tests/guard/test_prepaid_trips.py": 4,
    "tests/infra/test_odd_machines.py": 4,
    "tests/infra/test_recording_redaction.py": 4,
    "tests/infra/test_restored_files.py": 3,
    "tests/infra/test_ssh_login.py": 3,
    "tests/infra/test_ssh_run.py": 4,
    "tests/infra/test_vault.py": 3,
    "tests/infra/test_vault_damage.py::test_a_changed_header_is_refused_and_stays_as_it_is": 5,
    "tests/ledger/test_killed_migrations.py::test_killed_at_some_statements_and_at_the_rename": 4,
    "tests/ledger/test_ledger_chain.py": 4,
    "tests/packaging/test_examples.py": 3,
    "tests/packaging/test_new_plugin.py": 3,
    "tests/packaging/test_plugin_check.py": 3,
    "tests/reliability/test_backups.py": 3,
    "tests/reliability/test_hostile_mail.py": 3,
    "tests/reliability/test_older_journal.py": 3,
    "tests/reliability/test_open_trips.py": 3,
    "tests/reliability/test_orphans.py": 4,
    "tests/reliability/test_repeated_commands.py": 4,
    "tests/reliability/test_shut_machines.py": 3,
    "tests/reliability/test_volumes.py": 4,
    "tests/remote/test_job_secrets.py": 3,
    "tests/sandbox/machines/test_machine_disks.py": 3,
    "tests/sandbox/machines/test_machine_drivers.py": 4,
    "tests/sandbox/machines/test_machine_keys.py": 4,
    "tests/sandbox/machines/test_machine_levers.py": 4,
    "tests/sandbox/machines/test_machine_login.py": 3,
    "tests/sandbox/machines/test_machine_programs.py": 4,
    "tests/sandbox/machines/test_machine_sessions.py": 4,
    "tests/sandbox/machines/test_machine_survival.py": 4,
    "tests/sandbox/test_lever_commands.py": 4,
    "tests/security/test_canary_journey.py": 4,
    "tests/security/test_chain_node.py": 4,
    "tests/security/test_children.py": 4,
    "tests/security/test_doubtful_leases.py": 3,
    "tests/security/test_download_space.py": 4,
    "tests/security/test_file_layer.py": 3,
    "tests/security/test_foreign_text.py::test_what_a_provider_lists": 3,
    "tests/security/test_foreign_text.py::test_what_is_printed_while_a_trip_runs": 3,
    "tests/security/test_fuzz.py": 3,
    "tests/security/test_honest_trip.py": 3,
    "tests/security/test_ledger_rewritten.py": 4,
    "tests/security/test_machine_folders.py": 4,
    "tests/security/test_mail_access.py": 3,
    "tests/security/test_plugin_changes.py": 3,
    "tests/security/test_project_trust.py": 3,
    "tests/security/test_results_paths.py::test_no_downloaded_folder_is_a_repository": 4,
    "tests/security/test_sandbox_access.py": 4,
    "tests/security/test_vault_replaced.py": 4,
    "tests/seed/test_rows_cash.py": 4,
    "tests/seed/test_rows_clients.py": 3,
    "tests/seed/test_rows_metered.py": 4,
    "tests/seed/test_rows_staged.py": 4,
    "tests/workflow/test_asking.py": 5,
    "tests/workflow/test_broken_plugins.py": 4,
    "tests/workflow/test_exports.py": 5,
    "tests/workflow/test_failures.py": 5,
    "tests/workflow/test_forward.py": 4,
    "tests/workflow/test_job_variables.py": 4,
    "tests/workflow/test_kept_files.py": 4,
    "tests/workflow/test_machine_use.py": 4,
    "tests/workflow/test_manual_leases.py": 5,
    "tests/workflow/test_market.py": 4,
    "tests/workflow/test_notify.py": 4,
    "tests/workflow/test_payment_limits.py::test_a_dearer_price_asks_again_also_in_a_renewal": 4,
    "tests/workflow/test_predial.py": 4,
    "tests/workflow/test_project_folders.py": 4,
    "tests/workflow/test_provider_selection.py": 4,
    "tests/workflow/test_provider_timers.py": 4,
    "tests/workflow/test_rate_sources.py": 4,
    "tests/workflow/test_refund_quotes.py": 4,
    "tests/workflow/test_results.py": 5,
    "tests/workflow/test_setup.py": 4,
    "tests/workflow/test_several_accounts.py": 4,
    "tests/workflow/test_spot_machines.py": 4,
    "tests/workflow/test_stop_signals.py": 4,
    "tests/workflow/test_stopped_machines.py": 4,
    "tests/workflow/test_this_computer.py": 5,
    "tests/workflow/test_time_left.py": 5,
    "tests/workflow/test_timer.py": 5,
    "tests/workflow/test_trip_ledger.py": 4,
    "tests/workflow/test_wrong_clock.py": 4,
}

UNKNOWN = pytest.StashKey[list[str]]()
"""What the lists name and no test is called, after all tests were collected."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for item in items:
        if item.get_closest_marker("nightly"):
            continue
        matches = {pattern for pattern in TESTS if fnmatchcase(item.nodeid, pattern)}
        if step := STEPS.get(place := _find_step(item.nodeid)):
            found.add(place)
            matches |= {place} if seen[place] % step else set()
            seen[place] += 1
        if matches:
            item.add_marker(pytest.mark.nightly)
            found |= matches
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        config.stash[UNKNOWN] = sorted({*TESTS, *STEPS} - found)


def _find_step(test: str) -> str:
    """Return what of `STEPS` holds for a test: itself, its class or its file; else ""."""
    place = test.partition("[")[0]
    while place and place not in STEPS:
        place = place.rpartition("::")[0]
    return place
