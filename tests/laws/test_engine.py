"""Laws of whole merges, on files: what may change a bit of the result, and what may not."""

from __future__ import annotations

import pytest
import torch

from additive.merge.methods import METHODS
from additive.tensors.reader import leaves_of, open_checkpoint
from tests.merge import files
from tests.merge.making import merge, recipe, source

# A method that needs Grams gets them from training prompts: tests/verbs/test_gram_matrices.py.
ALL = [
    name
    for name in METHODS.names()
    if not name.startswith("mergekit/") and not getattr(METHODS.get(name), "needs_grams", False)
]
TOUCHED_BY_LORA = {f"{module}.weight" for module in files.ADAPTED}


@pytest.fixture
def world(tmp_path, request):
    """A base, two LoRAs and a full fine-tune; three LoRAs of one rank for methods that need it."""
    base = files.write_base(tmp_path / "base")
    one = files.write_lora(tmp_path / "one", 1)
    callspec = getattr(request.node, "callspec", None)
    if callspec and _needs_factors(callspec.params.get("method", ALL[0])):
        others = [files.write_lora(tmp_path / name, i) for i, name in ((2, "two"), (3, "full"))]
        return tmp_path, base, one, *others
    two = files.write_lora(tmp_path / "two", 2, rank=8)
    full = files.write_fine_tune(tmp_path / "full", base, 3)
    return tmp_path, base, one, two, full


def _needs_factors(method):
    return getattr(METHODS.get(method), "needs_factors", False)


def _same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ALL)
def test_order_threads_and_shards_change_no_bit(world, method):
    tmp, base, one, two, full = world
    sources = [source(one), source(two, 0.7), source(full, 0.5)]
    plain = merge(tmp / "a", base, recipe(*sources, method=method), workers=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 4)
    try:
        shuffled = recipe(*sources[::-1], method=method)
        assert merge(tmp / "b", base, shuffled, workers=4).weights == plain.weights
    finally:
        torch.set_num_threads(threads)
    sharded = files.write_model(tmp / "sharded", files.read(base), shards=3)
    resharded = full
    if not _needs_factors(method):
        resharded = files.write_model(tmp / "resharded", files.read(full), shards=2)
    moved = [source(one), source(two, 0.7), source(resharded, 0.5, "full")]
    moved[2] = type(moved[2])("full", sources[2].digest, resharded, 0.5)
    assert merge(tmp / "c", sharded, recipe(*moved, method=method)).weights == plain.weights
    assert _same(files.read(tmp / "a"), files.read(tmp / "c"))


@pytest.mark.parametrize("method", ALL)
def test_order_and_threads_change_no_bit_of_factors_alone(tmp_path, method):
    """Without a full fine-tune among the sources, so that core space is that of the factors."""
    base = files.write_base(tmp_path / "base")
    ranks = (4, 4, 4) if _needs_factors(method) else (4, 8, 3)
    loras = [files.write_lora(tmp_path / f"s{i}", i, rank=rank) for i, rank in enumerate(ranks)]
    sources = [source(lora, weight) for lora, weight in zip(loras, (1.0, 0.7, 0.5), strict=True)]
    plain = merge(tmp_path / "a", base, recipe(*sources, method=method), workers=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 4)
    try:
        shuffled = recipe(*sources[::-1], method=method)
        assert merge(tmp_path / "b", base, shuffled, workers=4).weights == plain.weights
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zero_deltas_and_scale_zero_give_the_base_bit_for_bit(tmp_path, method, dtype):
    base = files.write_base(tmp_path / "base", dtype)
    files.edit(base, lambda t: t["model.norm.weight"][:3].fill_(-0.0), "model.safetensors")
    none = [files.write_lora(tmp_path / f"none{i}", i, size=0.0) for i in range(2)]
    one = files.write_lora(tmp_path / "one", 1)
    if _needs_factors(method):
        still = files.write_lora(tmp_path / "still", 4, size=0.0)
        full = files.write_lora(tmp_path / "full", 3)
    else:
        still = files.write_model(tmp_path / "still", files.read(base))
        full = files.write_fine_tune(tmp_path / "full", base, 3, dtype)
    quiet = recipe(*map(source, (*none, still)), method=method)
    merge(tmp_path / "zero", base, quiet)
    merge(tmp_path / "scaled", base, recipe(source(one), source(full), method=method, scale=0.0))
    expected = (base / "model.safetensors").read_bytes()
    assert (tmp_path / "zero" / "model.safetensors").read_bytes() == expected
    assert (tmp_path / "scaled" / "model.safetensors").read_bytes() == expected


