"""System calls that a confined process may make; everything else is refused by a seccomp filter.

Numbers are those of x86-64 and of the table that newer architectures share. A list of what is
allowed keeps out what the kernel learns later.
"""

from __future__ import annotations

import platform
import struct

_NONE = -1
# name: (x86-64, generic)
_ALWAYS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "sched_yield": (24, 124),
    "mremap": (25, 216), "mincore": (27, 232), "madvise": (28, 233), "dup": (32, 23),
    "dup2": (33, _NONE), "dup3": (292, 24), "pause": (34, _NONE), "nanosleep": (35, 101),
    "getitimer": (36, 102), "alarm": (37, _NONE), "setitimer": (38, 103), "getpid": (39, 172),
    "exit": (60, 93), "exit_group": (231, 94), "uname": (63, 160), "getcwd": (79, 17),
    "umask": (95, 166), "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165),
    "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "getpgrp": (111, _NONE),
    "getgroups": (115, 158), "getpgid": (121, 155), "getsid": (124, 156), "capget": (125, 90),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "arch_prctl": (158, _NONE), "gettid": (186, 178), "time": (201, _NONE), "futex": (202, 98),
    "sched_getaffinity": (204, 123), "set_tid_address": (218, 96), "restart_syscall": (219, 128),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "set_robust_list": (273, 99), "get_robust_list": (274, 100), "poll": (7, _NONE),
    "ppoll": (271, 73), "select": (23, _NONE), "pselect6": (270, 72), "pipe": (22, _NONE),
    "pipe2": (293, 59), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, _NONE), "epoll_pwait": (281, 22), "eventfd2": (290, 19),
    "getcpu": (309, 168), "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
}  # fmt: skip
_READING = {
    "stat": (4, _NONE), "lstat": (6, _NONE), "access": (21, _NONE), "readlink": (89, _NONE),
    "statfs": (137, 43), "fstatfs": (138, 44), "getdents64": (217, 61), "readlinkat": (267, 78),
    "faccessat": (269, 48), "statx": (332, 291), "faccessat2": (439, 439),
}  # fmt: skip
_ASKED = {
    "open": (2, _NONE), "ioctl": (16, 29), "clone": (56, 220), "kill": (62, 129),
    "fcntl": (72, 25), "tgkill": (234, 131), "openat": (257, 56), "newfstatat": (262, 79),
    "prlimit64": (302, 261), "clone3": (435, 435),
}  # fmt: skip
_ARCHITECTURES = {
    "x86_64": (0, 0xC000003E),
    "aarch64": (1, 0xC00000B7),
    "riscv64": (1, 0xC00000F3),
    "loongarch64": (1, 0xC0000102),
}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EAGAIN, _EACCES, _ENOTTY, _ENOSYS = 1, 11, 13, 25, 38
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o20000000  # write, create, truncate, append
_EMPTY_PATH = 0x1000
_FCNTL = (0, 1, 2, 3, 4, 1030)  # duplicate, flags of the descriptor, flags of the file
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, blocking, inheritable


def supported() -> bool:
    """Whether the numbers of this machine's system calls are known."""
    return platform.system() == "Linux" and platform.machine() in _ARCHITECTURES


def program(pid: int, files: bool) -> bytes:
    """The filter as an array of BPF instructions, for the process `pid`.

    Args: files says whether files may be opened for reading at all.
    """
    column, architecture = _ARCHITECTURES[platform.machine()]
    lines = [
        _op(_LOAD, 4),
        _op(_EQUAL, architecture, 1, 0),
        _op(_RETURN, _KILL),
        _op(_LOAD, 0),
        *([_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, _REFUSE | _EPERM)] if column == 0 else []),
    ]
    for numbers in [*_ALWAYS.values(), *(_READING.values() if files else [])]:
        if numbers[column] != _NONE:
            lines += [_op(_EQUAL, numbers[column], 0, 1), _op(_RETURN, _ALLOW)]
    for name, body in _conditions(pid, files).items():
        number = _ASKED[name][column]
        if number != _NONE:
            lines += [_op(_EQUAL, number, 0, len(body)), *body]
    return b"".join([*lines, _op(_RETURN, _REFUSE | _EPERM)])


def _conditions(pid: int, files: bool) -> dict[str, list[bytes]]:
    return {
        "open": _unless_bits(1, _WRITING) if files else [_op(_RETURN, _REFUSE | _EACCES)],
        "openat": _unless_bits(2, _WRITING) if files else [_op(_RETURN, _REFUSE | _EACCES)],
        "newfstatat": [_op(_RETURN, _ALLOW)] if files else _if_bits(3, _EMPTY_PATH, _EACCES),
        "clone": _if_bits(0, _CLONE_THREAD, _EAGAIN),
        "clone3": [_op(_RETURN, _REFUSE | _ENOSYS)],
        "kill": _if_one_of(0, (pid,), _EPERM),
        "tgkill": _if_one_of(0, (pid,), _EPERM),
        "fcntl": _if_one_of(1, _FCNTL, _EPERM),
        "ioctl": _if_one_of(1, _IOCTL, _ENOTTY),
        "prlimit64": [
            _op(_LOAD, _argument(2)),
            _op(_EQUAL, 0, 0, 3),
            _op(_LOAD, _argument(2) + 4),
            _op(_EQUAL, 0, 0, 1),
            _op(_RETURN, _ALLOW),
            _op(_RETURN, _REFUSE | _EPERM),
        ],
    }


def _unless_bits(argument: int, bits: int) -> list[bytes]:
    return [
        _op(_LOAD, _argument(argument)),
        _op(_ANY_BIT, bits, 0, 1),
        _op(_RETURN, _REFUSE | _EACCES),
        _op(_RETURN, _ALLOW),
    ]


def _if_bits(argument: int, bits: int, error: int) -> list[bytes]:
    return [
        _op(_LOAD, _argument(argument)),
        _op(_ANY_BIT, bits, 0, 1),
        _op(_RETURN, _ALLOW),
        _op(_RETURN, _REFUSE | error),
    ]


def _if_one_of(argument: int, values: tuple[int, ...], error: int) -> list[bytes]:
    lines = [_op(_LOAD, _argument(argument))]
    for value in values:
        lines += [_op(_EQUAL, value, 0, 1), _op(_RETURN, _ALLOW)]
    return [*lines, _op(_RETURN, _REFUSE | error)]


def _argument(index: int) -> int:
    """Offset of the low half of an argument; all machines of the table are little-endian."""
    return 16 + 8 * index


def _op(code: int, k: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, true, false, k)
