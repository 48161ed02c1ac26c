"""The roots in project files and in files: S1, S4, S8, S9."""

from __future__ import annotations

from tests.roots.root import Edit, TestedRoot

_DOMAIN = "core/gpurent/domain"
_SECURITY = "tests/security"
_LOCAL_FILES = "core/gpurent/infra/platform/posix/local_files.py"
_PROJECT_FILE = "core/gpurent/infra/config/project_file.py"
_RECEIVER = "plugins/turbo/src/gpurent_plugin_turbo/far/receiver.py"
_LEFT_OUT = "core/gpurent/workflow/connection/left_out.py"
_NAME_POLICY = f"{_DOMAIN}/name_policy.py"
_SAFE_DIR = "core/gpurent/roles/safe_dir.py"

FILE_ROOTS = (
    TestedRoot(
        name="project-starts-unasked",
        kind="S1",
        summary="the project file of a fresh clone starts a trip, trusted or not",
        edits=(
            Edit(
                "core/gpurent/cli/project_trust.py",
                "if trust is not ProjectTrust.TRUSTED:",
                "if trust is None:",
            ),
        ),
        tests=(f"{_SECURITY}/test_project_trust.py::test_a_cloned_project_file_starts_nothing_unasked",),
    ),
    TestedRoot(
        name="minus-y-trusts",
        kind="S1",
        summary="-y answers whether the project file is trusted",
        edits=(
            Edit(
                "core/gpurent/cli/project_trust.py",
                "terminal = UserTerminal(quiet=app.as_json, no_input=app.no_input)",
                "terminal = UserTerminal(quiet=app.as_json, no_input=app.no_input, yes=app.yes)",
            ),
        ),
        tests=(f"{_SECURITY}/test_project_trust.py::test_yes_in_advance_is_no_trust",),
    ),
    TestedRoot(
        name="changed-project-stays-trusted",
        kind="S1",
        summary="a project file that was trusted may change",
        edits=(
            Edit(
                "core/gpurent/infra/config/trusted_projects.py",
                "same = (known.sha256, known.owner) == (project.sha256, project.owner)",
                "same = known.owner == project.owner",
            ),
        ),
        tests=(f"{_SECURITY}/test_project_trust.py::test_a_changed_file_is_asked_about_again",),
    ),
    TestedRoot(
        name="links-are-followed",
        kind="S1",
        summary="O_NOFOLLOW is dropped: folders below a project are opened through links",
        edits=(
            Edit(
                _LOCAL_FILES,
                "_FOLDER_FLAGS = _FOLLOWED_FLAGS | os.O_NOFOLLOW",
                "_FOLDER_FLAGS = _FOLLOWED_FLAGS",
            ),
        ),
        tests=(
            f"{_SECURITY}/test_file_layer.py::test_no_path_of_a_project_goes_through_a_link",
            f"{_SECURITY}/test_file_layer.py::test_a_backend_follows_no_link_to_a_source",
            f"{_SECURITY}/test_file_layer.py::test_a_link_that_comes_during_an_upload_is_not_followed",
            f"{_SECURITY}/test_file_layer.py::test_a_download_follows_no_link_to_its_folder",
        ),
    ),
    TestedRoot(
        name="results-become-hooks",
        kind="S1",
        summary="a project file may name .git, .vscode, .ssh",
        edits=(Edit(_PROJECT_FILE, "if name := find_auto_run_name(path, home):", "if name := path[:0]:"),),
        tests=(
            f"{_SECURITY}/test_project_paths.py::test_results_do_not_become_hooks",
            f"{_SECURITY}/test_project_paths.py::test_no_path_of_the_file_runs_by_itself",
        ),
    ),
    TestedRoot(
        name="paths-leave-the-project",
        kind="S1",
        summary="a path of a project file may lead up, to a root or to another drive",
        edits=(Edit(_PROJECT_FILE, "if leaves_folder(path):", "if leaves_folder(path[:0]):"),),
        tests=(f"{_SECURITY}/test_project_paths.py::test_no_path_leaves_the_folder",),
    ),
    TestedRoot(
        name="project-loosens-limits",
        kind="S1",
        summary="a project file's limit counts, also where the user's own is tighter",
        edits=(
            Edit(f"{_DOMAIN}/tightening.py", "return min(given, own)", "return given"),
            Edit(f"{_DOMAIN}/tightening.py", "return max(given, own)\n", "return given\n"),
            Edit(
                f"{_DOMAIN}/tightening.py", "return max(given, own, key=field.choices.index)", "return given"
            ),
        ),
        tests=(
            f"{_SECURITY}/test_project_limits.py::test_a_project_file_loosens_no_guard",
            f"{_SECURITY}/test_project_limits.py::test_a_project_file_loosens_no_examination",
        ),
    ),
    TestedRoot(
        name="open-folders-on-the-machine",
        kind="S4",
        summary="umask 077 is dropped: gpurent's folders on a machine are open to all",
        edits=(
            Edit("core/gpurent/remote/own_folders.py", "(umask 077; mkdir", "(umask 0; mkdir"),
            Edit(
                "core/gpurent/remote/own_folders.py",
                'case $1 in d???------*) ;; *) chmod 700 "$own_dir" || exit 1 ;; esac',
                ":",
            ),
            Edit(_RECEIVER, "        if found.st_mode & 0o077:\n", "        if found.st_mode < 0:\n"),
        ),
        tests=(
            f"{_SECURITY}/test_machine_folders.py::test_open_folders_are_mended",
            f"{_SECURITY}/test_machine_folders.py::test_what_a_job_leaves_is_for_its_user_alone",
        ),
    ),
    TestedRoot(
        name="open-upload-folders",
        kind="S4",
        summary="turbo makes ~/gpurent with the machine's umask",
        edits=(Edit(_RECEIVER, "os.mkdir(folder, 0o700)", "os.mkdir(folder)"),),
        tests=(f"{_SECURITY}/test_machine_folders.py::test_what_an_upload_makes_is_for_its_user_alone",),
    ),
    TestedRoot(
        name="folder-of-somebody-else",
        kind="S4",
        summary="a folder on the machine is used, whoever made it",
        edits=(
            Edit("core/gpurent/remote/own_folders.py", '[ "$3" = "$(id -u)" ] ;;', ": ;;"),
            Edit("core/gpurent/remote/own_folders.py", "      *) false ;;", "      *) : ;;"),
        ),
        tests=(f"{_SECURITY}/test_machine_folders.py::test_no_job_starts_in_a_folder_that_is_not_ours",),
    ),
    TestedRoot(
        name="hooks-come-home",
        kind="S8",
        summary="a download brings .git/hooks, .envrc, .vscode under their names",
        edits=(
            Edit(
                _NAME_POLICY,
                "        if name in AUTO_RUN_NAMES:\n            return True",
                "        if not name:\n            return True",
            ),
        ),
        tests=(f"{_SECURITY}/test_results_paths.py::test_nothing_that_runs_by_itself_comes_home",),
    ),
    TestedRoot(
        name="download-becomes-a-repository",
        kind="S8",
        summary="a file HEAD comes home, and git takes its folder for a repository with settings that run",
        edits=(Edit(_NAME_POLICY, "            return not is_folder\n", "            return False\n"),),
        tests=(f"{_SECURITY}/test_results_paths.py::test_no_downloaded_folder_is_a_repository",),
    ),
    TestedRoot(
        name="own-repository-gets-settings",
        kind="S8",
        summary="a download brings config and hooks into a repository without .git that is here",
        edits=(
            Edit(
                _NAME_POLICY,
                "in REPOSITORY_AUTO_RUN_NAMES and self.is_repository(path[:-1])",
                "in REPOSITORY_AUTO_RUN_NAMES and not path",
            ),
        ),
        tests=(f"{_SECURITY}/test_results_paths.py::test_a_repository_of_the_user_gets_no_configuration",),
    ),
    TestedRoot(
        name="home-is-a-results-folder",
        kind="S8",
        summary="results may be written into the home folder itself",
        edits=(
            Edit(
                "core/gpurent/workflow/connection/local_folder.py",
                "if folder.resolve() == Path.home().resolve():",
                "if not folder.resolve():",
            ),
        ),
        tests=(f"{_SECURITY}/test_results_paths.py::test_the_home_folder_is_no_results_folder",),
    ),
    TestedRoot(
        name="machine-decides-uploads",
        kind="S8",
        summary="an ignore file of the machine takes the place of the user's own",
        edits=(
            Edit(
                "core/gpurent/roles/file_places.py",
                "if is_own_name and is_ignore_file(place):",
                "if is_own_name and not place:",
            ),
            Edit(
                "core/gpurent/roles/file_places.py",
                "is_closed = place == name[-1] and is_ignore_file(place)",
                "is_closed = not place",
            ),
        ),
        tests=(f"{_SECURITY}/test_results_paths.py::test_a_machine_does_not_decide_what_is_uploaded",),
    ),
    TestedRoot(
        name="free-space-not-compared",
        kind="S9",
        summary="a download begins that is larger than the free space",
        edits=(
            Edit(_SAFE_DIR, "if self._reserved_bytes > self._free_bytes:", "if self._reserved_bytes < 0:"),
        ),
        tests=(f"{_SECURITY}/test_download_space.py::test_more_than_the_disk_holds_is_not_begun",),
    ),
    TestedRoot(
        name="archive-space-not-compared",
        kind="S9",
        summary="the archive of what stays out begins, however large it is",
        edits=(
            Edit(
                _LEFT_OUT,
                "if needed > (free := tree.measure_free_bytes()):",
                "if needed < (free := 0):",
            ),
        ),
        tests=(f"{_SECURITY}/test_download_space.py::test_the_archive_is_not_begun_either",),
    ),
    TestedRoot(
        name="download-expands-unasked",
        kind="S9",
        summary="what hardly travelled may fill the disk",
        edits=(
            Edit(
                "core/gpurent/roles/transfer_errors.py",
                "if limits.max_expansion and arrived >",
                "if limits.max_expansion < 0 and arrived >",
            ),
        ),
        tests=(
            f"{_SECURITY}/test_download_space.py::test_what_grows_on_its_way_is_stopped",
            f"{_SECURITY}/test_download_space.py::test_the_archive_does_not_expand_unasked",
        ),
    ),
    TestedRoot(
        name="archive-expands-unasked",
        kind="S9",
        summary="empty files fill the disk by way of the archive of what stays out",
        edits=(
            Edit(
                _LEFT_OUT,
                "check_expansion(self.limits, self.arrived, self.travelled)",
                "self.travelled += 0",
            ),
        ),
        tests=(f"{_SECURITY}/test_download_space.py::test_the_archive_does_not_expand_unasked",),
    ),
)