@pytest.mark.parametrize("method", ALL)
def test_a_parameter_depends_on_itself_alone(world, method):
    """Locality, for methods that take no whole-model statistics."""
    if METHODS.get(method).scope == "model":
        pytest.skip("a model-wide method sees all parameters")
    tmp, base, one, two, _ = world
    merge(tmp / "a", base, recipe(source(one), source(two), method=method))
    gone = "base_model.model.model.layers.0.mlp.up_proj"
    for adapter in (one, two):
        files.edit(adapter, lambda t: [t.pop(f"{gone}.lora_{x}.weight") for x in "AB"])
    merge(tmp / "b", base, recipe(source(one), source(two), method=method))
    before, after, start = (files.read(path) for path in (tmp / "a", tmp / "b", base))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"model.layers.0.mlp.up_proj.weight"}
    untouched = {name for name in before if torch.equal(before[name], start[name])}
    assert untouched == before.keys() - TOUCHED_BY_LORA


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_names_shapes_dtypes_order_and_leaves_are_kept(tmp_path, method, dtype):
    base = files.write_base(tmp_path / "base", dtype, shards=2)
    sources = [source(files.write_lora(tmp_path / f"s{i}", i)) for i in range(3)]
    report = merge(tmp_path / "out", base, recipe(*sources, method=method))
    with open_checkpoint(base) as before, open_checkpoint(tmp_path / "out") as after:
        assert after.shards == before.shards
        assert after.names() == before.names()
        assert [after.info(n) for n in after.names()] == [before.info(n) for n in before.names()]
        assert leaves_of(after) == report.leaves
        known = {leaf.name: leaf for leaf in leaves_of(before)}
    again = merge(
        tmp_path / "again", base, recipe(*sources, method=method), base_leaves=list(known.values())
    )
    assert again == report
    assert all(torch.isfinite(tensor).all() for tensor in files.read(tmp_path / "out").values())


def test_sums_add_up(world):
    """τ(a+b) = τ(a) + τ(b) for mixtures of LoRA and full fine-tunes: no cross terms."""
    tmp, base, one, two, full = world
    start = files.read(base)
    alone = []
    for number, path in enumerate((one, two, full)):
        merge(tmp / f"alone{number}", base, recipe(source(path)))
        alone.append(files.read(tmp / f"alone{number}"))
    merge(
        tmp / "all",
        base,
        recipe(source(one, 0.5), source(two, 2.0), source(full, -0.25), scale=0.5),
    )
    for name, merged in files.read(tmp / "all").items():
        parts = zip((0.5, 2.0, -0.25), alone, strict=True)
        expected = start[name] + 0.5 * sum(w * (model[name] - start[name]) for w, model in parts)
        torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)


DRAWING = ("dare_linear", "dare_ties", "della")


@pytest.mark.parametrize("method", [*DRAWING, *(f"core/{name}" for name in DRAWING)])
def test_another_seed_draws_other_masks(world, method):
    tmp, base, one, two, _ = world
    made = [recipe(source(one), source(two), method=method, seed=seed) for seed in (0, 0, 1)]
    digests = [merge(tmp / str(i), base, r).weights for i, r in enumerate(made)]
    assert digests[0] == digests[1] != digests[2]


def test_a_single_rounding(tmp_path):
    """In bfloat16 the merge of many is the float32 sum rounded once, not a chain of roundings."""
    base = files.write_base(tmp_path / "base", torch.bfloat16)
    adapters = [files.write_lora(tmp_path / f"s{i}", i, size=0.03) for i in range(8)]
    report = merge(tmp_path / "out", base, recipe(*map(source, adapters)))
    name = "model.layers.0.mlp.up_proj"
    delta = torch.zeros(files.SHAPES[f"{name}.weight"], dtype=torch.float64)
    for adapter in adapters:
        factors = files.read(adapter)
        A, B = (factors[f"base_model.model.{name}.lora_{x}.weight"].double() for x in "AB")
        delta += 2.0 * B @ A
    start = files.read(base)[f"{name}.weight"].double()
    found = files.read(tmp_path / "out")[f"{name}.weight"]
    assert (found != (start + delta).to(torch.bfloat16)).float().mean() < 1e-3
    lost = (found.double() - start - delta).norm() / delta.norm()
    assert report.by_parameter[f"{name}.weight"] == pytest.approx(lost.item(), rel=1e-3)
    assert report.norms[f"{name}.weight"] == pytest.approx(delta.norm().item(), rel=1e-4)
    assert 0.001 < report.rounded_away < 1
