"""What benchmarks measure with: jobs in processes of their own, and the machine's limits."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = 1 << 24
# A child imports first, so that its figures are those of the work alone.
_CHILD = """
import json, sys
from {module} import {name}
print("\\n" + json.dumps({name}(json.loads(sys.argv[1]))))
"""


@dataclass(frozen=True)
class Cost:
    """One job: wall and processor seconds, rise of anonymous memory, temporary and written bytes.

    On a machine that is not idle the processor's seconds say more than the wall's.
    `base_read`: bytes of the base's weights that were touched.
    """

    wall: float
    processor: float
    memory: int
    temporary: int = 0
    written: int = 0
    base_read: int = 0


def in_child(module: str, name: str, arguments: dict[str, object], threads: int = 2) -> Cost:
    """Run `name(arguments)` of a module in a fresh process; it gives a Cost as a mapping."""
    return Cost(**child(module, name, arguments, threads))


def child(module: str, name: str, arguments: dict[str, object], threads: int = 2) -> Any:
    """What `name(arguments)` of a module gives in a fresh process, as JSON."""
    code = _CHILD.format(module=module, name=name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        raise SystemExit(f"{module}:{name} failed\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def costed(work: Callable[[], object], temporary: Path | None = None, out: Path | None = None):
    """Run work in this process: a Cost as a mapping. Sizes of directories are taken afterwards."""
    from tests.merge.measuring import peak_while

    wall = processor = 0.0

    def timed() -> None:
        nonlocal wall, processor
        started, used = time.perf_counter(), time.process_time()
        work()
        wall, processor = time.perf_counter() - started, time.process_time() - used

    memory = peak_while(timed)
    return asdict(Cost(wall, processor, memory, size_of(temporary), size_of(out)))


def size_of(directory: Path | None) -> int:
    """Bytes of all files below a directory."""
    if directory is None or not directory.exists():
        return 0
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def io_seconds(directories: Iterable[Path], written: int, probe: Path) -> float:
    """T_io: reading every weight file of some directories once, and writing so many bytes once with
    fsync.
    """
    start = time.perf_counter()
    for directory in directories:
        for path in sorted(directory.glob("*.safetensors")):
            with path.open("rb", buffering=0) as file:
                while file.read(_BLOCK):
                    pass
    block = os.urandom(_BLOCK)
    with probe.open("wb", buffering=0) as file:
        for offset in range(0, written, _BLOCK):
            file.write(block[: min(_BLOCK, written - offset)])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    probe.unlink()
    return seconds


def sgemm_rate() -> float:
    """Float32 operations per second of a product on all cores."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return 2 * 2048**3 / _best(lambda: a @ b)


def sha256_rate() -> float:
    """Bytes per second of sha256 on all cores: one core's rate times their number."""
    data = os.urandom(1 << 26)
    return len(data) * (os.cpu_count() or 1) / _best(lambda: hashlib.sha256(data).digest())


def _best(work: Callable[[], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def hardware() -> str:
    """The machine in a line: processor, cores, memory, versions."""
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", info)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = found[1] if found else platform.machine()
    bits = " with AMX" if "amx_tile" in info else ""
    return (
        f"{name}{bits}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()},"
        f" torch {torch.__version__}"
    )


def load() -> str:
    """What else was running: the load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def fill(page: Path, mark: str, text: str) -> None:
    """Put a text between `<!-- measured: MARK -->` and the next `<!-- end -->` of a page, or at its
    end.
    """
    start, end = f"<!-- measured: {mark} -->\n", "<!-- end -->"
    said = page.read_text(encoding="utf-8") if page.exists() else ""
    before, found, rest = said.partition(start)
    if not found or end not in rest:
        page.write_text(f"{said}\n{start}{text}\n{end}\n", encoding="utf-8")
        return
    page.write_text(f"{before}{start}{text}\n{rest[rest.index(end) :]}", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
