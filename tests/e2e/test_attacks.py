"""What once turned a verdict green, tried on a real workspace: each attack ends as it should.

Every test gets its own copy of one workspace of two trained domains and their checked merge.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.bases import build_base
from tests.e2e.command import run
from tests.e2e.micro import fill_domain

MERGE = "math+code"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("attacks")
    work = root / "work"
    build_base("llama", root / "base")
    made = run(root, "init", "work", "--base", str(root / "base"))
    assert made.code == 0, made.err
    for name in ("math", "code", "safety"):
        if name == "safety":
            shutil.rmtree(work / "domains" / name, ignore_errors=True)
            for path in (work / "evals").glob(f"{name}*"):
                path.unlink()
        else:
            fill_domain(work, name, "lora", 12, 20)
    for arguments in (("train", "math", "code"), ("merge", "math", "code")):
        done = run(work, *arguments)
        assert done.code in (0, 1), done.err
    return work


@pytest.fixture
def work(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "work", symlinks=True)


def check(work: Path, name: str = MERGE) -> dict:
    done = run(work, "check", name, "--json")
    assert done.json.get("verdict"), done.out + done.err
    assert done.code == (0 if done.json["verdict"] == "pass" else 1), done.err
    return done.json


def suite_of(work: Path, name: str = "math", **changes) -> None:
    """Change the task of a domain's suite; a value of None removes the key."""
    path = work / "evals" / f"{name}-held-out.yaml"
    spec = json.loads(path.read_text())
    task = spec["tasks"][0] | changes
    spec["tasks"] = [{key: value for key, value in task.items() if value is not None}]
    path.write_text(json.dumps(spec))


def record_of(work: Path) -> Path:
    (path,) = (work / ".additive" / "store" / "sidecars").rglob("check.json")
    return path


def line_of(document: dict, suite: str) -> dict:
    (line,) = [line for line in document["suites"] if line["suite"] == suite]
    return line


def test_a_verifier_that_raises_is_no_pass_and_is_told(work):
    code = 'def verify(item, answer):\n    return item["anwser"] in answer\n'
    (work / "evals" / "v.py").write_text(code)
    suite_of(work, grader="v.py")
    document = check(work)
    line = line_of(document, "math-held-out")
    assert document["verdict"] != "pass"
    assert (line["verdict"], line["unscored"], line["merged"]) == ("cannot tell", 20, None)
    assert "KeyError" in line["reason"]


def test_a_suite_on_which_nobody_scores_has_nothing_to_lose(work):
    (work / "evals" / "v.py").write_text("def verify(item, answer):\n    return False\n")
    suite_of(work, grader="v.py")
    line = line_of(check(work), "math-held-out")
    assert line["verdict"] == "cannot tell"
    assert line["reason"].endswith(
        "nothing to lose here: the base scores 0.000, no more than the margin 0.050"
    )


def test_an_edited_record_of_a_check_is_measured_again(work):
    before = check(work)
    path = record_of(work)
    text = path.read_text()
    assert '"verdict": "pass"' not in text.rpartition('"suites"')[2]
    record = json.loads(text)
    record["verdict"] = "pass"
    for line in record["suites"]:
        line["verdict"] = "pass"
    path.write_text(json.dumps(record))
    after = check(work)
    assert (after["verdict"], after["suites"]) == (before["verdict"], before["suites"])


@pytest.mark.parametrize("damage", ["", "{", '{"schema": "additive.check/9"}', "[]"])
def test_a_damaged_record_of_a_check_is_measured_again(work, damage):
    before = check(work)
    record_of(work).write_text(damage)
    assert check(work)["suites"] == before["suites"]


def test_a_merged_domain_without_a_target_suite_cannot_pass(work):
    (work / "evals" / "code-held-out.yaml").unlink()
    document = check(work)
    assert document["verdict"] != "pass"
    assert any(gap.startswith("code: no target suite") for gap in document["gaps"])
    assert any("evals/code-held-out.yaml is in additive.lock" in gap for gap in document["gaps"])
    printed = run(work, "check", MERGE)
    assert "not compared: code: no target suite" in printed.out


def test_a_suite_that_is_gone_stays_named_until_the_lock_lets_it_go(work):
    (work / "evals" / "x").mkdir()
    (work / "evals" / "code-held-out.yaml").rename(work / "evals" / "x" / "code-held-out.yaml")
    for _ in range(2):
        assert any("evals/code-held-out.yaml" in gap for gap in check(work)["gaps"])


