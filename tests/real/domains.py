"""The three domains of real data: what is trained on, what is held out, under which license.

math    gsm8k/train, mawps                       held out: gsm8k/test, svamp
code    mbpp 601-974 and 511-600, python_puzzles  held out: mbpp 11-510, humaneval, cruxeval
safety  coconot_pref, advbench                   held out: xstest, simplesafetytests, strongreject
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.real import convert
from tests.real.convert import Item, Row
from tests.real.sources import read

MAWPS = ("singleop", "addsub", "singleeq", "multiarith")


@dataclass(frozen=True)
class RealDomain:
    """Rows of one domain, and its held-out items by suite and task."""

    name: str
    license: str
    grader: str
    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    held_out: Mapping[str, Mapping[str, tuple[Item, ...]]]
    two_sided: frozenset[str] = frozenset()

    def with_held_out(self, held_out: Mapping[str, Mapping[str, tuple[Item, ...]]]) -> RealDomain:
        """The same domain with other held-out items."""
        return replace(self, held_out=held_out)

    def without(self, leaked: frozenset[str]) -> RealDomain:
        """The same domain without the training and validation rows of these prompts."""
        kept = [
            [r for r in rows if r["prompt"] not in leaked] for rows in (self.train, self.validation)
        ]
        return replace(self, train=tuple(kept[0]), validation=tuple(kept[1]))


def math(brief: bool) -> RealDomain:
    """Word problems; 4 % of gsm8k's training rows become validation rows."""
    gsm8k = list(convert.gsm8k_rows(read("gsm8k/train.jsonl"), brief))
    mawps = convert.mawps_rows(row for name in MAWPS for row in read(f"mawps/{name}.jsonl"))
    train, validation = convert.split_validation([*gsm8k, *mawps], 0.04)
    held_out = {
        "math-gsm8k": {"gsm8k": tuple(convert.gsm8k_items(read("gsm8k/test.jsonl")))},
        "math-svamp": {"svamp": tuple(convert.svamp_items(read("svamp/SVAMP.json")))},
    }
    return RealDomain("math", "MIT", "numeric", tuple(train), tuple(validation), held_out)


def code(brief: bool) -> RealDomain:
    """Programs by description and by puzzle; upstream's validation tasks of mbpp validate here too.
    Programs are as long as they are: `brief` changes nothing."""
    mbpp = {row["task_id"]: row for row in read("mbpp/mbpp.jsonl")}
    puzzles = convert.puzzle_rows(read("python_puzzles/puzzles.json"))
    train = [*convert.mbpp_rows(mbpp[n] for n in range(601, 975)), *puzzles]
    validation = convert.mbpp_rows(mbpp[n] for n in range(511, 601))
    held_out = {
        "code-mbpp": {"mbpp": tuple(convert.mbpp_items(mbpp[n] for n in range(11, 511)))},
        "code-humaneval": {
            "humaneval": tuple(convert.humaneval_items(read("humaneval/HumanEval.jsonl.gz")))
        },
        "code-cruxeval": {
            "cruxeval": tuple(convert.cruxeval_items(read("cruxeval/cruxeval.jsonl")))
        },
    }
    return RealDomain(
        "code", "CC-BY-4.0 AND MIT", "exact", tuple(train), tuple(validation), held_out
    )


def safety(brief: bool) -> RealDomain:
    """Refusing harm, answering its look-alikes: both in training, each with its own rule held
    out."""
    prompts = "harmful_prompt_sets"
    rows = [
        *convert.coconot_rows(read("coconot/coconot_pref.jsonl"), brief),
        *convert.advbench_rows(read(f"{prompts}/advbench.csv")),
    ]
    train, validation = convert.split_validation(rows, 0.1)
    held_out = {
        "safety-xstest": {"xstest": tuple(convert.xstest_items(read("xstest/xstest_prompts.csv")))},
        "safety-refusals": {
            "simplesafetytests": tuple(
                convert.simplesafetytests_items(read("simplesafetytests/simplesafetytests.csv"))
            ),
            "strongreject": tuple(convert.strongreject_items(read(f"{prompts}/strongreject.csv"))),
        },
    }
    license = "ODC-BY AND MIT AND Apache-2.0"
    two_sided = frozenset({"safety-xstest"})
    return RealDomain(
        "safety", license, "exact", tuple(train), tuple(validation), held_out, two_sided
    )


def all_domains(brief: bool) -> tuple[RealDomain, ...]:
    """math, code and safety, not yet cleaned of leaks."""
    return math(brief), code(brief), safety(brief)
