"""The roots on this computer: sandbox, children, secrets in processes, own files, plugins: S3, S6, S14, S15, S16."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_CHILDREN = "core/gpurent/child_processes.py"
_SANDBOX = "core/gpurent/testing/sandbox"
_POSIX = "core/gpurent/infra/platform/posix"
_ACCESS = "tests/security/test_sandbox_access.py"
_STARTED = "tests/security/test_children.py"

COMPUTER_ROOTS = (
    TestedRoot(
        name="every-user-is-served",
        kind="S3",
        summary="the uid of the peer is not checked",
        edits=(
            Edit(
                f"{_SANDBOX}/peers.py",
                "return find_peer_uid(connection) == get_owner()",
                "return find_peer_uid(connection) != -1",
            ),
        ),
        tests=(
            f"{_ACCESS}::test_another_user_gets_no_answer_from_a_simulator",
            f"{_ACCESS}::test_another_user_cannot_call_what_needs_no_login",
            f"{_ACCESS}::test_another_user_gets_into_no_machine",
            f"{_ACCESS}::test_the_mailbox_needs_its_password_and_its_user",
            f"{_ACCESS}::test_the_proof_is_given_to_its_user_only",
        ),
    ),
    TestedRoot(
        name="control-without-token",
        kind="S3",
        summary="the sandbox's control API asks for no token",
        edits=(
            Edit(
                f"{_SANDBOX}/control_app.py",
                'if not hmac.compare_digest(authorization, f"Bearer {token}"):',
                "if not token:",
            ),
        ),
        tests=(f"{_ACCESS}::test_the_control_api_needs_its_token_and_its_user",),
    ),
    TestedRoot(
        name="closed-connection-is-root-s",
        kind="S3",
        summary="a connection that was closed counts as root's",
        edits=(Edit(f"{_POSIX}/socket_owner.py", "return uid if inode else None", "return uid"),),
        tests=(f"{_ACCESS}::test_a_closed_connection_has_no_owner",),
    ),
    TestedRoot(
        name="sandbox-not-proven",
        kind="S3",
        summary="whoever listens at a port of a sandbox's file is that sandbox",
        edits=(
            Edit(
                "core/gpurent/infra/sandbox_handle.py",
                "or not await handle.is_proven():",
                "or not handle.secret:",
            ),
            Edit(
                "core/gpurent/infra/sandbox_handle.py",
                "return is_own_listener(urlsplit(url).port or 0)",
                "return True",
            ),
        ),
        tests=(
            f"{_ACCESS}::test_a_sandbox_proves_that_it_is_this_one",
            f"{_ACCESS}::test_a_service_whose_port_is_another_users_does_not_count",
        ),
    ),
    TestedRoot(
        name="open-handle-counts",
        kind="S3",
        summary="a sandbox's file counts, although others can write it",
        edits=(
            Edit(
                f"{_POSIX}/system.py",
                "        check_private_file(path, file.fileno())\n        return file.read()",
                "        return file.read()",
            ),
        ),
        tests=(f"{_ACCESS}::test_only_a_private_handle_counts",),
    ),
    TestedRoot(
        name="root-gets-no-walls",
        kind="S3",
        summary="root gets machines without isolation, unasked",
        edits=(
            Edit(
                f"{_SANDBOX}/machines/driver_selection.py",
                'if name == "bwrap" or is_root():',
                'if name == "bwrap":',
            ),
        ),
        tests=(f"{_ACCESS}::test_root_gets_machines_that_are_not_isolated_only_by_name",),
    ),
    TestedRoot(
        name="python-of-the-current-folder",
        kind="S6",
        summary="Python children are not isolated and start in the current folder",
        edits=(
            Edit(
                _CHILDREN,
                "return [sys.executable, *flags, *arguments]",
                "return [sys.executable, *arguments]",
            ),
            Edit(_CHILDREN, 'FOLDER = "/"', 'FOLDER = "."'),
        ),
        tests=(
            f"{_STARTED}::test_files_of_the_current_folder_are_not_run_by_an_attach",
            f"{_STARTED}::test_files_of_the_current_folder_are_not_run_by_the_sandbox",
            f"{_STARTED}::test_the_guard_starts_isolated_in_a_fixed_folder",
        ),
    ),
    TestedRoot(
        name="program-of-the-current-folder",
        kind="S6",
        summary="programs are searched in relative folders of PATH",
        edits=(
            Edit(
                _CHILDREN,
                "for folder in given.split(os.pathsep) if _is_absolute(folder)]",
                "for folder in given.split(os.pathsep)]",
            ),
            Edit(_CHILDREN, "if _is_absolute(path) and os.access", "if os.access"),
        ),
        tests=(f"{_STARTED}::test_a_program_of_the_current_folder_is_not_run",),
    ),
    TestedRoot(
        name="token-in-arguments",
        kind="S14",
        summary="the notebook's token is an argument of the browser",
        edits=(
            Edit(f"{_POSIX}/system.py", "yield open_in_browser(path.as_uri())", "yield open_in_browser(url)"),
        ),
        tests=(f"{_STARTED}::test_a_secret_url_is_opened_through_a_private_file",),
    ),
    TestedRoot(
        name="whole-environment",
        kind="S15",
        summary="children get the whole environment, with the passphrase",
        edits=(
            Edit(
                _CHILDREN,
                "found = {name: environment[name] for name in names if environment.get(name)}",
                "found = dict(environment)",
            ),
        ),
        tests=(
            f"{_STARTED}::test_crontab_gets_no_secret",
            f"{_STARTED}::test_the_browser_gets_no_secret",
            f"{_STARTED}::test_ssh_gets_no_secret",
            f"{_STARTED}::test_gpurent_started_by_gpurent_gets_the_passphrase_by_a_pipe",
        ),
    ),
    TestedRoot(
        name="nothing-is-redacted",
        kind="S15",
        summary="logs and crash reports show the secrets that they meet",
        edits=(
            Edit(
                "core/gpurent/infra/redact.py",
                "        return self.replace_secrets(text, lambda _secret: MASK)\n",
                "        return text\n",
            ),
        ),
        tests=("tests/security/test_canary_journey.py::test_a_journey",),
    ),
    TestedRoot(
        name="cookie-ends-early",
        kind="S16",
        summary="a cookie's value may end it and begin another one",
        edits=(
            Edit(
                "core/gpurent/infra/http_headers.py",
                "if not _COOKIE_NAME.fullmatch(name) or not _COOKIE_VALUE.fullmatch(value):",
                "if not name:",
            ),
        ),
        tests=("tests/security/test_cookies_and_forms.py::test_a_cookie_is_one_value",),
    ),
    TestedRoot(
        name="forms-of-other-sites",
        kind="S16",
        summary="a page of another site drives the sandbox",
        edits=(
            Edit(
                f"{_SANDBOX}/foreign_pages.py",
                'if scope["type"] != "http" or not _is_foreign(scope):',
                "if scope:",
            ),
        ),
        tests=(
            "tests/security/test_cookies_and_forms.py::test_pages_of_other_sites_change_nothing_in_the_sandbox",
            "tests/security/test_cookies_and_forms.py::test_scripts_of_other_sites_read_nothing",
        ),
    ),
    TestedRoot(
        name="open-settings-file",
        kind="S16",
        summary="config.toml with a password stays readable for everybody",
        edits=(
            Edit(
                "core/gpurent/infra/config/config_access.py",
                "if not is_shared(path):",
                "if path.exists():",
            ),
        ),
        tests=(
            "tests/security/test_own_files.py::test_a_settings_file_is_made_private",
            "tests/security/test_own_files.py::test_a_settings_file_elsewhere_is_not_ours_to_mend",
        ),
    ),
    TestedRoot(
        name="open-folder-above",
        kind="S16",
        summary="others may replace the data folder",
        edits=(
            Edit(f"{_POSIX}/parent_folders.py", "if _is_writable_by_others(folder, found):", "if not found:"),
        ),
        tests=(
            "tests/security/test_own_files.py::test_an_open_folder_above_is_refused",
            "tests/security/test_own_files.py::test_a_link_does_not_hide_an_open_folder",
        ),
    ),
    TestedRoot(
        name="open-key-file",
        kind="S16",
        summary="a private key that others can read is used",
        edits=(
            Edit(
                "core/gpurent/infra/ssh/connector.py",
                "            check_private_file(path, file.fileno())\n",
                "",
            ),
        ),
        tests=("tests/security/test_own_files.py::test_an_open_key_file_is_not_used",),
    ),
    TestedRoot(
        name="plugin-changes-untold",
        kind="S16",
        summary="a plugin that was replaced is not told",
        edits=(Edit("core/gpurent/infra/registry/history.py", "if other or not known:", "if not known:"),),
        tests=("tests/security/test_plugin_changes.py::test_a_changed_plugin_is_told_once_by_name",),
    ),
    TestedRoot(
        name="plugin-edits-untold",
        kind="S16",
        summary="a plugin whose installed files were edited is not told",
        edits=(
            Edit(
                "core/gpurent/infra/registry/origins.py",
                "with_code=not _is_released(name, version)",
                "with_code=False",
            ),
        ),
        tests=("tests/security/test_plugin_changes.py::test_an_edited_plugin_is_told_once_by_name",),
    ),
    TestedRoot(
        name="safe-imports-everything",
        kind="S16",
        summary="--safe imports the plugins that it leaves out",
        edits=(
            Edit(
                "core/gpurent/infra/registry/registry.py",
                "            if is_wanted(point):\n",
                "            if is_wanted(point) or point.load():\n",
            ),
        ),
        tests=(
            "tests/security/test_plugin_changes.py::test_with_safe_nothing_of_another_plugin_is_imported",
        ),
    ),
)
