"""Private files, file systems and the user's browser, on the system that this is.

The module itself implements `gpurent.ports.system.Platform`. Private files are accessible only to the user from the
moment they are created, and are either complete or absent.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

from gpurent.infra.platform.pages import is_allowed_url as is_allowed_url
from gpurent.infra.platform.storage_errors import make_storage_error as make_storage_error

if sys.platform == "win32":
    from gpurent.infra.platform.windows.browser import (
        has_display as has_display,
        open_in_browser as open_in_browser,
        open_privately as open_privately,
    )
    from gpurent.infra.platform.windows.file_systems import (
        read_file_system_rules as read_file_system_rules,
    )
    from gpurent.infra.platform.windows.parent_folders import (
        check_parent_folders as check_parent_folders,
    )
    from gpurent.infra.platform.windows.private_files import (
        check_private_file as check_private_file,
        create_private_file as create_private_file,
        delete_partial_files as delete_partial_files,
        find_file_owner as find_file_owner,
        find_user_name as find_user_name,
        get_computer_name as get_computer_name,
        get_user_number as get_user_number,
        is_own_file as is_own_file,
        is_shared as is_shared,
        is_writable_by_others as is_writable_by_others,
        make_private as make_private,
        make_private_folder as make_private_folder,
        open_appending as open_appending,
        open_settings_file as open_settings_file,
        read_private_file as read_private_file,
        replace_file as replace_file,
        replace_path as replace_path,
        suggest_private_access as suggest_private_access,
        sync_folder as sync_folder,
        write_new_private_file as write_new_private_file,
        write_private_file as write_private_file,
        write_private_parts as write_private_parts,
    )
    from gpurent.infra.platform.windows.processes import (
        is_own_listener as is_own_listener,
        is_process_running as is_process_running,
    )
else:
    from gpurent.infra.platform.posix.file_systems import read_file_system_rules as read_file_system_rules
    from gpurent.infra.platform.posix.ownership import (
        create_private_file as create_private_file,
        find_file_owner as find_file_owner,
        find_user_name as find_user_name,
        get_computer_name as get_computer_name,
        get_user_number as get_user_number,
        is_own_file as is_own_file,
        is_shared as is_shared,
        is_writable_by_others as is_writable_by_others,
        make_private as make_private,
        open_appending as open_appending,
        open_settings_file as open_settings_file,
        suggest_private_access as suggest_private_access,
    )
    from gpurent.infra.platform.posix.parent_folders import check_parent_folders as check_parent_folders
    from gpurent.infra.platform.posix.system import (
        check_private_file as check_private_file,
        delete_partial_files as delete_partial_files,
        has_display as has_display,
        is_process_running as is_process_running,
        make_private_folder as make_private_folder,
        open_in_browser as open_in_browser,
        open_privately as open_privately,
        read_private_file as read_private_file,
        replace_file as replace_file,
        replace_path as replace_path,
        sync_folder as sync_folder,
        write_new_private_file as write_new_private_file,
        write_private_file as write_private_file,
        write_private_parts as write_private_parts,
    )

    def is_own_listener(port: int) -> bool:
        """Return whether this user accepts connections to a port of this computer; false if that is not known."""
        from gpurent.infra.platform.posix.socket_owner import is_own_listener  # loads `socket`

        return is_own_listener(port)


def open_page(url: str, hosts: Collection[str]) -> bool:
    """Open ``url`` in the browser; False if it is not allowed or no browser is available."""
    return is_allowed_url(url, hosts) and open_in_browser(url)
