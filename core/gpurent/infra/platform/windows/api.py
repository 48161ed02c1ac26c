"""The calls of Windows that Python does not have. Each raises the `OSError` that `os` would raise.

``file`` is a descriptor as `os.open` returns it; ``handle`` is Windows' own. Every call of this module is one that the
tests' fake Windows has, too.
"""

from __future__ import annotations

import ctypes
import errno
import msvcrt
import os
import sys
from ctypes import wintypes
from functools import cache
from typing import Any

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone

_GENERIC_READ, _GENERIC_WRITE, _DELETE, _READ_CONTROL = 0x80000000, 0x40000000, 0x00010000, 0x00020000
_LIST_FOLDER, _READ_ATTRIBUTES, _WRITE_ATTRIBUTES, _SYNCHRONIZE = 0x1, 0x80, 0x100, 0x00100000
_SHARE_READ_WRITE, _SHARE_ALL = 0x3, 0x7
_CREATE_NEW, _OPEN_EXISTING, _OPEN_ALWAYS = 1, 3, 4
_BACKUP_SEMANTICS, _OPEN_LINK_ITSELF = 0x02000000, 0x00200000
_ATTRIBUTE_FOLDER, _ATTRIBUTE_REPARSE = 0x10, 0x400
_NAME_SURROGATE = 0x20000000  # of a reparse tag: it stands for another name, as a link and a junction do
_ATTRIBUTE_TAG_INFO = 9
_INVALID = ctypes.c_void_p(-1).value
_OWNER_AND_LIST = 0x1 | 0x4
_FILE_OBJECT = 1
_REPLACE_AND_WRITE_THROUGH = 0x1 | 0x8
_STILL_RUNNING = 258
_ACCESS_DENIED = 5
_UNIX_EPOCH = 11_644_473_600  # seconds after that of Windows
_LOCK_EXCLUSIVE, _LOCK_AT_ONCE = 0x2, 0x1
_LOCK_VIOLATION, _IO_PENDING = 33, 997
_LOCKED_AT = 1 << 62  # beyond what is ever read, so that the file stays readable for others
_TOKEN_QUERY, _TOKEN_USER = 0x8, 1

_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_security = ctypes.WinDLL("advapi32", use_last_error=True)


class _SecurityAttributes(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    )


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD),
        ("event", wintypes.HANDLE),
    )


_kernel.CreateFileW.restype = wintypes.HANDLE
_kernel.CreateFileW.argtypes = (
    *(wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p),
    *(wintypes.DWORD, wintypes.DWORD, wintypes.HANDLE),
)
_kernel.CreateDirectoryW.argtypes = (wintypes.LPCWSTR, ctypes.c_void_p)
_kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel.GetFileInformationByHandleEx.argtypes = (
    *(wintypes.HANDLE, ctypes.c_int),
    *(ctypes.c_void_p, wintypes.DWORD),
)
_kernel.SetFileTime.argtypes = (wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_kernel.MoveFileExW.argtypes = (wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD)
_kernel.OpenProcess.restype = wintypes.HANDLE
_kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
_kernel.LockFileEx.argtypes = (
    *(wintypes.HANDLE, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD),
    ctypes.POINTER(_Overlapped),
)
_kernel.LocalFree.argtypes = (ctypes.c_void_p,)
_kernel.GetCurrentProcess.restype = wintypes.HANDLE
_kernel.GetConsoleMode.argtypes = (wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD))
_kernel.SetConsoleMode.argtypes = (wintypes.HANDLE, wintypes.DWORD)
_kernel.ReadConsoleW.argtypes = (
    *(wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD),
    *(ctypes.POINTER(wintypes.DWORD), ctypes.c_void_p),
)
_to_descriptor = _security.ConvertStringSecurityDescriptorToSecurityDescriptorW
_to_descriptor.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p)
_to_text = _security.ConvertSecurityDescriptorToStringSecurityDescriptorW
_to_text.argtypes = (ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p)
_security.GetSecurityInfo.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.DWORD, *[ctypes.c_void_p] * 5)
_security.SetFileSecurityW.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p)
_security.ConvertStringSidToSidW.argtypes = (wintypes.LPCWSTR, ctypes.c_void_p)
_security.ConvertSidToStringSidW.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
_security.OpenProcessToken.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p)
_security.GetTokenInformation.argtypes = (
    *(wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p),
    *(wintypes.DWORD, ctypes.POINTER(wintypes.DWORD)),
)


