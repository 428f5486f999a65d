"""A short file of every kind, as the reference shows it; a test loads each."""

from __future__ import annotations

EXAMPLES = {
    "workspace": """\
version: 1
base: {model: tiny}
merge: {method: auto, scale: validation}
gate: {margin: 0.05}
""",
    "domain": """\
version: 1
description: stories of two and three steps, with written work
data: {train: [train.jsonl], validation: [validation.jsonl], licence: CC0-1.0}
adapt: {kind: lora, rank: 8}
train: {rate: 5e-4, batch: 32}
grader: numeric
""",
    "suite": """\
version: 1
domain: math
tasks:
  - {name: stories, data: tasks/math_new_values.jsonl, grader: numeric, max_tokens: 48}
gate: {margin: 0.05}
""",
    "recipe": """\
version: 1
sources: [math, code, {domain: safety, weight: 0.8}]
before: [balance]
method: {name: ties, density: 0.3}
after: [{name: lines, first: 0.5}]
rules: [{match: lm_head.weight, method: base}]
scale: validation
""",
}