def test_without_any_target_suite_nothing_is_green(work):
    for path in (work / "evals").glob("*.yaml"):
        path.unlink()
    document = check(work)
    assert document["verdict"] == "not checked"
    assert len(document["gaps"]) >= 2


@pytest.mark.parametrize("name", ["code-held-out.yml", "Code-Held.yaml"])
def test_a_suite_that_would_never_be_read_is_an_error(work, name):
    (work / "evals" / "code-held-out.yaml").rename(work / "evals" / name)
    done = run(work, "check", MERGE)
    assert done.code == 2
    assert name in done.err


def test_a_link_that_leads_nowhere_is_an_error(work):
    path = work / "evals" / "code-held-out.yaml"
    path.unlink()
    path.symlink_to("gone.yaml")
    done = run(work, "check", MERGE)
    assert done.code == 2
    assert "link leads nowhere" in done.err


def test_an_emptied_cache_of_leaks_hides_no_leak(work):
    items = (work / "evals" / "tasks" / "math-held-out.jsonl").read_text().splitlines()
    rows = work / "domains" / "math" / "train.jsonl"
    leaked = [{k: json.loads(item)[k] for k in ("prompt", "completion")} for item in items[:3]]
    rows.write_text(rows.read_text() + "".join(json.dumps(row) + "\n" for row in leaked))
    assert run(work, "lint").code == 3
    for path in (work / ".additive" / "cache" / "leaks").glob("*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"leaks": []}))
    assert run(work, "lint").code == 3
    assert run(work, "check", MERGE).code == 3
    assert run(work, "train", "math").code == 3


def test_two_names_of_the_same_bytes_have_a_check_each(work):
    assert run(work, "merge", "math", "code", "--scale", "1", "--name", "one").code in (0, 1)
    assert run(work, "merge", "math", "code", "--scale", "1", "--name", "two").code in (0, 1)
    for name in ("one", "two", "one"):
        assert check(work, name)["name"] == name
        assert (work / "reports" / f"{name}.html").is_file()


def lm_eval_task(work: Path, target: int) -> None:
    rows = [{"q": f"The capital {n} is", "c": ["Rome", "Paris"]} for n in range(20)]
    folder = work / "evals" / "lm"
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "capital.yaml").write_text(
        "task: capital\n"
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {folder / 'rows.jsonl'}}}}}\n"
        "output_type: multiple_choice\n"
        "test_split: test\n"
        "doc_to_text: '{{q}}'\n"
        "doc_to_choice: '{{c}}'\n"
        f"doc_to_target: {target}\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )


def test_a_changed_task_of_lm_eval_is_asked_again(work):
    lm_eval_task(work, 0)
    suite_of(work, data=None, grader=None, max_tokens=None, lm_eval="lm/capital.yaml")
    first = line_of(check(work), "math-held-out")
    lm_eval_task(work, 1)
    second = line_of(check(work), "math-held-out")
    assert second["merged"] == pytest.approx(1 - first["merged"])
    assert second["base"] == pytest.approx(1 - first["base"])


def test_less_is_better_turns_a_score(work):
    lm_eval_task(work, 0)
    suite_of(work, data=None, grader=None, max_tokens=None, lm_eval="lm/capital.yaml")
    first = line_of(check(work), "math-held-out")
    path = work / "evals" / "lm" / "capital.yaml"
    path.write_text(path.read_text().replace("higher_is_better: true", "higher_is_better: false"))
    second = line_of(check(work), "math-held-out")
    assert second["base"] == pytest.approx(1 - first["base"])


def test_a_mistyped_metric_is_refused_before_anything_is_asked(work):
    lm_eval_task(work, 0)
    suite_of(
        work, data=None, grader=None, max_tokens=None, lm_eval="lm/capital.yaml", metric="accc"
    )
    for arguments in (("check", MERGE), ("check", MERGE, "--plan")):
        done = run(work, *arguments)
        assert done.code == 2
        assert "metric is 'accc'; expected one of acc; did you mean 'acc'" in done.err


def test_a_plan_counts_the_items_of_lm_evals_tasks(work):
    lm_eval_task(work, 0)
    suite_of(work, data=None, grader=None, max_tokens=None, lm_eval="lm/capital.yaml")
    plan = run(work, "check", MERGE, "--plan", "--json").json
    assert line_of(plan, "math-held-out")["items"] == 20
