"""What this machine has, judged: ok, warn (slower or less), fail (cannot work), and what mends it.

torch is only imported in a child process: importing a broken build can take the whole process down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from additive.errors import AdditiveError
from additive.sandbox import available_level
from additive.workspace.bases import resolve_base
from additive.workspace.environment import Environment
from additive.workspace.workspace import Workspace

DISTRIBUTION = "additive-merge"


_NEED_DISK = 2 << 30


_NEED_MEMORY = 2 << 30


_TORCH_TIMEOUT_S = 120


_PROBE = (
    "import torch; ok = torch.cuda.is_available();"
    "print(torch.__version__, ok, torch.cuda.get_device_name(0) if ok else '-', sep='|')"
)


@dataclass(frozen=True)
class Check:
    """One judgement; `mend` is the command that changes it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def examine_machine(workspace: Workspace | None, directory: Path) -> tuple[Check, ...]:
    """Every check, in the order in which a user would mend them."""
    return (
        _python(),
        _libraries(),
        _torch(),
        _cores(),
        _memory(),
        _disk(directory),
        _sandbox(),
        _base(workspace, directory),
    )


def _python() -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]} at {sys.prefix}")


def _libraries() -> Check:
    """Every library that additive needs, at a version that it allows."""
    try:
        needs = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Check("libraries", "warn", "additive is not installed", "pip install -e .")
    wanted = [Requirement(text) for text in needs]
    core = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    faults = [fault for need in core if (fault := _lacking(need))]
    if faults:
        mend = " ".join(f"'{need.name}{need.specifier}'" for need in core if _lacking(need))
        return Check("libraries", "fail", "; ".join(faults), f"pip install {mend}")
    names = ("torch", "transformers", "peft", "trl", "lm-eval")
    return Check("libraries", "ok", ", ".join(f"{n} {_version(n)}" for n in names))


def _lacking(need: Requirement) -> str | None:
    version = _version(need.name)
    if version is None:
        return f"{need.name} is missing"
    if need.specifier.contains(version, prereleases=True):
        return None
    return f"{need.name} is {version}; expected {need.specifier}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> Check:
    """Whether torch can be imported, and whether its build fits the driver."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_TORCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("torch", "fail", f"no import within {_TORCH_TIMEOUT_S} s", "pip install torch")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        again = "pip install --force-reinstall torch"
        return Check("torch", "fail", f"cannot be imported: {lines[-1]}", again)
    version, cuda, name = done.stdout.strip().splitlines()[-1].split("|")
    return judge_torch(version, cuda == "True", name, driver=_driver())


def judge_torch(version: str, cuda: bool, name: str, *, driver: str | None) -> Check:
    """Whether a torch build fits an NVIDIA driver; `driver` is None on a machine without one."""
    if cuda:
        return Check("torch", "ok", f"{version} on {name}, driver {driver or 'unknown'}")
    if driver is None:
        return Check("torch", "ok", f"{version} on the CPU, no NVIDIA driver here")
    if "+cpu" in version:
        again = (
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        )
        return Check("torch", "warn", f"{version} is a CPU build, driver {driver} is here", again)
    found = f"{version} finds no device although driver {driver} is here"
    return Check("torch", "warn", found, "nvidia-smi; then a torch build for that driver's CUDA")


def _driver() -> str | None:
    """The version of the NVIDIA driver, if one is loaded."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    words = text.split("\n")[0].split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{count or 1} usable"
    if (count or 1) < 2:
        return Check("cores", "warn", f"{found}: training and checks take longer")
    return Check("cores", "ok", found)


def _memory() -> Check:
    free = available_memory()
    if free is None:
        return Check("memory", "warn", "free memory cannot be read on this system")
    found = f"{free / 1e9:.1f} GB free"
    if free < _NEED_MEMORY:
        return Check("memory", "warn", found, "close programs; the tiny base needs about 2 GB")
    return Check("memory", "ok", found)


def available_memory(
    proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that may still be taken: what the system has free and the control group allows."""
    free = _number_after(proc / "meminfo", "MemAvailable:", 1024)
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    if limit is not None and used is not None:
        free = min(limit - used, free if free is not None else limit - used)
    return free


def _number_after(path: Path, key: str, unit: int) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * unit for line in lines if line.startswith(key)), None)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _disk(directory: Path) -> Check:
    free = shutil.disk_usage(directory).free
    found = f"{free / 1e9:.1f} GB free at {directory}"
    if not os.access(directory, os.W_OK):
        return Check("disk", "fail", f"{directory} cannot be written", f"chmod u+w {directory}")
    if free < _NEED_DISK:
        return Check("disk", "warn", found, "free some space, or work on another disk with -C DIR")
    return Check("disk", "ok", found)


def _sandbox() -> Check:
    """On what generated code would run."""
    level = available_level()
    if level is None or str(level) in ("none", "refused"):
        found = "none: suites with a code grader are refused"
        return Check("sandbox", "warn", found, "apt-get install bubblewrap")
    return Check("sandbox", "ok", str(level))


def _base(workspace: Workspace | None, directory: Path) -> Check:
    return _attempt(
        "base",
        lambda: _base_found(workspace, directory),
    )


def _base_found(workspace: Workspace | None, directory: Path) -> str:
    offline = Environment.read().offline
    if workspace is None:
        base = resolve_base("tiny", directory, None, offline=offline)
        return f"{base.id} at {base.directory} (no workspace here)"
    wanted = workspace.spec.base
    revision = wanted.revision or workspace.pinned_revision()
    base = resolve_base(wanted.model, workspace.root, revision, offline=True)
    return f"{base.id} at {base.directory}"


def _attempt(name: str, find: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", find())
    except AdditiveError as error:
        return Check(name, "fail", str(error).replace("\n", "; "), error.help or "")