def _check(done: object, path: str = "") -> None:
    if not done:
        error = ctypes.WinError(ctypes.get_last_error())
        raise OSError(error.errno, error.strerror, path or None, error.winerror)


def open_file(
    path: str, *, writes: bool = False, creates: bool = False, must_be_new: bool = False, access: str = ""
) -> int:
    """Open a file, which others may read, replace and delete meanwhile; a link is an error, ELOOP.

    ``access``: the access list (SDDL) of a file that is created.
    """
    wanted = _GENERIC_READ | (_GENERIC_WRITE | _DELETE if writes else 0)
    how = _CREATE_NEW if must_be_new else _OPEN_ALWAYS if creates else _OPEN_EXISTING
    handle = _open(path, wanted, _SHARE_ALL, how, _OPEN_LINK_ITSELF, access)
    try:
        if _find_link_tag(handle, path):  # what a cloud drive keeps elsewhere: opened as any file
            close_handle(handle)
            handle = _open(path, wanted, _SHARE_ALL, _OPEN_EXISTING, 0)
        flags = os.O_BINARY | os.O_NOINHERIT | (os.O_RDWR if writes else os.O_RDONLY)
        return msvcrt.open_osfhandle(handle, flags)
    except BaseException:
        close_handle(handle)
        raise


def pin_folder(path: str) -> int:
    """Open a folder so that nobody can rename or delete it until `close_handle`; a link is an error, ELOOP."""
    wanted = _LIST_FOLDER | _READ_ATTRIBUTES | _READ_CONTROL | _SYNCHRONIZE
    handle = _open(path, wanted, _SHARE_READ_WRITE, _OPEN_EXISTING, _BACKUP_SEMANTICS | _OPEN_LINK_ITSELF)
    try:
        _find_link_tag(handle, path)
        if not _read_attributes(handle, path)[0] & _ATTRIBUTE_FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except BaseException:
        close_handle(handle)
        raise
    return handle


def close_handle(handle: int) -> None:
    _kernel.CloseHandle(handle)


def _open(path: str, wanted: int, share: int, how: int, flags: int, access: str = "") -> int:
    with_access = _make_attributes(access) if access else None
    try:
        found = _kernel.CreateFileW(
            path, wanted, share, ctypes.byref(with_access) if with_access else None, how, flags, None
        )
        _check(found not in (None, _INVALID), path)
    finally:
        if with_access is not None:
            _kernel.LocalFree(with_access.descriptor)
    return int(found)


def _read_attributes(handle: int, path: str) -> tuple[int, int]:
    """Return the attributes and the reparse tag."""
    found = (wintypes.DWORD * 2)()
    size = ctypes.sizeof(found)
    _check(_kernel.GetFileInformationByHandleEx(handle, _ATTRIBUTE_TAG_INFO, ctypes.byref(found), size), path)
    return found[0], found[1]


def _find_link_tag(handle: int, path: str) -> int:
    """Return the reparse tag, zero if there is none; raises ELOOP for one that stands for another name."""
    attributes, tag = _read_attributes(handle, path)
    if not attributes & _ATTRIBUTE_REPARSE:
        return 0
    if tag & _NAME_SURROGATE:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return tag


def make_folder(path: str, access: str) -> None:
    """Create a folder with an access list (SDDL); raises `FileExistsError`."""
    attributes = _make_attributes(access)
    try:
        _check(_kernel.CreateDirectoryW(path, ctypes.byref(attributes)), path)
    finally:
        _kernel.LocalFree(attributes.descriptor)


def _make_attributes(access: str) -> _SecurityAttributes:
    descriptor = ctypes.c_void_p()
    _check(_to_descriptor(access, 1, ctypes.byref(descriptor), None))
    return _SecurityAttributes(ctypes.sizeof(_SecurityAttributes), descriptor, False)


def set_access(path: str, access: str) -> None:
    """Replace the access list of a file or folder."""
    attributes = _make_attributes(access)
    try:
        _check(_security.SetFileSecurityW(path, 0x4, attributes.descriptor), path)
    finally:
        _kernel.LocalFree(attributes.descriptor)


def read_file_access(file: int) -> str:
    """Return owner and access list (SDDL) of an open file."""
    return read_access(msvcrt.get_osfhandle(file))


