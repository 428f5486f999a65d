"""The main job on public data: train, freeze, merge, check, on the tiny base or a larger one.

    make real                                               # the bundled base, two cores
    make real REAL_BASE=Qwen/Qwen3-0.6B HF_HUB_OFFLINE=0    # a base of the Hub, with CUDA
    make real REAL_BASE=/models/my-base                     # a directory

Scores of a tiny base are low. They have to be real, printed, and gated: this test asserts that the
job ends with a verdict over all suites, not which one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from additive.workspace.workspace import Workspace
from tests.e2e.command import Done, environment, run
from tests.real.domains import RealDomain, all_domains
from tests.real.fit import fitting
from tests.real.leaks import clean
from tests.real.sources import require_data
from tests.real.workspace import LARGE, SMALL, Budget, fill

NAMES = ("math", "code", "safety")
MERGE = "math+code+safety"


def chosen() -> tuple[str, Budget]:
    """The base to run on, and what there is time for."""
    base = os.environ.get("REAL_BASE") or "tiny"
    return base, SMALL if base == "tiny" else LARGE


def say(text: str) -> None:
    print(text, flush=True)


def command(root: Path, *arguments: str) -> Done:
    """Run a verb as a person would see it: progress as it comes, then the result."""
    say(f"\n$ additive {' '.join(arguments)}")
    ended = subprocess.run(
        [sys.executable, "-m", "additive", *arguments],
        cwd=root,
        env=environment(threads=int(os.environ.get("OMP_NUM_THREADS") or 2)),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    say(ended.stdout.rstrip())
    return Done(ended.returncode, ended.stdout, "")


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A workspace whose domains and suites are public data: cleaned of leaks, cut to what fits."""
    require_data()
    base, budget = chosen()
    root = tmp_path_factory.mktemp("real") / "work"
    assert command(root.parent, "init", root.name, "--base", base).code == 0
    cleaned, found = clean(all_domains(budget.brief))
    for leak in found:
        say(f"leak     {leak}")
    directory = Workspace(root).base_directory()
    fitted = [fitting(domain, directory, budget) for domain in cleaned]
    for domain, lines in fitted:
        for line in lines:
            say(f"fit      {line}")
        say(f"data     {described(domain)}")
    fill(root, [domain for domain, _ in fitted], budget)
    return root


def described(domain: RealDomain) -> str:
    held_out = ", ".join(
        f"{suite} {sum(map(len, tasks.values()))}" for suite, tasks in domain.held_out.items()
    )
    rows = f"{len(domain.train)} rows to train on, {len(domain.validation)} to validate on"
    return f"{domain.name}: {rows}; held out: {held_out}"


@pytest.mark.real
def test_the_main_job_on_public_data(work):
    assert command(work, "lint").code == 0
    for name in NAMES:
        assert command(work, "train", name).code == 0
    merged = command(work, "merge", *NAMES)
    assert merged.code in (0, 1)

    checked = run(work, "check", MERGE, "--json")
    assert checked.code == merged.code
    suites = checked.json["suites"]
    assert {suite["domain"] for suite in suites} >= set(NAMES)
    assert {suite["suite"].partition("/")[0] for suite in suites} >= {"math-gsm8k", "code-mbpp"}
    for suite in suites:
        assert suite["n"] >= 50
        assert all(0 <= suite[model] <= 1 for model in ("base", "merged"))
        assert suite["role"] == "guard" or 0 <= suite["specialist"] <= 1
        assert suite["interval"][0] <= suite["difference"] <= suite["interval"][1]
        assert suite["verdict"] in ("pass", "fail", "cannot tell")
    assert (merged.code == 0) == (checked.json["verdict"] == "pass")
    assert command(work, "verify").code == 0


@pytest.mark.real
def test_the_merge_answers_like_any_model_of_transformers(work):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = run(work, "merge", *NAMES, "--no-check", "--json").json["path"]
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    message = [{"role": "user", "content": "Tom has 12 apples and buys 7. How many has he?"}]
    asked = tokenizer.apply_chat_template(
        message, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, max_new_tokens=24, do_sample=False)
    assert answer.shape[1] > asked["input_ids"].shape[1]
