"""What a recipe can say beyond sources and method: rank, rules, balance."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.deltas.model import Dense, LowRank
from additive.deltas.open import open_deltas
from additive.deltas.source import delta_norms
from additive.errors import UsageError
from additive.merge.compress import compress
from additive.merge.plan import plan
from additive.merge.recipe import ParameterRule, build_method
from additive.merge.steps.balance import balanced
from additive.types.norms import total_norm
from tests.merge import files
from tests.merge.making import changed, merge, recipe, source

UP, DOWN = "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"


@pytest.fixture
def world(tmp_path):
    base = files.write_base(tmp_path / "base")
    sources = tuple(source(files.write_lora(tmp_path / f"s{i}", i, rank=4)) for i in (1, 2, 3))
    return tmp_path, base, sources


def _delta(directory, base):
    start, found = files.read(base), files.read(directory)
    return {name: found[name] - start[name] for name in start}


@pytest.mark.parametrize("rank", [1, 5, 12, 40])
def test_compress_is_the_best_approximation(rank):
    generator = torch.Generator().manual_seed(rank)
    B, A = (torch.randn(size, generator=generator) for size in ((30, 12), (12, 50)))
    low = LowRank(B, A, 0.5)
    dense = low.dense().double()
    sigma = torch.linalg.svdvals(dense)
    for delta in (low, Dense(low.dense())):
        made = compress(delta, rank)
        assert made.delta.rank <= rank
        left_out = (dense - made.delta.dense().double()).norm()
        expected = sigma[rank:].norm()
        assert left_out == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
        energy = 1 - (expected / sigma.norm()).item() ** 2
        assert made.energy == pytest.approx(energy, abs=1e-7)


def _check_energies(report, exact, rank):
    """What a report says was left out is what the singular values beyond the rank hold."""
    squares = {n: torch.linalg.svdvals(exact[n].double()).square() for n in report.norms}
    lost = {name: (s[rank:].sum() / s.sum()).item() for name, s in squares.items()}
    total = sum(s.sum().item() for s in squares.values())
    all_lost = sum(s[rank:].sum().item() for s in squares.values()) / total
    assert report.energy == pytest.approx({n: 1 - x for n, x in lost.items()}, rel=1e-3)
    worst = max(lost, key=lost.__getitem__)
    by_layer = []
    for layer in ("0", "1"):
        inside = [s for n, s in squares.items() if f".layers.{layer}." in n]
        share = sum(s[:rank].sum().item() for s in inside) / sum(s.sum().item() for s in inside)
        by_layer.append(f"{layer} {share:.1%}")
    said = f"keeps {1 - all_lost:.1%} of ‖Δ‖² (by layer: {', '.join(by_layer)}), least in {worst}:"
    assert report.notes == (f"rank {rank} {said} {1 - lost[worst]:.1%}",)


def test_an_adapter_of_a_given_rank(world):
    tmp, base, sources = world
    whole = recipe(*sources)
    merge(tmp / "exact", base, whole)
    exact = _delta(tmp / "exact", base)
    for method in ("task_arithmetic", "ties"):
        made = changed(recipe(*sources, method=method, output="adapter"), rank=6)
        report = merge(tmp / method, base, made)
        assert "rank 6 keeps" in report.notes[0]
        assert 0 < min(report.energy.values()) < 1
        assert report.rounded_away == 0, "a cut is no rounding"
        if method == "task_arithmetic":
            _check_energies(report, exact, 6)
    factors = files.read(tmp / "task_arithmetic")
    A, B = (factors[f"base_model.model.{UP[:-7]}.lora_{x}.weight"] for x in "AB")
    assert A.shape[0] == 6
    sigma = torch.linalg.svdvals(exact[UP].double())
    assert (exact[UP] - B @ A).norm() == pytest.approx(sigma[6:].norm().item(), rel=1e-3)
    lost = (exact[UP] - B @ A).norm() / exact[UP].norm()
    assert lost.item() == pytest.approx((sigma[6:].norm() / sigma.norm()).item(), rel=1e-3)
    with pytest.raises(UsageError, match="rank cannot be used when the output is a checkpoint"):
        plan(changed(whole, rank=6), base)
    with pytest.raises(UsageError, match="rank is 0"):
        plan(changed(whole, output="adapter", rank=0), base)


def test_a_rank_of_its_own_is_that_of_one_module_alone(tmp_path):
    """PEFT matches the keys of rank_pattern at the end of a module's name; dots match anything."""
    modules = ("up", "a.up", "a_up", "b.up")
    base = files.write_model(tmp_path / "base", {f"{m}.weight": torch.zeros(9, 9) for m in modules})
    sources = [_of_ranks(tmp_path / f"s{n}", n, dict(zip(modules, (1, 2, 2, 2), strict=True)))
               for n in (1, 2)]  # fmt: skip
    merge(tmp_path / "adapter", base, recipe(*sources, output="adapter"))
    merge(tmp_path / "whole", base, recipe(*sources))
    merge(tmp_path / "again", base, recipe(source(tmp_path / "adapter")))
    whole, again = files.read(tmp_path / "whole"), files.read(tmp_path / "again")
    for name, expected in whole.items():
        torch.testing.assert_close(again[name], expected, rtol=1e-5, atol=1e-6)