def read_access(handle: int) -> str:
    descriptor, text = ctypes.c_void_p(), wintypes.LPWSTR()
    failed = _security.GetSecurityInfo(
        handle, _FILE_OBJECT, _OWNER_AND_LIST, None, None, None, None, ctypes.byref(descriptor)
    )
    if failed:
        raise ctypes.WinError(failed)
    try:
        _check(_to_text(descriptor, 1, _OWNER_AND_LIST, ctypes.byref(text), None))
        return _take_text(text)
    finally:
        _kernel.LocalFree(descriptor)


def _take_text(text: Any) -> str:
    found = str(text.value)
    _kernel.LocalFree(ctypes.cast(text, ctypes.c_void_p))
    return found


def expand_sid(name: str) -> str:
    """Return the SID of a two-letter name, such as BA; an unknown name is returned as it is."""
    sid = ctypes.c_void_p()
    if not _security.ConvertStringSidToSidW(name, ctypes.byref(sid)):
        return name
    try:
        return _format_sid(sid)
    finally:
        _kernel.LocalFree(sid)


def _format_sid(sid: Any) -> str:
    text = wintypes.LPWSTR()
    _check(_security.ConvertSidToStringSidW(sid, ctypes.byref(text)))
    return _take_text(text)


@cache
def get_user_sid() -> str:
    """Return the SID of the user of this process."""
    token, size = wintypes.HANDLE(), wintypes.DWORD()
    _check(_security.OpenProcessToken(_kernel.GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)))
    try:
        _security.GetTokenInformation(token, _TOKEN_USER, None, 0, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        _check(_security.GetTokenInformation(token, _TOKEN_USER, found, size, ctypes.byref(size)))
        return _format_sid(ctypes.cast(found, ctypes.POINTER(ctypes.c_void_p))[0])
    finally:
        _kernel.CloseHandle(token)


def replace(source: str, target: str) -> None:
    """Give a file another name, in place of a file that has it; on the disk when this returns."""
    _check(_kernel.MoveFileExW(source, target, _REPLACE_AND_WRITE_THROUGH), target)


def set_file_time(file: int, time: int) -> None:
    """Set the mtime of an open file, in ns since 1970."""
    ticks = max(0, time // 100 + _UNIX_EPOCH * 10_000_000)
    value = ctypes.c_uint64(ticks)
    _check(_kernel.SetFileTime(msvcrt.get_osfhandle(file), None, None, ctypes.byref(value)))


def lock_file(file: int, *, waits: bool) -> bool:
    """Lock an open file until it is closed or its process ends; false if another one has the lock."""
    place = _Overlapped(offset=_LOCKED_AT & 0xFFFFFFFF, offset_high=_LOCKED_AT >> 32)
    flags = _LOCK_EXCLUSIVE | (0 if waits else _LOCK_AT_ONCE)
    if _kernel.LockFileEx(msvcrt.get_osfhandle(file), flags, 0, 1, 0, ctypes.byref(place)):
        return True
    if not waits and ctypes.get_last_error() in (_LOCK_VIOLATION, _IO_PENDING):
        return False
    raise ctypes.WinError(ctypes.get_last_error())


def is_process_running(pid: int) -> bool:
    handle = _kernel.OpenProcess(_SYNCHRONIZE, False, pid)
    if not handle:
        return ctypes.get_last_error() == _ACCESS_DENIED
    try:
        return int(_kernel.WaitForSingleObject(handle, 0)) == _STILL_RUNNING
    finally:
        _kernel.CloseHandle(handle)


def get_language_number() -> int:
    """Return the language of Windows' own windows; its lowest ten bits are the language without the country."""
    return int(_kernel.GetUserDefaultUILanguage())


def open_with_shell(target: str) -> None:
    """Open a file or an address with the program that the user has chosen for it."""
    os.startfile(target)  # noqa: S606 - that is what is meant


def get_console_mode(file: int) -> int | None:
    """Return the mode of a console; None if the file is none."""
    mode = wintypes.DWORD()
    try:
        handle = msvcrt.get_osfhandle(file)
    except OSError:
        return None
    return mode.value if _kernel.GetConsoleMode(handle, ctypes.byref(mode)) else None


def set_console_mode(file: int, mode: int) -> None:
    _check(_kernel.SetConsoleMode(msvcrt.get_osfhandle(file), mode))


def read_console(file: int, most: int) -> str:
    """Return what was typed, at most ``most`` characters; waits for it."""
    found, count = ctypes.create_unicode_buffer(most), wintypes.DWORD()
    _check(_kernel.ReadConsoleW(msvcrt.get_osfhandle(file), found, most, ctypes.byref(count), None))
    return "".join(found[: count.value])
