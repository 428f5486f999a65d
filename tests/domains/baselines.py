"""Trivial baselines: what can be had without reading. None of them uses held-out answers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

Rows = Sequence[dict]
TOKEN = re.compile(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]")
NUMBER = re.compile(r"\d+")
LITERAL = re.compile(r"\[[\d,]*\]|'[a-z]*'|\d+")


def label(domain: str, row: dict) -> str:
    """Return what a baseline predicts: the final value, or the side of a request."""
    text = row["completion"]
    if domain == "safety":
        return "refuse" if text.startswith("I cannot") else "comply"
    return text if text.startswith("def ") else text.rsplit("=", 1)[-1]


def _bags(train: Rows, test: Rows) -> tuple[np.ndarray, np.ndarray]:
    words = [[TOKEN.findall(r["prompt"].lower()) for r in rows] for rows in (train, test)]
    index = {w: i for i, w in enumerate(sorted({w for row in words[0] for w in row}))}
    bags = []
    for rows in words:
        bag = np.zeros((len(rows), len(index)), dtype=np.float32)
        for i, row in enumerate(rows):
            for word in row:
                if word in index:
                    bag[i, index[word]] = 1.0
        bags.append(bag)
    return bags[0], bags[1]


def nearest(domain: str, train: Rows, test: Rows) -> list[str]:
    """Answer as the nearest training row does: cosine of words, rare words weighing more."""
    known, asked = _bags(train, test)
    rarity = np.log((1 + len(train)) / (1 + known.sum(0)))
    known, asked = known * rarity, asked * rarity
    known /= np.linalg.norm(known, axis=1, keepdims=True) + 1e-9
    best = (asked @ known.T).argmax(1)
    return [label(domain, train[i]) for i in best]


def bag_of_words(domain: str, train: Rows, test: Rows) -> list[str]:
    """Answer by naive Bayes over single words."""
    known, asked = _bags(train, test)
    labels = [label(domain, row) for row in train]
    names = sorted(set(labels))
    hot = np.array([[name == given for name in names] for given in labels], dtype=np.float32)
    counts = hot.T @ known + 0.5
    share = np.log(counts / (hot.sum(0)[:, None] + 1.0))
    prior = np.log(hot.sum(0) / len(labels))
    return [names[i] for i in (asked @ share.T + prior).argmax(1)]


def majority(domain: str, train: Rows, test: Rows) -> list[str]:
    """Answer what training answers most often."""
    most = Counter(label(domain, row) for row in train).most_common(1)[0][0]
    return [most] * len(test)


def last_number(domain: str, train: Rows, test: Rows) -> list[str]:
    """Answer the last number or literal of the prompt."""
    pattern = LITERAL if domain == "code" else NUMBER
    return [(pattern.findall(row["prompt"]) or ["0"])[-1] for row in test]


def keywords(domain: str, train: Rows, test: Rows) -> list[str]:
    """Answer by the single word that leans most: the side for safety, plus or minus for math."""
    if domain == "safety":
        known, asked = _bags(train, test)
        refused = np.array([label(domain, row) == "refuse" for row in train])
        lean = (known[refused].sum(0) + 1) / (known[~refused].sum(0) + 1)
        leaning = np.abs(np.log(lean)) * asked
        best = leaning.argmax(1)
        return ["refuse" if lean[i] > 1 else "comply" for i in best]
    answers = []
    for row in test:
        numbers = [int(n) for n in NUMBER.findall(row["prompt"])] or [0]
        falling = re.search(r"\b(left|remain|away|loses|end)\b", row["prompt"])
        total = numbers[0] - sum(numbers[1:]) if falling else sum(numbers)
        answers.append(str(total))
    return answers


BASELINES: dict[str, Callable[[str, Rows, Rows], list[str]]] = {
    "nearest neighbour": nearest,
    "bag of words": bag_of_words,
    "keyword list": keywords,
    "last number": last_number,
    "majority": majority,
}


def accuracy(domain: str, test: Rows, answers: Sequence[str]) -> float:
    """Return the share of right answers; a complying answer is taken to have its content."""
    right = [label(domain, row) == answer for row, answer in zip(test, answers, strict=True)]
    return math.fsum(right) / len(right)
