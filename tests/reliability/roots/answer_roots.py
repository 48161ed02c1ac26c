"""The roots of a mailbox that refuses, of plugins that are missing, of what cannot be known, and of misspelt limits."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_IMAP = "plugins/imap/src/gpurent_plugin_imap/mailbox.py"
_IMAP_TESTS = "plugins/imap/tests/test_imap_mailbox.py"
_PLUGINS = "core/gpurent/workflow/runtime/plugins.py"
_GUARD = "core/gpurent/workflow/guard"
_MISSING_PLUGIN = "tests/cli/test_missing_plugin.py"
_CONFIG_TESTS = "tests/infra/test_config_file.py"
_ALL_REFUSALS = Edit(
    _IMAP,
    "if not _CREDENTIALS_PATTERN.search(_get_server_words(error)):",
    "if not _get_server_words(error):",
)

ANSWER_ROOTS = (
    TestedRoot(
        name="refused-login-is-a-wrong-password",
        kind="A12",
        summary="imap: whatever the reason of a refused login, the password is wrong and nothing is tried again",
        edits=(_ALL_REFUSALS,),
        tests=(f"{_IMAP_TESTS}::test_a_refused_login_can_be_tried_again_and_is_quoted",),
    ),
    TestedRoot(
        name="refused-mailbox-releases-the-machine",
        kind="A12",
        summary="a mailbox that refuses one login while the access is awaited ends the trip and releases its machine",
        edits=(
            _ALL_REFUSALS,
            Edit(
                "plugins/gpu1024/src/gpurent_plugin_gpu1024/provider.py",
                "        except (UnavailableError, AuthError) as error:\n",
                "        except UnavailableError as error:\n",
            ),
            Edit(
                "core/gpurent/workflow/runtime/leases.py",
                "        except (InputRequired, BusyError):\n",
                "        except (InputRequired, BusyError, AuthError):\n",
            ),
        ),
        tests=(
            "tests/reliability/test_mailbox_refusals.py::test_refused_logins_while_codes_and_the_access_are_awaited",
        ),
    ),
    TestedRoot(
        name="words-of-the-mailbox-are-dropped",
        kind="A12",
        summary="imap: what the server said when it refused a login is not shown",
        edits=(
            Edit(
                _IMAP,
                'words = _get_server_words(error).replace(self._settings["password"], "***")',
                "words = type(error).__name__",
            ),
        ),
        tests=(
            f"{_IMAP_TESTS}::test_a_refused_login_can_be_tried_again_and_is_quoted",
            f"{_IMAP_TESTS}::test_a_refused_password_is_quoted_too",
        ),
    ),
    TestedRoot(
        name="identified-only-if-announced",
        kind="A12",
        summary="imap: the client identifies itself only if the server asks for it before the login",
        edits=(Edit(_IMAP, " or _has_id_now(box):\n", ":\n"),),
        tests=(f"{_IMAP_TESTS}::test_the_client_identifies_itself_before_it_opens_a_folder",),
    ),
    TestedRoot(
        name="date-of-the-sender",
        kind="A12",
        summary="imap: a mail is as new as its sender writes",
        edits=(
            Edit(
                _IMAP,
                "from email.message import Message\n",
                "from email.message import Message\nfrom email.utils import parsedate_to_datetime\n",
            ),
            Edit(_IMAP, "_parse_arrival(data),", 'parsedate_to_datetime(str(message["Date"])),'),
        ),
        tests=(f"{_IMAP_TESTS}::test_a_mail_counts_by_its_arrival_not_by_the_sender_s_date",),
    ),
    TestedRoot(
        name="unguarded-is-not-told",
        kind="A13",
        summary="the guard skips the leases of a missing plugin without a word",
        edits=(
            Edit(
                f"{_GUARD}/observe_provider.py",
                "self._groups, self.unguarded = found, unguarded",
                "self._groups, self.unguarded = found, ()",
            ),
        ),
        tests=(f"{_MISSING_PLUGIN}::test_json_says_it",),
    ),
    TestedRoot(
        name="missing-plugin-is-a-typing-error",
        kind="A13",
        summary="a lease whose plugin is missing is listed like any other, and its release names no lease that burns",
        edits=(
            Edit(
                _PLUGINS,
                "            return _missing_plugin_error(lease, error.hint)\n",
                "            return None if error.hint else error\n",
            ),
            Edit(_PLUGINS, "raise _missing_plugin_error(lease, error.message) from error", "raise error"),
        ),
        tests=(
            f"{_MISSING_PLUGIN}::test_text_says_it_and_what_to_do",
            f"{_MISSING_PLUGIN}::test_json_of_one_lease_says_it",
        ),
    ),
    TestedRoot(
        name="one-unknown-ends-the-check",
        kind="A14",
        summary="a monthly budget that cannot be checked ends the check of all leases of its provider",
        edits=(
            Edit(
                f"{_GUARD}/spending.py",
                "            except GpurentError as error:\n",
                "            except KeyError as error:\n",
            ),
            Edit(
                f"{_GUARD}/spending.py",
                "name=limit.name, why=error.message)",
                "name=limit.name, why=error)",
            ),
            Edit(
                f"{_GUARD}/observe_provider.py",
                "        except Exception as error:  # noqa: BLE001 - likewise\n",
                "        except KeyError as error:\n",
            ),
            Edit(
                f"{_GUARD}/scheduler.py",
                "            found = await self.provider_observer.observe_without_answer(provider, leases)\n",
                "            return\n",
            ),
        ),
        tests=(
            "tests/guard/test_blind_spots.py::test_a_month_s_budget_without_a_rate_keeps_no_check_from_the_deadline",
        ),
    ),
    TestedRoot(
        name="unknown-settings-pass",
        kind="A16",
        summary="a section or a key of config.toml that does not exist is passed over: a misspelt limit is none",
        edits=(
            Edit(
                "core/gpurent/infra/config/config_file.py",
                "            if find_section(self._declared, name) is None:\n",
                "            if find_section(self._declared, name) is None:\n                continue\n",
            ),
            Edit(
                "core/gpurent/infra/config/config_file.py",
                "                raise self._file.unknown_key_error(name, key, [key.name for key in section.keys])\n",
                "                continue\n",
            ),
        ),
        tests=(
            f"{_CONFIG_TESTS}::test_each_key_is_taken_by_its_name_alone",
            f"{_CONFIG_TESTS}::test_each_section_is_taken_by_its_name_alone",
        ),
    ),
    TestedRoot(
        name="misspelt-variables-pass",
        kind="A16",
        summary="an environment variable that looks like a limit and is none is passed over",
        edits=(
            Edit(
                "core/gpurent/composition/state.py",
                "            check_limit_variables(environment)\n",
                "            check_limit_variables({})\n",
            ),
        ),
        tests=("tests/cli/test_commands.py::test_a_misspelt_limit_in_the_environment_is_refused",),
    ),
    TestedRoot(
        name="second-reader-of-the-policy",
        kind="A16",
        summary="who arms the timer reads the policy of the provider, and not the one of the lease or of the trip",
        edits=(
            Edit(
                "core/gpurent/workflow/timing/timers.py",
                "self.policies.get_policy(lease.provider, spec, lease=lease.id, trip=trip)",
                "self.policies.get_policy(lease.provider, spec)",
            ),
        ),
        tests=(
            "tests/guard/test_timer_off.py::test_a_watched_job_loses_the_timer_that_is_not_wanted_any_more",
        ),
    ),
)
