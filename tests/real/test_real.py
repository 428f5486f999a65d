"""The main job on public data: train, freeze, merge, check, on the tiny base or a larger one.

    make real                                               # the bundled base, two cores
    make real REAL_BASE=Qwen/Qwen3-0.6B HF_HUB_OFFLINE=0    # a base of the Hub, with CUDA
    make real REAL_BASE=/models/my-base                     # a directory

Scores of a tiny base are low. They have to be real, printed, and gated: this test asserts that the
job ends with a verdict over all suites, not which one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import Done, run
from tests.real.domains import all_domains
from tests.real.leaks import clean
from tests.real.sources import require_data
from tests.real.workspace import LARGE, SMALL, Budget, fill

NAMES = ("math", "code", "safety")
MERGE = "math+code+safety"
HOUR_S = 3600.0


def chosen() -> tuple[str, Budget]:
    """The base to run on, and what there is time for."""
    base = os.environ.get("REAL_BASE") or "tiny"
    return base, SMALL if base == "tiny" else LARGE


def say(text: str) -> None:
    print(text, flush=True)


def command(root: Path, *arguments: str) -> Done:
    """Run a verb and show what it printed, as a person would see it."""
    say(f"\n$ additive {' '.join(arguments)}")
    done = run(root, *arguments, timeout_s=2 * HOUR_S, threads=2)
    say(done.out.rstrip() or done.err.rstrip())
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A workspace whose domains and suites are public data, cleaned of leaks."""
    require_data()
    base, budget = chosen()
    root = tmp_path_factory.mktemp("real") / "work"
    made = command(root.parent, "init", root.name, "--base", base)
    assert made.code == 0, made.err
    domains, found = clean(all_domains(budget.brief))
    for leak in found:
        say(f"leak     {leak}")
    for domain in domains:
        held_out = {s: sum(map(len, tasks.values())) for s, tasks in domain.held_out.items()}
        say(f"data     {domain.name}: {len(domain.train)} train, {len(domain.validation)} "
            f"validation, held out {held_out}")  # fmt: skip
    fill(root, domains, budget)
    return root


@pytest.mark.real
def test_the_main_job_on_public_data(work):
    linted = command(work, "lint")
    assert linted.code == 0, linted.err
    for name in NAMES:
        trained = command(work, "train", name)
        assert trained.code == 0, trained.err
    merged = command(work, "merge", *NAMES)
    assert merged.code in (0, 1), merged.err

    checked = run(work, "check", MERGE, "--json")
    assert checked.code == merged.code
    suites = checked.json["suites"]
    assert {suite["domain"] for suite in suites} == set(NAMES)
    assert {suite["suite"].partition("/")[0] for suite in suites} >= {"math-gsm8k", "code-mbpp"}
    for suite in suites:
        assert suite["n"] >= 50
        assert all(0 <= suite[model] <= 1 for model in ("base", "specialist", "merged"))
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
