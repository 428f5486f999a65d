"""Lint: what is wrong with a workspace is said with its place, and exits 2 or 3."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from additive.cli.main import run
from additive.spec import rows
from additive.workspace.inputs import base_identity, update_lock
from tests.workspace.making import PROMPTS, make_base, make_workspace, write_rows


@pytest.fixture
def root(tmp_path, monkeypatch):
    make_workspace(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def lint(capsys, *arguments):
    code = run(["lint", *arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "additive.lint/1"
    return code, [finding["message"] for finding in document["findings"]], document


def test_a_whole_workspace_has_no_faults(root, capsys):
    code, findings, document = lint(capsys)
    assert (code, findings) == (0, [])
    assert document["ok"] is True
    assert document["counts"] == {
        "domains": 1,
        "suites": 1,
        "recipes": 0,
        "rows": 13,
        "items": 3,
        "leaks": 0,
    }
    assert run(["lint"]) == 0
    said = capsys.readouterr().out
    assert said == "1 domain, 1 suite, 0 recipes, 13 rows, 3 items: no faults\n"


def test_outside_of_a_workspace_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["lint"]) == 2
    said = capsys.readouterr().err
    assert "no additive.yaml here or above" in said
    assert "help: additive init" in said


def test_faults_of_all_files_come_together(root, capsys):
    (root / "domains" / "sums" / "domain.yaml").write_text("version: 1\nadapt: {rnak: 8}\n")
    (root / "evals" / "sums.yaml").write_text("version: 1\n")
    (root / "merges").mkdir()
    (root / "merges" / "all.yaml").write_text(
        "version: 1\nsources: [smus]\nmethod: {name: dare-ties, density: 0.3}\n"
    )
    code, findings, _ = lint(capsys)
    assert code == 2
    assert findings == [
        "domains/sums/domain.yaml:2:9: unknown key 'rnak' in adapt; did you mean 'rank'?",
        "evals/sums.yaml:1:1: tasks is missing; expected given",
        "merges/all.yaml:3:16: unknown merge method 'dare-ties'; did you mean 'dare_ties'?",
        "merges/all.yaml:2:11: unknown source 'smus'; did you mean 'sums'?",
    ]


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("additive.yaml", "version: 1\n", "additive.yaml:1:1: base is missing"),
        (
            "additive.yaml",
            "version: 1\nbase: {model: tiny}\nmerge: {method: tise}\n",
            "additive.yaml:3:17: unknown merge method 'tise'; did you mean 'ties'?",
        ),
        (
            "additive.yaml",
            "version: 1\nbase: {model: tiny}\nmerge: {before: [balanse]}\n",
            "additive.yaml:3:18: unknown merge step 'balanse'; did you mean 'balance'?",
        ),
        (
            "evals/sums.yaml",
            "version: 1\ndomain: smus\ntasks: [{name: a, data: tasks/sums.jsonl}]\n",
            "evals/sums.yaml:2:9: domain is 'smus'; expected one of sums; did you mean",
        ),
        (
            "evals/sums.yaml",
            "version: 1\ndomain: sums\ntasks: [{name: a, data: tasks/none.jsonl}]\n",
            "evals/tasks/none.jsonl: file is missing",
        ),
        (
            "domains/sums/domain.yaml",
            "version: 1\ndata: {train: [validation.jsonl]}\n",
            "domains/sums/domain.yaml:2:7: data.validation holds 'validation.jsonl', which is",
        ),
        ("domains/sums/train.jsonl", "{}\n", "domains/sums/train.jsonl:1: row has the keys"),
        ("domains/sums/train.jsonl", "", "domains/sums/train.jsonl: file has no rows"),
        ("domains/sums/train.jsonl", "[1]\n", "domains/sums/train.jsonl:1: row is a list"),
        ("domains/sums/train.jsonl", None, "domains/sums/train.jsonl: file is missing"),
        (
            "domains/sums/train.jsonl",
            '{"messages": [{"role": "wizard", "content": "x"}]}\n',
            "domains/sums/train.jsonl:1:",
        ),
        ("evals/tasks/sums.jsonl", '{"prompt": "a"}\n', "evals/tasks/sums.jsonl:1: id is missing"),
        ("evals/tasks/sums.jsonl", '{"id": "a"}\n', "evals/tasks/sums.jsonl:1: prompt is missing"),
        (
            "evals/tasks/sums.jsonl",
            '{"id": "a", "prompt": "b", "answer": "c"}\n' * 2,
            "evals/tasks/sums.jsonl:2: id is 'a', as in line 1; expected one of its own",
        ),
        (
            "evals/tasks/sums.jsonl",
            '{"id": "a", "prompt": "b"}\n',
            "evals/tasks/sums.jsonl:1: answer is missing; expected text or a number",
        ),
        (
            "evals/tasks/sums.jsonl",
            '{"id": "a", "prompt": "b", "grader": "choice", "choices": ["x", "y"], "answer": 2}\n',
            "evals/tasks/sums.jsonl:1: answer is 2; expected in 0 to 1",
        ),
        (
            "evals/tasks/sums.jsonl",
            '{"id": "a", "prompt": "b", "grader": "code", "tests": "assert"}\n',
            "evals/tasks/sums.jsonl:1: tests is 'assert'; expected a list of texts",
        ),
        ("domains/Sums/domain.yaml", "version: 1\n", "'domains/Sums': name is 'Sums'; expected"),
        ("domains/-rf/domain.yaml", "version: 1\n", "'domains/-rf': name is '-rf'; expected"),
        (
            "domains/merged/domain.yaml",
            "version: 1\n",
            "'domains/merged': name is 'merged'; expected",
        ),
        ("domains/a b/domain.yaml", "version: 1\n", "'domains/a b': name is 'a b'; expected"),
        (
            "domains/x\u202ey/domain.yaml",
            "version: 1\n",
            "'domains/x\\u202ey': name is 'x\\u202ey'",
        ),
        ("domains/x\x1b[31m/a", "", "'domains/x\\x1b[31m': name is 'x\\x1b[31m'; expected"),
        ("domains/empty/train.jsonl", "", "domains/empty/domain.yaml: file is missing"),
        ("evals/other.yml", "version: 1\n", "evals/other.yml: suffix is .yml; expected"),
        ("additive.lock", "{}", "additive.lock"),
    ],
)
def test_each_fault_is_said_with_its_place(root, path, text, fault, capsys):
    target = root / path
    if text is None:
        target.unlink()
    else:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
    code, findings, _ = lint(capsys)
    assert code in (2, 3)
    assert len([found for found in findings if found.startswith(fault)]) == 1, findings


def test_a_held_out_item_in_training_data_is_refused(root, capsys):
    rows = [{"prompt": p, "completion": "x"} for p in PROMPTS[:10]]
    rows[4]["prompt"] = f"  {PROMPTS[14].upper()}"
    write_rows(root / "domains" / "sums" / "train.jsonl", rows)
    code, findings, document = lint(capsys)
    assert code == 3
    assert findings == [
        "domains/sums/train.jsonl:5: row holds item 'i1' of evals/tasks/sums.jsonl (exact:"
        " 'what is 5 plus 4 written out in words')"
    ]
    assert document["findings"][0]["kind"] == "leak"
    assert run(["lint"]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "help: drop these rows from the training data, or these items from the suite"


def test_a_leak_into_validation_or_another_domain_is_one_too(root, capsys):
    other = root / "domains" / "other"
    write_rows(other / "train.jsonl", [{"prompt": "one", "completion": "x"}])
    write_rows(other / "validation.jsonl", [{"prompt": PROMPTS[13], "completion": "x"}])
    (other / "domain.yaml").write_text("version: 1\n")
    code, findings, _ = lint(capsys)
    assert code == 3
    assert [found.split(" (")[0] for found in findings] == [
        "domains/other/validation.jsonl:1: row holds item 'i0' of evals/tasks/sums.jsonl"
    ]


def test_validation_rows_are_never_trained_on(root, capsys):
    rows = [{"prompt": PROMPTS[at], "completion": "x"} for at in (10, 3)]
    write_rows(root / "domains" / "sums" / "validation.jsonl", rows)
    code, findings, _ = lint(capsys)
    assert code == 3
    assert findings == [
        "domains/sums/validation.jsonl:2: row has the prompt of domains/sums/train.jsonl:4"
    ]


def test_domains_with_the_same_rows_are_each_told_by_their_own_files(root, capsys):
    rows = [{"prompt": PROMPTS[3], "completion": "x"}]
    write_rows(root / "domains" / "sums" / "validation.jsonl", rows)
    shutil.copytree(root / "domains" / "sums", root / "domains" / "twin")
    assert [found.split(" of ")[1] for found in lint(capsys)[1]] == [
        "domains/sums/train.jsonl:4",
        "domains/twin/train.jsonl:4",
    ]


def test_changed_items_are_named_when_the_suite_knows_their_digest(root, capsys):
    (root / "evals" / "sums.yaml").write_text(
        "version: 1\ndomain: sums\n"
        f"tasks: [{{name: a, data: tasks/sums.jsonl, sha256: '{'0' * 64}'}}]\n"
    )
    code, findings, _ = lint(capsys)
    assert code == 3
    assert findings[0].startswith("evals/tasks/sums.jsonl: file is ")
    assert findings[0].endswith("; the suite names 00000000")


def test_another_base_than_the_locked_one_is_refused_and_other_data_noted(root, capsys):
    workspace = make_workspace(root)
    update_lock(workspace, base_identity(workspace))
    assert lint(capsys)[0] == 0
    write_rows(root / "domains/sums/train.jsonl", [{"prompt": "new", "completion": "x"}])
    code, _, document = lint(capsys)
    assert code == 0
    assert document["notes"] == ["domains/sums/train.jsonl changed since additive.lock was written"]
    os.unlink(root / "base" / "model.safetensors")
    make_base(root / "base", value=2.0)
    code, findings, _ = lint(capsys)
    assert code == 3
    assert "; additive.lock pins 'base' at" in findings[0]


def test_a_part_is_judged_alone(root, capsys):
    (root / "evals" / "sums.yaml").write_text("version: 1\n")
    assert lint(capsys, "domains")[0] == 2, "its items cannot be compared"
    make_workspace(root)
    (root / "domains" / "bad").mkdir()
    assert lint(capsys, "domains/sums")[0] == 0
    assert lint(capsys, "evals/sums.yaml")[0] == 0
    assert lint(capsys, "domains")[0] == 2
    rows = [{"prompt": PROMPTS[13], "completion": "x"}]
    write_rows(root / "domains" / "sums" / "train.jsonl", rows)
    assert lint(capsys, "domains/sums")[0] == 3
    assert lint(capsys, "evals/sums.yaml")[0] == 3


@pytest.mark.parametrize("path", ["nothing", "../../elsewhere", "/"])
def test_a_path_that_is_no_part_of_the_workspace_is_a_usage_error(root, path, capsys):
    assert run(["lint", path]) == 2
    assert capsys.readouterr().out == ""


def test_every_row_is_parsed_once_and_by_a_second_look_never(root, capsys, monkeypatch):
    parsed, parse_row = [], rows._row

    def parse(line, data, name):
        parsed.append((name, line))
        return parse_row(line, data, name)

    monkeypatch.setattr(rows, "_row", parse)
    counts = lint(capsys)[2]["counts"]
    assert len(parsed) == len(set(parsed)) == counts["rows"] + counts["items"] > 0
    parsed.clear()
    assert lint(capsys)[0] == 0
    assert parsed == []


def test_many_faults_are_counted_and_json_lists_all(root, capsys):
    prompts = PROMPTS * 5
    write_rows(
        root / "domains/sums/train.jsonl", [{"prompt": p, "completion": "x"} for p in prompts]
    )
    write_rows(
        root / "evals/tasks/sums.jsonl",
        [{"id": str(at), "prompt": p, "answer": "x"} for at, p in enumerate(PROMPTS)],
    )
    code, findings, _ = lint(capsys)
    assert code == 3
    assert len(findings) > 80
    assert run(["lint"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[50] == f"and {len(findings) - 50} more; --json lists all"
