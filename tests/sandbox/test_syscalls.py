"""The filter's numbers are the kernel's, and it lets through what its list says, no more."""

from __future__ import annotations

import platform
import re
import struct
from pathlib import Path

import pytest

from additive.sandbox.inside import syscalls

HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    1: Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, PID = 0x7FFF0000, 4321


@pytest.mark.parametrize("column", [0, 1])
def test_numbers_are_those_of_the_kernel_headers(column):
    path = HEADERS[column]
    if not path.is_file():
        pytest.skip(f"{path} is not installed")
    text = path.read_text()
    known = {n: int(v) for n, v in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    known |= {"newfstatat": known.get("newfstatat", known.get("fstatat", -1))}
    table = {**syscalls._ALWAYS, **syscalls._READING, **syscalls._ASKED}
    wrong = {
        name: (numbers[column], known.get(name))
        for name, numbers in table.items()
        if numbers[column] >= 0 and known.get(name) != numbers[column]
    }
    assert wrong == {}


def decide(program, number, *arguments, architecture=0xC000003E):
    """What the filter returns for a call: a small interpreter of its instructions."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *values)
    lines = [struct.unpack("<HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    place, held = 0, 0
    while True:
        code, true, false, k = lines[place]
        place += 1
        if code == 0x06:
            return k
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, k)
        else:
            holds = {0x15: held == k, 0x35: held >= k, 0x45: bool(held & k)}[code]
            place += true if holds else false


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return lambda files=True: syscalls.program(PID, files)


def test_what_is_let_through(program):
    code = program()
    table = {"read": 0, "mmap": 9, "futex": 202, "getrandom": 318, "stat": 4}
    assert all(decide(code, number) == ALLOW for number in table.values())
    assert decide(code, 257, 0, 0, 0) == ALLOW  # openat, reading
    assert decide(code, 62, PID, 9) == ALLOW  # kill, oneself
    assert decide(code, 56, 0x10000) == ALLOW  # clone, a thread


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (41, ()), (42, ()), (49, ()), (53, ()),  # socket, connect, bind, socketpair
        (57, ()), (58, ()), (59, ()), (322, ()), (56, (0,)), (435, ()),  # fork, exec, clone
        (62, (PID + 1,)), (62, (2**64 - 1,)), (200, (PID,)), (234, (1,)), (129, ()),  # signals
        (257, (0, 0, 1)), (257, (0, 0, 2)), (257, (0, 0, 0o100)), (2, (0, 1)),  # writing
        (82, ()), (83, ()), (84, ()), (87, ()), (90, ()), (319, ()),  # rename, mkdir, …, memfd
        (101, ()), (310, ()), (311, ()), (321, ()), (425, ()), (157, ()), (160, ()),
        (165, ()), (272, ()), (308, ()), (155, ()), (161, ()), (169, ()), (9999, ()),
        (302, (0, 7, 1)), (302, (0, 7, 1 << 32)), (16, (1, 0x5412)), (72, (1, 8)),
        (0x40000000, ()), (0x40000000 + 57, ()),
    ],
)  # fmt: skip
def test_what_is_refused(program, number, arguments):
    assert decide(program(), number, *arguments) != ALLOW


def test_other_architectures_are_killed(program):
    assert decide(program(), 0, architecture=0x40000003) == 0x80000000


def test_without_files_nothing_is_opened(program):
    code = program(files=False)
    assert decide(code, 0) == ALLOW
    for number, arguments in (
        (257, ()),
        (2, ()),
        (4, ()),
        (21, ()),
        (217, ()),
        (262, (0, 0, 0, 0)),
    ):
        assert decide(code, number, *arguments) != ALLOW
    assert decide(code, 262, 0, 0, 0, 0x1000) == ALLOW  # the state of an open descriptor
