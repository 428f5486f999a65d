"""What can hold generated code on this machine, from the strongest level down.

    bwrap+seccomp       own namespaces: of files, only Python's library is there; no network, no
                        other process in sight
    landlockN+seccomp   files: Landlock (ABI N) lets nothing but Python's library be read (that a
                        file exists can be seen)
    seccomp             no file can be opened at all, so modules that are not loaded yet are missing

On every level a seccomp filter allows a short list of system calls: no process is
started, no socket opened (TCP, UDP, Unix), no file written, no signal sent to others. The level is
part of what is recorded with a result.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from additive.errors import SecurityError
from additive.sandbox.inside import confine, syscalls

_PACKAGE = Path(__file__).parent


_LIBRARIES = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LANG": "C.UTF-8"}


_MOUNTED = "/sandbox"


_PROBE_S = 30.0


@dataclass(frozen=True)
class SandboxLevel:
    """One way to hold code: how its server is started, and what it has to be told."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    files: str
    filter: bool
    readable: tuple[str, ...]

    def settings(self, memory_mb: int) -> dict[str, object]:
        """The first line that the server reads."""
        return {
            "memory_mb": memory_mb,
            "files": self.files,
            "filter": self.filter,
            "readable": list(self.readable),
        }


def available_level() -> str:
    """The name of the strongest level that works here.

    Raises: SecurityError when there is none: code is never run unconfined.
    """
    return strongest_level().name


@functools.cache
def strongest_level() -> SandboxLevel:
    """The strongest level that works here, found once per process by trying.

    Raises: as `available_level`.
    """
    for level in sandbox_levels():
        if works(level):
            return level
    raise SecurityError(
        "this machine has nothing that can hold generated code, so no such code is run: that takes"
        " Linux with seccomp, on x86-64 or ARM",
        help="run suites with the grader code, or with a verifier, on Linux",
    )


def sandbox_levels() -> tuple[SandboxLevel, ...]:
    """The levels that this machine seems to have, strongest first; `works` tries one."""
    if not syscalls.supported():
        return ()
    found = []
    bwrap = shutil.which("bwrap")
    if bwrap:
        found.append(_bubblewrap(bwrap))
    version = confine.landlock_version()
    if version:
        readable = (*_LIBRARIES, *_python(), str(_PACKAGE / "inside"))
        found.append(_plain(f"landlock{version}+seccomp", "landlock", True, readable))
    found.append(_plain("seccomp", "none", True, ()))
    return tuple(found)


def works(level: SandboxLevel) -> bool:
    """Whether a server comes up on this level and says so."""
    import json

    try:
        done = subprocess.run(
            level.command,
            input=json.dumps(level.settings(512)) + "\n",
            env=dict(level.environment),
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == '{"ready": true}'


def _plain(name: str, files: str, filter: bool, readable: tuple[str, ...]) -> SandboxLevel:
    command = _server(str(_PACKAGE))
    return SandboxLevel(name, command, tuple(_ENVIRONMENT.items()), files, filter, readable)


def _bubblewrap(bwrap: str) -> SandboxLevel:
    binds = [part for path in _LIBRARIES for part in ("--ro-bind-try", path, path)]
    binds += [part for path in _python() for part in ("--ro-bind", path, path)]
    environment = [part for pair in _ENVIRONMENT.items() for part in ("--setenv", *pair)]
    command = (
        bwrap,
        *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--clearenv", *environment, *binds),
        *("--ro-bind", str(_PACKAGE / "inside"), f"{_MOUNTED}/inside", "--chdir", "/", "--"),
        *_server(_MOUNTED),
    )
    return SandboxLevel("bwrap+seccomp", command, (), "all", True, ())


def _server(directory: str) -> tuple[str, ...]:
    """The base interpreter, without site-packages, running the server from a directory."""
    start = f"import sys; sys.path.insert(0, {directory!r}); from inside.server import main; main()"
    return (os.path.realpath(sys.executable), "-S", "-s", "-P", "-B", "-c", start)


def _python() -> tuple[str, ...]:
    """The interpreter, its standard library, and its shared library if it is linked to one."""
    binary = os.path.realpath(sys.executable)
    paths = [binary, sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    shared = sysconfig.get_config_var("LDLIBRARY")
    directory = sysconfig.get_config_var("LIBDIR")
    if shared and directory and sysconfig.get_config_var("Py_ENABLE_SHARED"):
        paths += [str(path) for path in Path(directory).glob(f"{shared}*")]
    return tuple(dict.fromkeys(path for path in paths if os.path.exists(path)))
