"""The default method follows what the sources are; what is asked for by name is taken as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from additive.spec.method import MethodSpec
from additive.spec.recipe import MergeSpec
from additive.verbs.merge_request import LORA_METHOD, OTHER_METHOD, resolve_method

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
KINDS = {"dora": {**LORA, "use_dora": True}, "ia3": {"peft_type": "IA3"}, "full": None}
DEFAULT = MergeSpec().method


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    found = {}
    for name, config in {"math": LORA, "code": {**LORA, "use_rslora": True}, **KINDS}.items():
        found[name] = tmp_path / name
        found[name].mkdir()
        if config is not None:
            (found[name] / "adapter_config.json").write_text(json.dumps(config))
    return found


def test_plain_lora_is_merged_by_its_factors(places):
    sources = {name: places[name] for name in ("math", "code")}
    assert resolve_method(DEFAULT, None, {}, sources) == (MethodSpec.of(LORA_METHOD), ())


@pytest.mark.parametrize("kind", KINDS)
def test_one_source_that_is_no_plain_lora_makes_it_a_sum_and_is_named(places, kind):
    sources = {name: places[name] for name in ("math", kind)}
    spec, notes = resolve_method(DEFAULT, None, {}, sources)
    assert spec.resolved() == {"name": OTHER_METHOD}
    assert len(notes) == 1 and kind in notes[0] and "math" not in notes[0]


def test_what_is_asked_for_by_name_is_taken_for_every_kind(places):
    written = MethodSpec.of("ties", {"density": 0.3})
    assert resolve_method(written, None, {}, places) == (written, ())
    assert resolve_method(written, "svc", {}, places) == (MethodSpec.of("svc"), ())
    spec, _ = resolve_method(written, None, {"density": 0.4}, places)
    assert spec.resolved() == {"name": "ties", "density": 0.4}


def test_the_default_can_be_asked_for_and_takes_parameters(places):
    sources = {"math": places["math"]}
    written = MethodSpec.of("ties", {"density": 0.3})
    assert resolve_method(written, "auto", {}, sources)[0] == MethodSpec.of(LORA_METHOD)
    spec, _ = resolve_method(DEFAULT, None, {"keep": 0.5}, sources)
    assert spec.resolved() == {"name": LORA_METHOD, "keep": 0.5}
