"""Taking rights away from the calling process, for good.

Landlock leaves nothing to read but Python's own library; the seccomp filter leaves no process to
start, no socket, no file to write, no signal to anybody else; limits bound memory and time. Each
returns or raises; none can be undone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
from collections.abc import Sequence

from . import syscalls

_NO_NEW_PRIVS, _SET_SECCOMP, _SET_DUMPABLE, _FILTER = 38, 22, 4, 2
_CAPSET = {"x86_64": 126}.get(os.uname().machine, 91)
_CAPABILITIES_3 = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_PATH_BENEATH = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # ABI: number of rights on files
_OUTPUT_BYTES = 1 << 20


def drop_privileges() -> None:
    """No new privileges by executing, no capabilities, no debugger from the same user."""
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_SET_DUMPABLE, 0)
    header = struct.pack("<Ii", _CAPABILITIES_3, 0)
    _call(_CAPSET, header, bytes(24))


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Bounds on memory, time, files and processes; lower ones that hold already stay."""
    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: _OUTPUT_BYTES,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 64,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in wanted.items():
        _, hard = resource.getrlimit(kind)
        lower = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(kind, (lower, lower))


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 when there is none."""
    return max(0, _call(_CREATE_RULESET, None, 0, 1))


def read_only(paths: Sequence[str]) -> None:
    """Landlock: of all files, only those beneath `paths` can be read; none written or executed.

    Raises: OSError when the kernel has no Landlock.
    """
    version = landlock_version()
    rights = (1 << _FILE_RIGHTS.get(min(version, 5), 13)) - 1
    network = 3 if version >= 4 else 0
    scopes = 3 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("<QQQ", rights, network, scopes)[:size]
    ruleset = _check(_call(_CREATE_RULESET, attributes, size, 0))
    for path in paths:
        _allow_reading(ruleset, path)
    _prctl(_NO_NEW_PRIVS, 1)
    _check(_call(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def filter_calls(files: bool) -> None:
    """The seccomp filter of `syscalls`, for this process alone.

    Raises: OSError when the kernel refuses it.
    """
    code = syscalls.program(os.getpid(), files)
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(program, len(program)))


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
    rule = struct.pack("<Qi", rights, file)
    _check(_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    os.close(file)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    """A system call; whole registers, since libc's `syscall` takes longs."""
    longs = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _libc().syscall(ctypes.c_long(number), *longs)


def _prctl(option: int, value: int, extra: ctypes.Array[ctypes.c_char] | None = None) -> None:
    pointer = ctypes.addressof(extra) if extra is not None else 0
    arguments = [ctypes.c_ulong(number) for number in (value, pointer, 0, 0)]
    _check(_libc().prctl(ctypes.c_int(option), *arguments))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