def _of_ranks(directory, seed, ranks):
    """A LoRA whose modules have ranks and scales of their own."""
    shapes = {}
    for module, rank in ranks.items():
        shapes[f"base_model.model.{module}.lora_A.weight"] = (rank, 9)
        shapes[f"base_model.model.{module}.lora_B.weight"] = (9, rank)
    directory.mkdir()
    save_file(files.values(seed, shapes, 0.3), directory / "adapter_model.safetensors")
    patterns = {f"^{module.replace('.', chr(92) + '.')}": rank for module, rank in ranks.items()}
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "rank_pattern": patterns}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return source(directory)


def test_the_first_rule_that_matches_wins(world):
    tmp, base, sources = world
    rules = (
        ParameterRule("*.down_proj.weight", None),
        ParameterRule("*.mlp.*", build_method("linear"), 2.0),
        ParameterRule("*", build_method("ties", {"density": 1.0})),
    )
    made = replace(recipe(*sources, scale=0.5), rules=rules)
    checked = {tensor.name: tensor for tensor in plan(made, base).tensors}
    assert checked[DOWN].action == "copy"
    merge(tmp / "from_rule", base, made)
    merge(tmp / "linear", base, recipe(*sources, method="linear", scale=2.0))
    merge(tmp / "ties", base, recipe(*sources, method="ties", parameters={"density": 1.0}))
    from_rule, linear, ties = (files.read(tmp / name) for name in ("from_rule", "linear", "ties"))
    assert torch.equal(from_rule[DOWN], files.read(base)[DOWN])
    assert torch.equal(from_rule[UP], linear[UP])
    other = "model.layers.1.self_attn.q_proj.weight"
    assert torch.equal(from_rule[other], ties[other])
    assert plan(made, base).digest != plan(recipe(*sources, scale=0.5), base).digest
    surveying = ParameterRule("*", build_method("localize_and_stitch"))
    with pytest.raises(UsageError, match="surveys the whole model"):
        plan(replace(made, rules=(surveying,)), base)


def test_a_rule_under_a_method_that_surveys_the_model(world):
    tmp, base, sources = world
    rule = ParameterRule("*.up_proj.weight", build_method("ties"))
    made = replace(recipe(*sources, method="localize_and_stitch"), rules=(rule,))
    merge(tmp / "mixed", base, made)
    merge(tmp / "ties", base, recipe(*sources, method="ties"))
    assert torch.equal(files.read(tmp / "mixed")[UP], files.read(tmp / "ties")[UP])


def test_balance_shrinks_the_long(world):
    tmp, base, sources = world
    loud = source(files.write_lora(tmp / "loud", 9, size=0.4))
    made = recipe(*sources, loud)
    opened = open_base(base)
    lengths = {
        s.digest: total_norm(delta_norms(open_deltas(s.directory, opened, s.name, s.digest)))
        for s in made.sources
    }
    even = balanced(made, lengths)
    weights = {s.name: s.weight for s in even.sources}
    assert weights["loud"] < 0.2
    assert all(0.9 < weights[s.name] <= 1.0 for s in sources)
    merge(tmp / "even", base, even)
    assert plan(even, base).digest != plan(made, base).digest


def test_a_rule_that_can_match_nothing_is_refused(world):
    """A mistyped pattern decides nothing; one that no source of this merge trained may stay."""
    _, base, sources = world
    rules = (ParameterRule("*.up_porj.weight", None),)
    with pytest.raises(UsageError, match=r"'\*.up_porj.weight' matches no parameter") as caught:
        plan(replace(recipe(*sources), rules=rules), base)
    assert "names are like" in str(caught.value.help)
    untrained = (
        ParameterRule("*.experts.weight", None),
        ParameterRule("*wte.weight", build_method("linear")),
    )
    assert plan(replace(recipe(*sources), rules=untrained), base).rule_counts == (0, 0)


def test_rules_that_keep_the_base_everywhere_are_refused(world):
    _, base, sources = world
    with pytest.raises(UsageError, match="rules keep the base's values of every parameter"):
        plan(replace(recipe(*sources), rules=(ParameterRule("*", None),)), base)
