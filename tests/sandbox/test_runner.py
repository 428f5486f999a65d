"""What tests may do with code that lives in another process, and what is said when it fails."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from additive.errors import SecurityError
from additive.sandbox import (
    CallError,
    Calls,
    Job,
    Limits,
    available_level,
    call_many,
    levels,
    run_many,
    run_tests,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLASSES = """
import math
LIMIT = 3
class Node:
    def __init__(self, value, left=None):
        self.value, self.left = value, left
    def __eq__(self, other): return self.value == other.value
    def __len__(self): return 2
    def __iter__(self): yield 1; yield 2
def depth(node): return 0 if node is None else 1 + depth(node.left)
def order(values): values.sort()
def adder(n): return lambda x: x + n
def apply(function, values): return [function(v) for v in values]
def fails(n): raise KeyError(n)
def count():
    n = 0
    while True:
        yield n
        n += 1
def kinds(value, kind): return isinstance(value, kind)
"""
FINE = {
    "keywords": ["assert Node(value=3).value == 3"],
    "objects go back": ["assert depth(Node(1, Node(2))) == 2"],
    "attributes can be set": ["n = Node(1)", "n.left = Node(2)", "assert depth(n) == 2"],
    "equality of two objects": ["assert Node(1) == Node(1)", "assert Node(1) != Node(2)"],
    "length and iteration": ["assert len(Node(1)) == 2", "assert list(Node(1)) == [1, 2]"],
    "changes in place": ["v = [3, 1, 2]", "order(v)", "assert v == [1, 2, 3]"],
    "closures": ["assert adder(2)(3) == 5"],
    "functions of the tests": ["assert apply(lambda v: v * 2, (1, 2)) == [2, 4]"],
    "errors": ["try:\n    fails(1)\nexcept KeyError:\n    pass\nelse:\n    assert False"],
    "generators": ["g = count()", "assert [next(g), next(g)] == [0, 1]"],
    "values and modules": [
        "assert LIMIT == 3",
        "assert math.isclose(math.pi, 3.14159, rel_tol=1e-4)",
    ],
    "types": ["assert kinds(1, int)", "assert not kinds('a', int)"],
    "helpers of the tests": ["def check(f):\n    assert f(1)(1) == 2", "check(adder)"],
}


def test_tests_use_the_code_as_usual():
    outcomes = run_many([Job(CLASSES, tuple(tests)) for tests in FINE.values()])
    failed = {name: o.reason for name, o in zip(FINE, outcomes, strict=True) if not o.passed}
    assert failed == {}


PLAIN = [
    "None", "True", "-7", "10**60", "1.5", "float('inf')", "'é\\n'", "b'x'", "[1, [2, ()]]",
    "(1, 'a')", "{1: {2, 3}}", "frozenset({1})", "1+2j",
    "__import__('fractions').Fraction(1, 3)", "__import__('decimal').Decimal('0.10')",
    "__import__('collections').Counter('aab')",
]  # fmt: skip


def test_plain_data_comes_back_as_it_is():
    jobs = [
        Job(f"def f(x): return x\ndef g(): return {v}", (f"assert f({v}) == {v} == g()",))
        for v in PLAIN
    ]
    assert [o.reason for o in run_many(jobs)] == [""] * len(jobs)


def test_reasons_and_output():
    code = "def f(x):\n    print('seen', x)\n    return x"
    wrong, broken, late, missing = run_many(
        [
            Job(code, ("assert f(1) == 1", "assert f(2) == 3, 'two'")),
            Job("def f(:", ("assert f(1)",)),
            Job("raise ValueError('at once')", ("assert f(1)",)),
            Job("x = 1", ("assert f(1) == 1",)),
        ]
    )
    assert wrong.reason == "AssertionError: test 2: AssertionError: two"
    assert wrong.output == "seen 1\nseen 2\n"
    assert "invalid syntax" in broken.reason
    assert late.reason == "ValueError: at once"
    assert "name 'f' is not defined" in missing.reason


def test_only_the_entry_may_be_named_like_a_built_in():
    code = "def sum(a, b): return a + b\ndef all(x): return True\ndef f(): return [0]"
    tests = ("assert sum(1, 2) == 3",)
    named, unnamed, cheat = run_many(
        [Job(code, tests, "sum"), Job(code, tests), Job(code, ("assert all(f())",), "f")]
    )
    assert (named.passed, unnamed.passed, cheat.passed) == (True, False, False)


def test_many_small_jobs_in_order():
    jobs = [
        Job(f"def f(): return {n}", (f"assert f() == {n if n % 3 else -1}",)) for n in range(60)
    ]
    assert [o.passed for o in run_many(jobs)] == [bool(n % 3) for n in range(60)]
    assert run_many([]) == []


def test_sets_are_walked_in_the_same_order_every_time():
    code = "def f(): return ''.join({'alpha', 'beta', 'gamma', 'delta', 'eta'})"
    tests = ["assert f() == 0"]
    seen = {run_tests(code + "\nprint(f())", tests).output for _ in range(3)}
    assert len(seen) == 1


def test_calls_of_a_verifier():
    code = (
        "def verify(item, answer):\n"
        "    if answer == 'loop':\n        while True: pass\n"
        "    if answer == 'raise': raise ValueError\n"
        "    return {'half': 0.5}.get(answer, answer == item['answer'])\n"
    )
    rows = [[{"answer": "a"}, text] for text in ("a", "b", "half", "raise")]
    assert call_many(Calls(code, "verify", rows)) == [
        True, False, 0.5, CallError("ValueError"),
    ]  # fmt: skip
    stuck = [[{"answer": "a"}, text] for text in ("a", "loop", "a")]
    first, looped, last = call_many(Calls(code, "verify", stuck), Limits(1.0))
    assert first is last is True
    assert looped in (CallError("timed out"), CallError("ended the process"))
    (missing,) = call_many(Calls("x = 1", "verify", [[1]]))
    assert missing.reason.startswith("KeyError")


def test_without_a_level_code_is_never_run(monkeypatch):
    levels.strongest_level.cache_clear()
    monkeypatch.setattr(levels, "sandbox_levels", lambda: ())
    try:
        with pytest.raises(SecurityError, match="nothing that can hold generated code"):
            available_level()
        with pytest.raises(SecurityError, match="nothing that can hold generated code"):
            run_tests("def f(): return 1", ["assert f() == 1"])
    finally:
        levels.strongest_level.cache_clear()


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the public data sets beside the checkout")
def test_reference_solutions_of_humaneval_pass():
    with gzip.open(DATA / "humaneval" / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    jobs = [
        Job(r["prompt"] + r["canonical_solution"], (r["test"], f"check({r['entry_point']})"))
        for r in rows
    ]
    outcomes = run_many(jobs, Limits(30))
    assert [r["task_id"] for r, o in zip(rows, outcomes, strict=True) if not o.passed] == []
    idle = [
        Job(r["prompt"] + "    return None\n", job.tests) for r, job in zip(rows, jobs, strict=True)
    ]
    assert sum(o.passed for o in run_many(idle, Limits(30))) == 0
