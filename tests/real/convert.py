"""Public data sets, one pure function each: rows of the files to training rows or held-out items.

A training row is `{"prompt", "completion"}`. A held-out item is `{"id", "prompt", "grader", …}`
with what its grader asks for (`answer`, `tests`, `side`). Nothing here opens a file, and nothing is
drawn at random: what a function keeps is a function of its rows.

Small bases have little room: `brief=True` writes an answer in the shortest form that still shows
the work (`48/2=24; 48+24=72` instead of gsm8k's sentences, the first sentences of a helpful
answer).
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from additive.overlap.texts import normalise
from additive.types.digests import digest_bytes

Row = dict[str, str]
Item = dict[str, Any]
Raw = Mapping[str, Any]

_CALCULATION = re.compile(r"<<([^<>]*)>>")
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.S)
BRIEF_ANSWER = 160

REFUSALS = (
    "I can't help with that. It could hurt people.",
    "No, I won't help with this, because it would do harm.",
    "I'm sorry, but I can't assist with that request.",
    "I can't do that. It is dangerous or against the law.",
    "Sorry, I won't take part in this. Someone could get hurt.",
    "I must decline. What you ask for would harm others.",
)


def gsm8k_rows(rows: Iterable[Raw], brief: bool = False) -> Iterator[Row]:
    """Word problems with written work; the calculator's marks `<<48/2=24>>` are taken out, or, when
    brief, are all that is kept. A problem without a calculation has no brief form and is left
    out."""
    for row in rows:
        if not brief:
            yield {"prompt": row["question"], "completion": _CALCULATION.sub("", row["answer"])}
        elif work := _equations(row["answer"]):
            yield {"prompt": row["question"], "completion": work}


def _equations(answer: str) -> str | None:
    """`48/2=24; 48+24=72`, with the final answer behind it when the last equation ends
    elsewhere."""
    found = [text.replace(" ", "") for text in _CALCULATION.findall(answer)]
    final = gsm8k_answer(answer)
    if not found:
        return None
    ends_well = same_number(found[-1].rpartition("=")[2], final)
    return "; ".join(found if ends_well else [*found, final])


def gsm8k_answer(answer: str) -> str:
    """The number after `####`, without thousands separators."""
    return answer.rpartition("####")[2].strip().replace(",", "")


def gsm8k_items(rows: Iterable[Raw]) -> Iterator[Item]:
    for number, row in enumerate(rows):
        yield _item(
            f"gsm8k-{number}", row["question"], "numeric", answer=gsm8k_answer(row["answer"])
        )


def mawps_rows(rows: Iterable[Raw]) -> Iterator[Row]:
    """One-step and two-step problems without work; the four files repeat each other."""
    seen: set[str] = set()
    for row in rows:
        prompt = _respaced(row["input"])
        if prompt not in seen:
            seen.add(prompt)
            yield {"prompt": prompt, "completion": number_text(row["target"])}


def svamp_items(rows: Iterable[Raw]) -> Iterator[Item]:
    """Problems built so that shallow heuristics fail; body and question are two fields upstream."""
    for row in rows:
        body = row["Body"].rstrip()
        prompt = _respaced(
            f"{body}{'' if body.endswith(('.', '?', '!', ',')) else '.'} {row['Question']}"
        )
        yield _item(row["ID"], prompt, "numeric", answer=number_text(row["Answer"]))


def mbpp_rows(rows: Iterable[Raw]) -> Iterator[Row]:
    for row in rows:
        yield {"prompt": _mbpp_prompt(row), "completion": _program(row["code"])}


def mbpp_items(rows: Iterable[Raw]) -> Iterator[Item]:
    """Items are graded by all of their tests; the prompt shows the first, which names the
    function."""
    for row in rows:
        set_up = [_program(row["test_setup_code"])] if row["test_setup_code"] else []
        tests = ["\n".join([*set_up, _program(test)]) for test in row["test_list"]]
        item = _item(f"mbpp-{row['task_id']}", _mbpp_prompt(row), "code", tests=tests)
        yield item | _entry(row)


def _entry(row: Raw) -> Item:
    """The function that is asked for, said where it has the name of one of Python's own (`sum`)."""
    called = {
        node.func.id
        for node in ast.walk(ast.parse(row["test_list"][0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    defined = {
        node.name for node in ast.parse(row["code"]).body if isinstance(node, ast.FunctionDef)
    }
    names = called & defined & set(dir(builtins))
    return {"entry": names.pop()} if names else {}


def _mbpp_prompt(row: Raw) -> str:
    return f"{row['text'].strip()}\nIt must pass: {_program(row['test_list'][0])}"


def puzzle_rows(puzzles: Iterable[Raw]) -> Iterator[Row]:
    """Puzzles `sat(x)` with the function that solves them. The module that rewrites HumanEval is
    left out: HumanEval is held out, and a rewritten item is no longer found by its words."""
    for puzzle in puzzles:
        if puzzle["sol_bodies"] and puzzle["module"] != "human_eval.py":
            solution = f"{puzzle['sol_header']}\n{puzzle['sol_bodies'][0]}"
            prompt = f"Write sol so that sat(sol()) is True.\n{_program(puzzle['sat'])}"
            yield {"prompt": prompt, "completion": _program(solution)}


def humaneval_items(rows: Iterable[Raw]) -> Iterator[Item]:
    """The prompt is the head of a function; what stands before it (imports, helpers) is set up
    before the answer, which may repeat it or not."""
    for row in rows:
        setup = row["prompt"][: row["prompt"].index(f"def {row['entry_point']}(")].strip()
        tests = [f"{row['test'].strip()}\ncheck({row['entry_point']})"]
        prompt = f"Write this whole Python function.\n{row['prompt'].strip()}"
        more = {"setup": setup} if setup else {}
        yield _item(row["task_id"], prompt, "code", tests=tests, entry=row["entry_point"], **more)


def cruxeval_items(rows: Iterable[Raw]) -> Iterator[Item]:
    """What does this function return? Nothing has to be run to grade it."""
    for row in rows:
        prompt = f"{row['code']}\nf({row['input']}) ="
        yield _item(f"cruxeval-{row['id']}", prompt, "literal", answer=row["output"])


def coconot_rows(rows: Iterable[Raw], brief: bool = False) -> Iterator[Row]:
    """Harmless look-alikes with helpful answers; the refusals that were rejected are not used. An
    answer whose first sentence is longer than a brief answer may be is left out."""
    for row in rows:
        answer = first_sentences(row["chosen"], BRIEF_ANSWER) if brief else row["chosen"].strip()
        if answer:
            yield {"prompt": row["prompt"].strip(), "completion": answer}


def advbench_rows(rows: Iterable[Raw]) -> Iterator[Row]:
    """Harmful requests with refusals of our own; upstream's `target` (compliance) is not used."""
    for row in rows:
        yield {"prompt": f"{row['goal'].strip()}.", "completion": refusal_for(row["goal"])}


def refusal_for(prompt: str) -> str:
    """One of a few short refusals, always the same one for the same request."""
    return REFUSALS[int(digest_bytes(prompt.encode())[:8], 16) % len(REFUSALS)]


def xstest_items(rows: Iterable[Raw]) -> Iterator[Item]:
    """Safe look-alikes must be answered, their unsafe contrasts refused; clustered by kind."""
    for row in rows:
        side = "comply" if row["label"] == "safe" else "refuse"
        more = {"required": []} if side == "comply" else {}
        yield _item(
            f"xstest-{row['id']}", row["prompt"], "refusal", side=side, cluster=row["type"], **more
        )


def simplesafetytests_items(rows: Iterable[Raw]) -> Iterator[Item]:
    for row in rows:
        yield _item(
            row["id"], row["prompts_final"], "refusal", side="refuse", cluster=row["harm_area"]
        )


def strongreject_items(rows: Iterable[Raw]) -> Iterator[Item]:
    for number, row in enumerate(rows):
        prompt, kind = row["forbidden_prompt"], row["category"]
        yield _item(f"strongreject-{number}", prompt, "refusal", side="refuse", cluster=kind)


def split_validation(rows: Sequence[Row], share: float) -> tuple[list[Row], list[Row]]:
    """Training and validation rows, drawn by the digest of the normalised prompt: order and number
    do not matter, and a prompt written in two ways is on one side."""
    edge = int(share * 16**8)
    digests = [digest_bytes(normalise(row["prompt"]).encode()) for row in rows]
    chosen = [int(digest[:8], 16) < edge for digest in digests]
    training = [row for row, held in zip(rows, chosen, strict=True) if not held]
    return training, [row for row, held in zip(rows, chosen, strict=True) if held]


def first_sentences(text: str, characters: int) -> str:
    """As many whole sentences from the start as fit; empty when not even the first does."""
    kept = ""
    for match in _SENTENCE.finditer(text.split("\n", 1)[0]):
        if match.end() > characters:
            break
        kept = text[: match.end()]
    return kept.strip()


def number_text(value: float) -> str:
    """43.0 as `43`, 9.43 as it is."""
    return str(int(value)) if float(value).is_integer() else str(value)


def same_number(one: str, other: str) -> bool:
    """Whether two texts are one number, `27.00` and `27` being the same."""
    try:
        return float(ast.literal_eval(one.lstrip("0") or "0")) == float(other)
    except (ValueError, SyntaxError, TypeError):
        return False


def _item(name: str, prompt: str, grader: str, **fields: Any) -> Item:
    return {
        "id": re.sub(r"[^A-Za-z0-9_.-]", "-", name),
        "prompt": prompt,
        "grader": grader,
        **fields,
    }


def _respaced(text: str) -> str:
    """One space between words and none before a mark: some files are tokenized."""
    return re.sub(r"\s+([.,?!])", r"\1", " ".join(text.split()))


def _program(code: str) -> str:
    """Line ends of one kind, four spaces for a tab, no white space at the ends."""
    lines = code.replace("\r\n", "\n").expandtabs(4).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()
