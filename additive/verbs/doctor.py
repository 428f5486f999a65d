"""Check this machine: ok, warn (slower, or with less), fail (cannot work), and the repair.

torch is imported in a child process only: a broken build can take the whole process down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from additive.errors import AdditiveError
from additive.sandbox import available_level
from additive.workspace.bases import resolve_base
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
class MachineCheck:
    """One check: what was measured, and the command that repairs it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    result: str
    help: str = ""


def examine_machine(workspace: Workspace | None, directory: Path) -> tuple[MachineCheck, ...]:
    """Every check, in the order of repair.

    workspace  whose base is checked; None checks the bundled base
    directory  whose disk is measured
    """
    return (
        MachineCheck("python", "ok", f"{sys.version.split()[0]} at {sys.prefix}"),
        _libraries(),
        _torch(),
        _cores(),
        _memory(),
        _disk(directory),
        _sandbox(),
        _base(workspace, directory),
    )


def _libraries() -> MachineCheck:
    """Every library that additive needs, at a version that it allows."""
    try:
        needs = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return MachineCheck("libraries", "warn", "additive is not installed", "pip install -e .")
    requirements = [Requirement(text) for text in needs]
    core = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    faults = {r: fault for r in core if (fault := _fault(r))}
    if faults:
        install = " ".join(f"'{r.name}{r.specifier}'" for r in faults)
        return MachineCheck(
            "libraries", "fail", "; ".join(faults.values()), f"pip install {install}"
        )
    names = ("torch", "transformers", "peft", "trl", "lm-eval")
    return MachineCheck("libraries", "ok", ", ".join(f"{n} {_version(n)}" for n in names))


def _fault(requirement: Requirement) -> str | None:
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} is {version}; expected {requirement.specifier}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> MachineCheck:
    """Whether torch can be imported, and whether its build fits the driver."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_TORCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return MachineCheck(
            "torch", "fail", f"cannot be imported within {_TORCH_TIMEOUT_S} s", "pip install torch"
        )
    if probe.returncode != 0:
        lines = probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"]
        again = "pip install --force-reinstall torch"
        return MachineCheck("torch", "fail", f"cannot be imported: {lines[-1]}", again)
    version, cuda, name = probe.stdout.strip().splitlines()[-1].split("|")
    return judge_torch(version, cuda == "True", name, driver=_driver())


def judge_torch(version: str, cuda: bool, name: str, *, driver: str | None) -> MachineCheck:
    """Whether a torch build fits an NVIDIA driver; `driver` is None on a machine without one."""
    if cuda:
        return MachineCheck("torch", "ok", f"{version} on {name}, driver {driver or 'unknown'}")
    if driver is None:
        return MachineCheck("torch", "ok", f"{version} on the CPU, no NVIDIA driver")
    if "+cpu" in version:
        again = (
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        )
        return MachineCheck(
            "torch", "warn", f"{version} is a CPU build; driver {driver} is loaded", again
        )
    result = f"{version} finds no device; driver {driver} is loaded"
    help = "run nvidia-smi, then install a torch build for that driver's CUDA"
    return MachineCheck("torch", "warn", result, help)


def _driver() -> str | None:
    """The version of the NVIDIA driver, if one is loaded."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    words = text.split("\n")[0].split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


def _cores() -> MachineCheck:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not count or count < 2:
        return MachineCheck("cores", "warn", "1 usable: training and checks take longer")
    return MachineCheck("cores", "ok", f"{count} usable")


def _memory() -> MachineCheck:
    free = available_memory()
    if free is None:
        return MachineCheck("memory", "warn", "free memory cannot be read on this system")
    result = f"{free / 1e9:.1f} GB free"
    if free < _NEED_MEMORY:
        return MachineCheck(
            "memory", "warn", result, "close programs; the tiny base needs about 2 GB"
        )
    return MachineCheck("memory", "ok", result)


def available_memory(
    proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Free memory in bytes, within the limit of the control group; None where it is unknown."""
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


def _disk(directory: Path) -> MachineCheck:
    free = shutil.disk_usage(directory).free
    result = f"{free / 1e9:.1f} GB free at {directory}"
    if not os.access(directory, os.W_OK):
        return MachineCheck(
            "disk", "fail", f"{directory} cannot be written", f"chmod u+w {directory}"
        )
    if free < _NEED_DISK:
        help = "free some space, or work on another disk with -C DIR"
        return MachineCheck("disk", "warn", result, help)
    return MachineCheck("disk", "ok", result)


def _sandbox() -> MachineCheck:
    """The isolation of generated code."""
    level = available_level()
    if level is None or str(level) in ("none", "refused"):
        result = "none: suites with a code grader are refused"
        return MachineCheck("sandbox", "warn", result, "apt-get install bubblewrap")
    return MachineCheck("sandbox", "ok", str(level))


def _base(workspace: Workspace | None, directory: Path) -> MachineCheck:
    """The base of the workspace, or the bundled one; nothing is fetched."""
    try:
        if workspace is None:
            base = resolve_base("tiny", directory, None, offline=True)
            return MachineCheck("base", "ok", f"{base.id} at {base.directory} (no workspace here)")
        spec = workspace.spec.base
        revision = spec.revision or workspace.pinned_revision()
        base = resolve_base(spec.model, workspace.root, revision, offline=True)
    except AdditiveError as error:
        return MachineCheck("base", "fail", str(error).replace("\n", "; "), error.help or "")
    return MachineCheck("base", "ok", f"{base.id} at {base.directory}")
