"""Candidates: prepared once, the same deltas as a merge, the same bits from the cache."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import pytest
import torch

from additive.deltas.base import open_base
from additive.errors import UnknownName, UsageError
from additive.merge.candidates import prepare
from additive.merge.core import Triangles, keep_triangles, read_triangles
from additive.merge.default_rules import default_rules
from additive.merge.diagnose import diagnose
from additive.merge.recipe import ParameterRule, build_method
from additive.merge.resident import switching
from additive.merge.sources import open_sources
from tests.deltas import tiny
from tests.merge import files
from tests.merge.making import merge, recipe, source

METHODS = (
    *("task_arithmetic", "linear", "tsv_m", "swudi", "pico", "ties", "localize_and_stitch"),
    "core/dare_ties",
)
ALL = (*METHODS, "svc", "iso_c", "ctm", "dare_ties", "mergekit/sce")


@pytest.fixture
def world(tmp_path):
    base = files.write_base(tmp_path / "base")
    sources = [source(files.write_lora(tmp_path / f"s{i}", i)) for i in (1, 2)]
    full = source(files.write_fine_tune(tmp_path / "full", base, 3))
    return tmp_path, base, sources, full


@pytest.mark.parametrize("mixed", [False, True])
def test_a_candidate_is_the_merge_of_its_method_and_weights(world, mixed):
    tmp, base, sources, full = world
    chosen = [*sources, full] if mixed else sources
    start = files.read(base)
    with prepare(base, chosen) as prepared:
        for method in METHODS:
            deltas = prepared.apply(build_method(method), {"s1": 0.5}, scale=0.8)
            weighted = [source(s.directory, 0.5 if s.name == "s1" else 1.0) for s in chosen]
            out = tmp / method.replace("/", "-")
            merge(out, base, recipe(*weighted, method=method, scale=0.8))
            merged = files.read(out)
            assert deltas.keys() == {n for n in merged if not torch.equal(merged[n], start[n])}
            for name, delta in deltas.items():
                torch.testing.assert_close(
                    start[name] + delta.dense(), merged[name], rtol=1e-5, atol=1e-6
                )


def _close(found, expected):
    assert found.keys() == expected.keys()
    for name, delta in found.items():
        torch.testing.assert_close(delta.dense(), expected[name].dense(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_some_of_the_prepared_sources_are_merged_as_if_they_were_alone(world, method):
    """So that a portfolio of snapshots is decomposed once."""
    tmp, base, sources, full = world
    other = source(files.write_lora(tmp / "other", 9, rank=6))
    made, weights = build_method(method), {} if "/" in method else {"s2": 0.5}
    for others, chosen in (([other, full], sources), ([sources[0]], [other, sources[1]])):
        with prepare(base, [*others, *chosen]) as many, prepare(base, chosen) as few:
            names = [one.name for one in chosen]
            _close(many.apply(made, weights, 0.8, of=names), few.apply(made, weights, 0.8))


def test_a_name_is_the_method_with_what_it_has_by_itself(world):
    _, base, sources, _ = world
    with prepare(base, sources) as prepared:
        _close(
            prepared.apply("ties", {"s1": 0.5}), prepared.apply(build_method("ties"), {"s1": 0.5})
        )
        with pytest.raises(UnknownName, match="did you mean 'tsv_m'"):
            prepared.apply("tsvm")


def test_rules_are_those_of_a_merge(world):
    tmp, base, sources, full = world
    method = build_method("ties")
    rules = (ParameterRule("*.up_proj.weight", None), *default_rules(method))
    made = replace(recipe(*sources, full, method="ties", scale=0.8), rules=rules)
    merge(tmp / "from_rule", base, made)
    start, merged = files.read(base), files.read(tmp / "from_rule")
    with prepare(base, [*sources, full]) as prepared:
        deltas = prepared.apply(method, scale=0.8, rules=rules)
    for name, delta in deltas.items():
        torch.testing.assert_close(start[name] + delta.dense(), merged[name], rtol=1e-5, atol=1e-6)


def test_what_is_kept_gives_the_same_bits(world):
    tmp, base, sources, _ = world
    plain = prepare(base, sources)
    first = prepare(base, sources, tmp / "cache")
    again = prepare(base, sources[::-1], tmp / "cache")
    assert len(list((tmp / "cache").glob("cores-*.safetensors"))) == 1
    for method in ("tsv_m", "swudi", "svc"):
        found = [p.apply(build_method(method)) for p in (plain, first, again)]
        for name, delta in found[0].items():
            assert all(torch.equal(other[name].dense(), delta.dense()) for other in found[1:])
    other = source(files.write_lora(tmp / "other", 7))
    prepare(base, [sources[0], other], tmp / "cache")
    assert len(list((tmp / "cache").glob("cores-*.safetensors"))) == 2


def test_mistakes_are_refused(world):
    _, base, sources, _ = world
    with prepare(base, sources) as prepared:
        with pytest.raises(UnknownName, match="did you mean 's1'"):
            prepared.apply(build_method("tsv_m"), {"s11": 1.0})
        with pytest.raises(UsageError, match="add up to 0"):
            prepared.apply(build_method("linear"), {"s1": 1.0, "s2": -1.0})
        for number in (math.nan, math.inf):
            with pytest.raises(UsageError, match=r"weight of s1 is .* a finite number"):
                prepared.apply(build_method("tsv_m"), {"s1": number})
            with pytest.raises(UsageError, match=r"scale is .* a finite number"):
                prepared.apply(build_method("tsv_m"), scale=number)
        with pytest.raises(UnknownName, match="unknown source 's3'"):
            prepared.apply(build_method("tsv_m"), of=["s1", "s3"])
        with pytest.raises(UnknownName, match="unknown source 's2'"):
            prepared.apply(build_method("tsv_m"), {"s2": 1.0}, of=["s1"])
        with pytest.raises(UsageError, match="needs at least one source"):
            prepared.apply(build_method("tsv_m"), of=[])


def test_a_resident_model_switches_and_is_itself_again(tmp_path):
    base = tiny.save_base(tmp_path / "base", "llama")
    adapters = [
        tiny.save_adapter(tmp_path / f"a{i}", base, seed=i, r=4, target_modules=["q_proj"])
        for i in (1, 2)
    ]
    model, before = tiny.load(base), tiny.load(base).state_dict()
    with prepare(base, list(map(source, adapters))) as prepared, switching(model, prepared) as show:
        for method in ("tsv_m", "task_arithmetic"):
            show(prepared.apply(build_method(method)))
            merge(tmp_path / method, base, recipe(*map(source, adapters), method=method))
            expected = tiny.load(tmp_path / method).state_dict()
            for name, tensor in model.state_dict().items():
                torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)
        show({})
        assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
        show(prepared.apply(build_method("tsv_m")))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def _triangles(folder):
    (found,) = folder.glob("triangles-*.safetensors")
    return found


def test_a_diagnosis_takes_what_prepare_left_and_leaves_it(world):
    tmp, base, sources, full = world
    fresh = _diagnosis(base, sources)
    prepare(base, sources, tmp / "cache").close()
    left = _triangles(tmp / "cache").read_bytes()
    assert _diagnosis(base, sources, tmp / "cache") == fresh
    assert _diagnosis(base, sources[::-1], tmp / "own") == fresh
    assert _triangles(tmp / "own").read_bytes() == left, "the bits of either way are the same"
    mixed = [*sources, full]
    assert _diagnosis(base, mixed, tmp / "mixed") == _diagnosis(base, mixed, tmp / "mixed")


def test_factors_are_not_decomposed_again(world):
    tmp, base, sources, _ = world
    fresh = _diagnosis(base, sources, tmp / "cache")
    file, before = _triangles(tmp / "cache"), os.stat(_triangles(tmp / "cache"))
    twice = {name: Triangles(2 * t.B, t.A.clone()) for name, t in read_triangles(file).items()}
    assert _diagnosis(base, sources, tmp / "cache") == fresh
    assert os.stat(file).st_ino == before.st_ino, "nothing was written"
    keep_triangles(file, twice)
    found = _diagnosis(base, sources, tmp / "cache")
    assert found.whole.norms == pytest.approx([2 * norm for norm in fresh.whole.norms])


DAMAGES = [("cores", "cut"), ("cores", "empty"), ("cores", "other names")]
DAMAGES += [("triangles", "cut"), ("triangles", "empty"), ("triangles", "a bit")]


@pytest.mark.parametrize(("file", "damage"), DAMAGES)
def test_a_damaged_cache_is_made_again(world, file, damage):
    tmp, base, sources, _ = world
    cache, wanted = tmp / "cache", _diagnosis(base, sources)
    first = prepare(base, sources, cache).apply(build_method("tsv_m"))
    (path,) = cache.glob(f"{file}-*")
    whole = path.read_bytes()
    bit, names = whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b".left", b".LEFT")
    damaged = {"cut": whole[:-1], "empty": b"", "a bit": bit, "other names": names}
    path.write_bytes(damaged[damage])
    if file == "triangles":
        assert _diagnosis(base, sources, cache) == wanted
    again = prepare(base, sources, cache).apply(build_method("tsv_m"))
    assert all(torch.equal(again[n].dense(), delta.dense()) for n, delta in first.items())
    assert path.read_bytes() == whole


def test_one_specialist_twice_is_refused(world):
    _, base, sources, _ = world
    with pytest.raises(UsageError, match="twice"):
        prepare(base, [sources[0], sources[0]])


def _diagnosis(base, sources, cache=None):
    opened = open_sources(recipe(*sources), open_base(base))
    try:
        return diagnose(opened, cache=cache)
    finally:
        opened.close()
