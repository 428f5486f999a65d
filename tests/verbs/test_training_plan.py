"""`additive train --plan`: what is there, what would be done, at most how much of everything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from additive.train import checkpoint
from additive.train.run import run_root
from additive.types.units import size_text, time_text
from additive.verbs.init import make_workspace
from additive.verbs.train import plan_training, training_job
from additive.workspace.inputs import base_identity
from additive.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    root = tmp_path_factory.mktemp("plan") / "work"
    return make_workspace(root, "tiny", (), start=root.parent)


def test_the_page_has_a_word_for_every_line_and_no_key_of_the_document(workspace):
    plan = plan_training(workspace, "math")
    words = [line.split()[0] for line in plan.text().splitlines()]
    wanted = ["train", "rows", "adapt", "device", "steps", "time", "memory", "disk", "state"]
    assert words == wanted
    assert "_" not in plan.text()
    assert "3600 of its own, and 4000 of the base's as recall (30% of every batch)" in plan.text()
    assert plan.would == "train"
    assert plan.document()["continues_from"] is None
    assert "would be trained" in plan.text()


def test_nothing_is_written_by_looking(workspace):
    before = sorted(workspace.root.rglob("*"))
    plan_training(workspace, "code")
    assert sorted(workspace.root.rglob("*")) == before


def test_recall_is_what_the_spec_takes_of_it(workspace):
    plan = plan_training(workspace, "math")
    assert "no recall" in replace(plan, recall_rows=0).text()
    path = workspace.domain_directory("safety") / "domain.yaml"
    spec = path.read_text(encoding="utf-8")
    path.write_text(spec.replace("share: 0.3", "share: 0.3, rows: 50"), encoding="utf-8")
    assert "50 of the base's as recall" in plan_training(workspace, "safety").text()
    path.write_text(spec, encoding="utf-8")


def test_an_interrupted_run_is_seen(workspace):
    import torch

    job = training_job(workspace, "math", base_identity(workspace))
    one = {"a": torch.zeros(1)}
    checkpoint.write(run_root(job) / "checkpoints", 40, one, one)
    plan = plan_training(workspace, "math")
    assert (plan.would, plan.document()["continues_from"]) == ("continue", 40)
    assert "would continue from step 40" in plan.text()


@pytest.mark.parametrize(
    ("bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (2.83e6, "2.8 MB"), (349e6, "349 MB"), (7.2e12, "7.2 TB")],
)
def test_sizes_have_two_or_three_digits(bytes, said):
    assert size_text(bytes) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (60, "1.0 min"), (9000, "2.5 h"), (220 * 86400, "220 d")]
)
def test_times_have_two_or_three_digits(seconds, said):
    assert time_text(seconds) == said
