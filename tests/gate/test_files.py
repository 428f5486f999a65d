"""Result files of all three kinds, their faults, and the verdict on real answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from additive.errors import CompatibilityError, IntegrityError, UsageError
from additive.gate import read_result
from additive.types.results import ItemScore, SuiteResult, read_document, result_document
from additive.verbs.gate import gate_files, rule_of
from tests.gate.making import paired, result

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(path, value, lines=False):
    text = "\n".join(json.dumps(row) for row in value) if lines else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return path


def rows(scores):
    return [{"id": str(i), "score": score} for i, score in enumerate(scores)]


def test_a_result_survives_the_file(tmp_path):
    items = (
        ItemScore("t/1", "ab" * 32, 1.0, "6*7=42 \u2028 …", True, "c"),
        ItemScore("t/2", "cd" * 32, 0.25, "", False),
    )
    kept = SuiteResult("math", "math@9f3c2a1b", items, {"key": "x", "runtime": {"batch": 32}})
    path = write(tmp_path / "r.json", result_document(kept))
    assert read_result(path) == kept


def test_the_three_kinds_give_one_verdict(tmp_path):
    reference, candidate = paired(20, 15, 1000)
    own = write(tmp_path / "own.json", result_document(result([float(s) for s in reference])))
    plain = write(tmp_path / "plain.json", rows(reference))
    lined = write(tmp_path / "lined.jsonl", rows([bool(s) for s in reference]), lines=True)
    merged = write(tmp_path / "merged.jsonl", rows(candidate), lines=True)
    for path in (plain, lined):
        verdict = gate_files(path, merged, margin=0.05)
        assert (verdict.verdict, verdict.suites[0].b10, verdict.suites[0].b01) == ("pass", 20, 15)
    with pytest.raises(CompatibilityError, match="another prompt"):
        gate_files(own, merged, margin=0.05)  # ours knows its prompts, the list does not


def samples(scores, **more):
    return [
        {
            "doc_id": i, "doc": {}, "target": "", "filter": "none", "metrics": ["exact_match"],
            "filtered_resps": ["42"], "doc_hash": f"d{i}", "prompt_hash": f"p{i}", "exact_match": s,
            **more,
        }
        for i, s in enumerate(scores)
    ]  # fmt: skip


def test_lm_eval_samples(tmp_path):
    name = "samples_gsm8k_2026-01-02T03-04-05.678.jsonl"
    a = write(tmp_path / name, samples([1, 0, 1]), lines=True)
    found = read_result(a)
    assert (found.suite, found.mean, found.items[0].prompt_sha256) == ("gsm8k", 2 / 3, "d0/p0")
    two = [*samples([1, 0]), *samples([0, 0], filter="strict")]
    b = write(tmp_path / "two.jsonl", two, lines=True)
    with pytest.raises(UsageError, match="filter is not given; expected one of none, strict"):
        read_result(b)
    assert read_result(b, filter="strict").mean == 0
    with pytest.raises(UsageError, match="filter is 'flexible'"):
        read_result(b, filter="flexible")
    c = write(
        tmp_path / "c.jsonl",
        samples([1], metrics=["acc", "acc_norm"], acc=1, acc_norm=0.0),
        lines=True,
    )
    with pytest.raises(UsageError, match="metric is not given; expected one of acc, acc_norm"):
        read_result(c)
    assert read_result(c, metric="acc_norm").mean == 0


def test_samples_of_other_prompts_are_not_compared(tmp_path):
    a = write(tmp_path / "a.jsonl", samples([1, 1]), lines=True)
    b = write(tmp_path / "b.jsonl", samples([1, 1], prompt_hash="other"), lines=True)
    with pytest.raises(CompatibilityError, match="another prompt"):
        gate_files(a, b)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no results"),
        ("[]", "there are no results"),
        ('{"schema": "additive.result/9"}', "schema is 'additive.result/9'; expected"),
        ('{"schema": "additive.check/1", "suites": []}', "schema is 'additive.check/1'; expected"),
        ('{"schema": "additive.result/1", "suite": "s", "model": "m", "items": []}', "no items"),
        (
            '{"schema": "additive.result/1", "suite": "", "model": "m",'
            ' "items": [{"id": "1", "score": 1}]}',
            "suite is ''",
        ),
        ('[{"id": "1"}]', "score is None; expected a number"),
        ('[{"id": "1", "score": 1.2}]', r"score is 1.2; expected a number in \[0, 1\]"),
        ('[{"id": "1", "score": NaN}]', "score is nan"),
        ('[{"id": "1", "score": "1"}]', "score is '1'"),
        ('[{"score": 1}]', "id is None"),
        ('[{"id": "1", "score": 1}, {"id": "1", "score": 0}]', "item '1' occurs twice"),
        ('{"id": "1", "score": 1}\n{"id": "2", "score": }', ":2: line is not JSON"),
        ('{"id": "1", "score": 1}\n7', ":2: row is 7; expected an object"),
        ("[" * 100_000, "line is not JSON"),
        ('[{"id": "1", "score": 1, "cluster": 3}]', "cluster is 3"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)


def test_a_check_is_no_result_and_the_help_says_how_to_get_one(tmp_path):
    path = write(tmp_path / "check.json", {"schema": "additive.check/1", "suites": []})
    with pytest.raises(IntegrityError) as caught:
        read_result(path)
    assert "additive check MERGE --results DIR" in str(caught.value.help)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder").mkdir()
    for name, kind, said in (
        ("none.json", UsageError, "there is no such file"),
        ("binary", IntegrityError, "byte 0 is not UTF-8"),
        ("folder", IntegrityError, "cannot be read: is a directory"),
    ):
        with pytest.raises(kind, match=said) as caught:
            read_result(tmp_path / name)
        assert "rows with id and score" in str(caught.value.help)


def test_rules_of_the_command_line():
    assert rule_of(None, None).margin == 0.05
    assert rule_of(None, 0.9).retain == 0.9
    with pytest.raises(UsageError, match="both given"):
        rule_of(0.1, 0.9)
    with pytest.raises(UsageError, match="margin is 5"):
        rule_of(5, None)
    with pytest.raises(UsageError, match=r"alpha is 0\.7"):
        rule_of(0.1, None, 0.7)


def test_the_base_gives_retention(tmp_path):
    paths = [
        write(tmp_path / f"{share}.json", rows([i < share * 1000 for i in range(1000)]))
        for share in (0.3, 0.8, 0.78)
    ]
    base, specialist, merged = paths
    verdict = gate_files(specialist, merged, base=base, retain=0.8)
    assert verdict.verdict == "pass"
    assert verdict.suites[0].retention == pytest.approx(0.96)


def _right(row):
    """Whether a predicted number is the right one; what is no number is wrong."""
    try:
        gap = float(str(row["pred"][0]).replace(",", "")) - float(row["gt"].replace(",", ""))
    except ValueError:
        return 0.0
    return float(abs(gap) < 1e-3)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the public data sets beside the checkout")
def test_real_answers_to_gsm8k(tmp_path):
    """ToRA-70B and ToRA-Code-34B on gsm8k: 112 lost and 62 won of 1319."""
    paths = []
    for name in ("tora70b_gsm8k.jsonl", "toracode34b_gsm8k.jsonl"):
        found = [json.loads(row) for row in (DATA / "gsm8k_tora_outputs" / name).open()]
        scored = [{"id": str(row["idx"]), "score": _right(row)} for row in found]
        paths.append(write(tmp_path / name, scored, lines=True))
    at = {margin: gate_files(*paths, margin=margin) for margin in (0.02, 0.03, 0.05, 0.06)}
    line = at[0.02].suites[0]
    assert (line.n, line.b10, line.b01) == (1319, 112, 62)
    assert [at[m].verdict for m in (0.02, 0.03, 0.05, 0.06)] == [
        "fail" if line.interval[1] < -0.02 else "cannot tell", "cannot tell", "cannot tell", "pass",
    ]  # fmt: skip
    assert line.harm == pytest.approx(1 - 0.965, abs=5e-4)


def test_reading_a_document_needs_its_items():
    with pytest.raises(IntegrityError, match="items is None; expected a list"):
        read_document({"schema": "additive.result/1", "suite": "s", "model": "m"})
