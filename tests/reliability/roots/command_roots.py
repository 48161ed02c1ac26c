"""The roots of commands that fail, are stopped, or run on a computer with a problem: what they leave and say."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_CLI = "core/gpurent/cli"
_ERRORS = "core/gpurent/errors.py"
_WORKFLOW = "core/gpurent/workflow"
_COMPUTER = "tests/workflow/test_this_computer.py"
_SIGNALS = "tests/workflow/test_stop_signals.py"
_UNREADABLE_KEY = "tests/infra/test_ssh_login.py::test_an_unreadable_key_of_the_users_own_is_in_nobodys_way"
_MONEY_WORDS = "tests/workflow/test_money_words.py"
_HELD = "tests/workflow/test_held_and_asked.py"
_BROKEN_PLUGINS = "tests/workflow/test_broken_plugins.py"
_BROKEN_TOOLS = f"{_BROKEN_PLUGINS}::test_tools_that_cannot_be_built_are_left_out_before_money_leaves"

COMMAND_ROOTS = (
    TestedRoot(
        name="release-needs-the-journal",
        kind="A19",
        summary="where nothing can be written, no machine can be released",
        edits=(
            Edit(
                f"{_CLI}/commands/leases.py",
                "    except StorageError as error:\n        receipt,",
                "    except StorageError as error:\n        raise error from None\n        receipt,",
            ),
        ),
        tests=(f"{_COMPUTER}::test_release_works_where_nothing_can_be_written",),
    ),
    TestedRoot(
        name="full-disk-holds-the-guard-up",
        kind="A19",
        summary="the guard releases nothing where that cannot be recorded, although a limit has passed",
        edits=(
            Edit(
                f"{_WORKFLOW}/guard/controller.py",
                "                await self.release_unrecorded(facts.lease.id)\n",
                "                raise\n",
            ),
        ),
        tests=("tests/guard/test_full_disk.py::test_watch_goes_on_with_a_full_disk_and_holds_the_deadline",),
    ),
    TestedRoot(
        name="full-disk-is-an-internal-error",
        kind="A19",
        summary="what SQLite reports of the disk is an internal error, which names no machine that costs money",
        edits=(
            Edit(
                "core/gpurent/infra/sqlite/database_errors.py",
                "        raise make_storage_error(path, error) from error\n",
                "        raise\n",
            ),
            Edit(
                f"{_CLI}/failures.py",
                "if is_foreign or isinstance(error, StorageError):",
                "if isinstance(error, StorageError):",
            ),
        ),
        tests=(f"{_COMPUTER}::test_no_money_leaves_if_the_intent_cannot_be_written",),
    ),
    TestedRoot(
        name="tools-are-built-when-used",
        kind="A21",
        summary="a tool that cannot be built is found after the machine was paid",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/execute.py",
                "        spec = await self.tools.select_tools(trip, spec)\n",
                "",
            ),
        ),
        tests=(_BROKEN_TOOLS,),
    ),
    TestedRoot(
        name="second-tool-is-not-tried",
        kind="A21",
        summary="a tool that cannot be built ends the trip, although another one works",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/plugins.py",
                "                self._report_unusable(entry, error)\n            else:\n",
                "                raise\n            else:\n",
            ),
        ),
        tests=(_BROKEN_TOOLS,),
    ),
    TestedRoot(
        name="unforeseen-skips-the-clean-up",
        kind="A22",
        summary="an exception that nobody foresaw ends the command without its clean-up, and names no machine",
        edits=(
            Edit(
                f"{_WORKFLOW}/trips/execute.py",
                "            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends by its rule\n",
                "            except GpurentError as raised:\n",
            ),
            Edit(
                f"{_WORKFLOW}/trips/operations.py",
                "        except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends by its rule\n",
                "        except GpurentError as raised:\n",
            ),
        ),
        tests=(f"{_BROKEN_PLUGINS}::test_what_nobody_foresaw_leaves_the_running_job_to_resume",),
    ),
    TestedRoot(
        name="strict-terminal",
        kind="A22",
        summary="a character that the terminal's encoding lacks ends a trip",
        edits=(
            Edit(
                f"{_CLI}/main.py",
                'elif stream.errors == "strict":',
                'elif stream.errors == "":',
            ),
        ),
        tests=(f"{_SIGNALS}::test_output_that_cannot_be_shown_ends_nothing",),
    ),
    TestedRoot(
        name="own-keys-are-read-for-a-host-key",
        kind="A22",
        summary="the user's own keys are read to ask for a host key: with one that is unreadable, no machine answers",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/host_keys.py",
                "config=None, client_keys=None, agent_path=None)",
                "config=None, agent_path=None)",
            ),
        ),
        tests=(_UNREADABLE_KEY,),
    ),
    TestedRoot(
        name="own-keys-are-read-for-a-password",
        kind="A22",
        summary="the user's own keys are read for the login with a password: with one that is unreadable, it fails",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/lease_opener.py",
                "client_keys=[key] if key else None,",
                "client_keys=[key] if key else (),",
            ),
        ),
        tests=(_UNREADABLE_KEY,),
    ),
    TestedRoot(
        name="newest-trip-is-named",
        kind="A23",
        summary="who stops a command is told of the newest trip, which may be another terminal's",
        edits=(
            Edit(
                f"{_CLI}/context.py",
                "trips.extend(application.locks.locked_trips)",
                "trips.extend(found.id for found in reversed(await application.trip_tracker.list_trips()))",
            ),
        ),
        tests=(f"{_SIGNALS}::test_the_trip_of_this_terminal_is_named",),
    ),
    TestedRoot(
        name="runs-on-whatever-runs",
        kind="A23",
        summary="who stops a command before its job is told that the job keeps running",
        edits=(
            Edit(
                f"{_WORKFLOW}/reports/trip_phase.py",
                '("launch" in done, TripPhase.JOB_RUNNING)',
                "(True, TripPhase.JOB_RUNNING)",
            ),
        ),
        tests=(
            "tests/workflow/test_trip_phase.py::test_each_phase",
            f"{_SIGNALS}::test_signals_detach_and_say_what_runs",
        ),
    ),
    TestedRoot(
        name="only-ctrl-c-detaches",
        kind="A23",
        summary="SIGTERM and SIGHUP end a command without a word",
        edits=(
            Edit(
                "core/gpurent/infra/platform/posix/terminal.py",
                "= (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)",
                "= (signal.SIGINT,)",
            ),
        ),
        tests=(
            f"{_SIGNALS}::test_signals_detach_and_say_what_runs",
            f"{_SIGNALS}::test_a_stopped_command_prints_its_document",
        ),
    ),
    TestedRoot(
        name="second-signal-has-a-traceback",
        kind="A23",
        summary="the second Ctrl-C ends a command with a traceback",
        edits=(
            Edit(
                f"{_CLI}/interrupts.py",
                "            _exit_at_once(number)\n",
                "            raise KeyboardInterrupt\n",
            ),
        ),
        tests=(f"{_SIGNALS}::test_a_second_signal_ends_at_once",),
    ),
    TestedRoot(
        name="nothing-charged-by-default",
        kind="A24",
        summary="an error that says nothing about money is shown with the words that nothing was charged",
        edits=(
            Edit(
                _ERRORS,
                "        spent: Spent | None = None,\n        burning",
                "        spent: Spent | None = Spent.NO,\n        burning",
            ),
        ),
        tests=(f"{_MONEY_WORDS}::test_a_mistake_beside_a_running_meter_has_nothing_to_do_with_money",),
    ),
    TestedRoot(
        name="balance-may-have-cost",
        kind="A24",
        summary="a balance that cannot be read may have cost money, which the balance is to tell",
        edits=(
            Edit(
                f"{_WORKFLOW}/runtime/role_guard.py",
                "            if self.method not in _SPENDING_METHODS:\n                error.spent = None\n",
                "",
            ),
            Edit(
                "plugins/mistgpu/src/gpurent_plugin_mistgpu/wire.py",
                "    Offer,\n    UnexpectedResponse,\n",
                "    Offer,\n    Spent,\n    UnexpectedResponse,\n",
            ),
            Edit(
                "plugins/mistgpu/src/gpurent_plugin_mistgpu/wire.py",
                "url=url, body=page\n",
                "url=url, body=page, spent=Spent.UNKNOWN\n",
            ),
        ),
        tests=(
            f"{_MONEY_WORDS}::test_a_balance_that_cannot_be_read_has_spent_nothing_and_advises_no_balance",
        ),
    ),
    TestedRoot(
        name="busy-is-a-mistake-of-the-user",
        kind="A27",
        summary="what another command holds is a mistake in the command line",
        edits=(
            Edit(
                _ERRORS,
                'class BusyError(GpurentError, code="busy", exit_code=10):',
                'class BusyError(UsageError, code="usage", exit_code=2):',
            ),
        ),
        tests=(f"{_HELD}::test_a_trip_that_another_command_holds_is_no_mistake_of_the_user",),
    ),
    TestedRoot(
        name="needed-answer-is-a-network-fault",
        kind="A27",
        summary="a question that only the user can answer is tried again, as if a service did not answer",
        edits=(
            Edit(
                _ERRORS,
                'class InputRequired(GpurentError, code="input-required", exit_code=11):',
                'class InputRequired(UnavailableError, code="input-required", exit_code=11):',
            ),
        ),
        tests=(f"{_HELD}::test_a_code_that_nobody_can_enter_is_not_asked_for_again_and_again",),
    ),
)
