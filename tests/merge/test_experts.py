"""The experts of a fused parameter are merged one by one, as the matrices that they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from additive.deltas.model import Dense, Experts, LowRank
from additive.merge.apply import calibrated, merged_part
from additive.merge.candidates import prepare
from additive.merge.diagnose import diagnose
from additive.merge.method import DeltaStack
from additive.merge.plan import plan
from additive.merge.recipe import ParameterRecipe, build_method, build_step
from additive.testing import random_stack
from tests.deltas import tiny
from tests.deltas.kinds import KINDS
from tests.merge.making import merge, recipe, source

EXPERTS, ROWS, COLUMNS = 3, 7, 9
SPECTRAL = ("tsv_m", "swudi", "iso_c", "ctm", "pico", "svc", "core/ties")
STEPPED = ({"before": ("pico",)}, {"after": ("svc",)}, {"before": ("pico",), "after": ("svc",)})


@pytest.fixture
def fused() -> DeltaStack:
    """Two sources of ranks 2 and 3 on a parameter of three experts."""
    stack = random_stack((EXPERTS, ROWS, COLUMNS), 2, seed=4)
    generator = torch.Generator().manual_seed(1)
    deltas = tuple(
        Experts(
            torch.randn(EXPERTS, ROWS, rank, generator=generator),
            torch.randn(EXPERTS, rank, COLUMNS, generator=generator),
            0.5 * rank,
        )
        for rank in (2, 3)
    )
    return replace(stack, deltas=deltas, weights=(1.0, 0.5), total=1.5)


def alone(stack: DeltaStack, index: int) -> DeltaStack:
    """The stack of one expert, as if it had a parameter of its own."""
    factors = tuple(
        LowRank(d.B[index], d.A[index], d.scale) for d in stack.deltas if isinstance(d, Experts)
    )
    return replace(stack, base=stack.base[index], deltas=factors)


def part(method: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> ParameterRecipe:
    return ParameterRecipe(
        build_method(method),
        0.8,
        before=tuple(map(build_step, before)),
        after=tuple(map(build_step, after)),
    )


@pytest.mark.parametrize("method", SPECTRAL)
def test_a_spectral_method_merges_every_expert_by_itself(fused, method):
    found = merged_part(part(method), fused).dense()
    for index in range(EXPERTS):
        torch.testing.assert_close(
            found[index], merged_part(part(method), alone(fused, index)).dense()
        )


@pytest.mark.parametrize("steps", STEPPED)
@pytest.mark.parametrize("method", ["task_arithmetic", "swudi", "ties"])
def test_steps_see_every_expert_by_itself(fused, method, steps):
    made = part(method, **steps)
    found = merged_part(made, fused).dense()
    for index in range(EXPERTS):
        torch.testing.assert_close(found[index], merged_part(made, alone(fused, index)).dense())
    for position, delta in enumerate(calibrated(made, fused).deltas):
        expected = [calibrated(made, alone(fused, i)).deltas[position] for i in range(EXPERTS)]
        torch.testing.assert_close(delta.dense(), torch.stack([e.dense() for e in expected]))


def test_factors_of_experts_stay_factors(fused):
    assert isinstance(merged_part(part("swudi"), fused), Experts)


def test_the_random_numbers_of_an_expert_are_those_of_its_rows(fused):
    whole = fused.uniform(fused.sources[0])
    for index, expert in enumerate(fused.experts()):
        assert torch.equal(expert.uniform(fused.sources[0]), whole[index])


@pytest.fixture
def biases() -> DeltaStack:
    """Two sources that trained the biases of three experts: one directly, one by factors."""
    stack = random_stack((EXPERTS, COLUMNS), 2, seed=5)
    deltas = (Dense(stack.deltas[0].dense()), stack.deltas[1])
    return replace(stack, name="mlp.experts.down_proj_bias", deltas=deltas)


@pytest.mark.parametrize("steps", [{}, *STEPPED])
@pytest.mark.parametrize("method", SPECTRAL)
def test_biases_of_experts_are_vectors(biases, method, steps):
    """Of the shape of a matrix, and none: no spectrum, and steps leave them alone."""
    sums = getattr(build_method(method), "sums_orthogonal", False)
    shares = [weight / (1 if sums else 2) for weight in biases.weights]
    terms = zip(shares, biases.deltas, strict=True)
    expected = sum((share * delta.dense() for share, delta in terms), torch.zeros(biases.shape))
    made = part(method, **steps)
    torch.testing.assert_close(merged_part(made, biases).dense(), 0.8 * expected)
    assert calibrated(made, biases) is biases
    matrix = replace(biases, name="mlp.experts.down_proj.weight")
    assert not torch.allclose(merged_part(made, matrix).dense(), 0.8 * expected)


def test_factors_on_biases_of_experts_are_no_candidates_core(tmp_path):
    family, settings, config = KINDS["stacked experts and their biases"]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    chosen = [source(tiny.save_adapter(tmp_path / f"{s}", base, seed=s, **config)) for s in (1, 2)]
    name = next(name for name in tiny.load(base).state_dict() if name.endswith("gate_up_proj_bias"))
    with prepare(base, chosen) as prepared:
        assert name in prepared.opened.parameters()
        assert name not in prepared.cores
        assert diagnose(prepared.opened).parameters[name].over_accumulation is None


@pytest.mark.parametrize(
    ("method", "said"), [("svc", "averaged over all sources"), ("tsv_m", "summed")]
)
def test_what_is_no_matrix_is_noted_with_what_is_done_to_it(tmp_path, method, said):
    """A full fine-tune has fused parameters and biases; LoRA on experts has factors of each."""
    family, settings, config = KINDS["stacked experts"]
    base = tiny.save_base(tmp_path / "base", family, **settings)
    tuned = source(tiny.save_fine_tune(tmp_path / "tuned", base))
    lora = source(tiny.save_adapter(tmp_path / "lora", base, **config))
    assert plan(recipe(lora, method=method), base).notes == ()
    assert plan(recipe(lora, tuned), base).notes == ()
    (note,) = plan(recipe(lora, tuned, method=method), base).notes
    assert said in note and f"{method} is for matrices" in note
    start = tiny.load(base).state_dict()
    beside = sum(tensor.dim() != 2 or name.endswith("bias") for name, tensor in start.items())
    assert f": {beside} other parameters (" in note
    merge(tmp_path / "out", base, recipe(lora, tuned, method=method))
    merged, other = (tiny.load(tmp_path / n).state_dict() for n in ("out", "tuned"))
    name = next(name for name in start if name.endswith("q_proj.bias"))
    share = 1.0 if said == "summed" else 0.5
    torch.testing.assert_close(merged[name] - start[name], share * (other[name] - start[name]))
