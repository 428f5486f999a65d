"""Diagnosis finds what was planted, and measures on factors what the dense deltas would give."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.deltas.model import tiles
from additive.merge.diagnose import diagnose, find
from additive.merge.measures import Measures, Pair, conflicts
from additive.merge.sources import open_sources
from tests.merge import files
from tests.merge.making import recipe, source

UP = "model.layers.0.mlp.up_proj.weight"


def _diagnosis(base, *directories):
    opened = open_sources(recipe(*map(source, directories)), open_base(base))
    return diagnose(opened, workers=1)


def _kinds(found):
    return {finding.kind for finding in found.findings}


def _copy(directory, of, change):
    directory.mkdir()
    (directory / "adapter_config.json").write_text((of / "adapter_config.json").read_text())
    tensors = files.read(of)
    save_file(
        {n: change(n, t) for n, t in tensors.items()}, directory / "adapter_model.safetensors"
    )
    return directory


def test_numbers_are_those_of_the_dense_deltas(tmp_path, base):
    one, two = (files.write_lora(tmp_path / f"s{i}", i, rank=2 + 2 * i) for i in (1, 2))
    opened = open_sources(recipe(source(one), source(two)), open_base(base))
    ranks = [opened.sources[i].rank(UP) for i in (0, 1)]
    found = diagnose(opened, workers=2)
    for name, measures in found.parameters.items():
        first, second = (d.dense().double() for d in opened.stack(name, 0).deltas)
        assert measures.norms == pytest.approx(
            (first.norm().item(), second.norm().item()), rel=1e-5
        )
        pair = measures.pairs[0]
        cosine = ((first * second).sum() / first.norm() / second.norm()).item()
        assert pair.cosine == pytest.approx(cosine, abs=1e-6)
        for side, x, y in (("left", first, second), ("right", first.T, second.T)):
            Q, P = (
                torch.linalg.svd(m, full_matrices=False)[0][:, :rank]
                for m, rank in zip((x, y), ranks, strict=True)
            )
            expected = (Q.T @ P).square().sum().item() / 4
            assert getattr(pair, side) == pytest.approx(expected, abs=1e-5)
    total = sum(m.norms[0] ** 2 for m in found.parameters.values()) ** 0.5
    assert found.whole.norms[0] == pytest.approx(total)


def test_the_whole_and_every_layer_are_weighted_means_of_their_parameters(tmp_path, base):
    folders = [files.write_lora(tmp_path / f"s{i}", i, rank=i) for i in (1, 2, 3)]
    found = _diagnosis(base, *folders)
    groups = {"0": [], "1": [], None: list(found.parameters.values())}
    for name, measures in found.parameters.items():
        groups[name.split(".")[2]].append(measures)
    for layer, members in groups.items():
        whole = found.whole if layer is None else found.layers[layer]
        for number, pair in enumerate(whole.pairs):
            weights = [m.norms[pair.first] * m.norms[pair.second] for m in members]
            for what in ("cosine", "left", "right", "conflicts", "interference", "unrelated"):
                values = [getattr(m.pairs[number], what) for m in members]
                mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
                assert getattr(pair, what) == pytest.approx(mean)
        sizes = [sum(m.norms) for m in members]
        mean = sum(s * m.interference for s, m in zip(sizes, members, strict=True)) / sum(sizes)
        assert whole.interference == pytest.approx(mean)
        assert whole.over_accumulation == max(m.over_accumulation for m in members)


def test_a_few_tiles_stand_for_a_large_matrix(tmp_path):
    shape = (4000, 700)
    assert len(list(tiles(shape))) > 8
    weights, one, two = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    growing = torch.linspace(0, 0.02, shape[0]).unsqueeze(1)
    deltas = [growing * one, growing * (one + two)]
    base = files.write_model(tmp_path / "base", {UP: weights})
    folders = [
        files.write_model(tmp_path / f"s{i}", {UP: weights + delta})
        for i, delta in enumerate(deltas)
    ]
    opened = open_sources(recipe(*map(source, folders)), open_base(base))
    order = [int(s.name[1]) for s in opened.sources]
    found = diagnose(opened, workers=1).parameters[UP]
    assert found.norms == pytest.approx([deltas[i].norm().item() for i in order], rel=0.05)
    assert found.pairs[0].cosine == pytest.approx(0.5**0.5, abs=0.01)
    assert found.pairs[0].conflicts == pytest.approx(conflicts(deltas)[0, 1].item(), abs=0.01)


def _pair(cosine=0.0, left=0.0, right=0.0, conflicts=0.5, interference=0.0, unrelated=0.05):
    pair = Pair(0, 1, cosine, left, right, conflicts, interference, unrelated)
    return Measures((1.0, 1.0), (pair,), 0.0, 1.0)


@pytest.mark.parametrize(
    ("whole", "kind"),
    [
        (_pair(), "none"),
        (_pair(cosine=0.3), "aligned"),
        (_pair(cosine=-0.2), "opposed_directions"),
        (_pair(left=0.4), "overlap"),
        (_pair(interference=0.2), "interference"),
        (_pair(conflicts=0.57), "sign_conflict"),
        (_pair(cosine=0.2, left=0.2, right=0.2, conflicts=0.4), "none"),
        (_pair(interference=0.2, unrelated=0.15), "none"),
        (replace(_pair(), norms=(4.0, 1.0)), "norms"),
        (replace(_pair(), over_accumulation=1.9), "over_accumulation"),
    ],
)
def test_a_trouble_alone_is_named_alone(whole, kind):
    (finding,) = find(("a", "b"), whole, {UP: whole}, {"0": whole})
    assert finding.kind == kind
    assert finding.help


def test_unrelated_sources_are_quiet(tmp_path, base):
    pair = [files.write_lora(tmp_path / f"s{i}", i, modules=files.ADAPTED[1:3]) for i in (1, 2)]
    found = _diagnosis(base, *pair)
    assert abs(found.whole.pairs[0].cosine) < 0.05
    assert 0.4 < found.whole.pairs[0].conflicts < 0.6
    assert not {"norms", "aligned", "opposed_directions"} & _kinds(found)


def test_what_was_planted_is_found(tmp_path, base):
    one = files.write_lora(tmp_path / "one", 1, modules=files.ADAPTED[1:3])
    other = files.write_lora(tmp_path / "other", 2, modules=files.ADAPTED[1:3])
    twin = _copy(tmp_path / "twin", one, lambda n, t: t.clone())
    enemy = _copy(tmp_path / "enemy", one, lambda n, t: -t if "lora_B" in n else t.clone())
    loud = _copy(tmp_path / "loud", other, lambda n, t: 5 * t if "lora_B" in n else t.clone())
    alike = _diagnosis(base, one, twin)
    assert {"aligned", "over_accumulation"} <= _kinds(alike)
    assert alike.whole.over_accumulation == pytest.approx(2.0, rel=1e-3)
    assert "opposed_directions" in _kinds(_diagnosis(base, one, enemy))
    longest = _diagnosis(base, one, loud)
    assert "norms" in _kinds(longest)
    assert "loud is" in next(f.sentence for f in longest.findings if f.kind == "norms")

    def same_inputs(name, tensor):
        theirs = files.read(one)
        return theirs[name].clone() if "lora_A" in name else tensor

    sharing = _copy(tmp_path / "sharing", other, same_inputs)
    found = _diagnosis(base, one, sharing)
    assert "share 100% of their inputs" in " ".join(f.sentence for f in found.findings)


def test_full_fine_tunes_are_measured_too(tmp_path, base):
    lora = files.write_lora(tmp_path / "lora", 1)
    full = files.write_fine_tune(tmp_path / "full", base, 2)
    found = _diagnosis(base, lora, full)
    assert len(found.parameters) == len(files.SHAPES)
    assert found.whole.interference is None
    json.dumps([pair.cosine for pair in found.whole.pairs])


def test_interference_and_accumulation_are_those_of_dense_singular_vectors(tmp_path, base):
    folders = [files.write_lora(tmp_path / f"s{i}", i, rank=2 + i) for i in (1, 2, 3)]
    opened = open_sources(recipe(*map(source, folders)), open_base(base))
    found = diagnose(opened, workers=1)
    for name, measures in found.parameters.items():
        deltas = [d.dense().double() for d in opened.stack(name, 0).deltas]
        triples = [torch.linalg.svd(delta, full_matrices=False) for delta in deltas]
        kept = [int((s > 1e-6 * s[0]).sum()) for _, s, _ in triples]
        U = torch.cat([u[:, :k] for (u, _, _), k in zip(triples, kept, strict=True)], dim=1)
        V = torch.cat([v[:k].T for (_, _, v), k in zip(triples, kept, strict=True)], dim=1)
        sigma = torch.cat([s[:k] for (_, s, _), k in zip(triples, kept, strict=True)])
        eye = torch.eye(len(sigma), dtype=torch.float64)
        crossed = (U.T @ U - eye) @ torch.diag(sigma) @ (V.T @ V - eye)
        expected = (crossed.abs().sum() / sigma.sum()).item()
        assert measures.interference == pytest.approx(expected, rel=1e-4)
        total = sum(deltas)
        top = torch.linalg.svd(total, full_matrices=False)[0][:, :10]
        parts = torch.stack([top.T @ delta for delta in deltas])
        shares = ((top.T @ total) * parts).sum(dim=2) / parts.square().sum(dim=2)
        strongest = parts.square().sum(dim=2).argmax(dim=0)
        worst = shares.gather(0, strongest[None]).max().item()
        # A sum of rank below ten has no tenth direction: what a full SVD puts there is rounding.
        if sum(kept) >= 10:
            assert measures.over_accumulation == pytest.approx(worst, rel=1e-3)


def test_a_pair_interferes_as_the_two_alone_would(tmp_path, base):
    folders = [files.write_lora(tmp_path / f"s{i}", i, rank=1 + i) for i in (1, 2, 3)]
    found = _diagnosis(base, *folders)
    places = {name: place for place, name in enumerate(found.sources)}
    for folder in folders:
        others = [f for f in folders if f != folder]
        alone = _diagnosis(base, *others)
        first, second = sorted(places[f.name] for f in others)
        for name, measures in found.parameters.items():
            (pair,) = [p for p in measures.pairs if (p.first, p.second) == (first, second)]
            assert pair.interference == pytest.approx(alone.parameters[name].interference, rel=1e-9)


def test_layers_add_up_to_the_whole_and_a_finding_names_the_worst_one(tmp_path, base):
    one, other = (files.write_lora(tmp_path / n, s) for n, s in (("one", 1), ("other", 2)))
    theirs = files.read(one)

    def same_in_layer_1(name, tensor):
        return theirs[name].clone() if ".layers.1." in name else tensor

    found = _diagnosis(base, one, _copy(tmp_path / "twin", other, same_in_layer_1))
    assert list(found.layers) == ["0", "1"]
    assert found.layers["1"].pairs[0].cosine == pytest.approx(1.0)
    squares = [sum(layer.norms[i] ** 2 for layer in found.layers.values()) for i in range(2)]
    assert [norm**2 for norm in found.whole.norms] == pytest.approx(squares)
    full = files.write_fine_tune(tmp_path / "full", base, 3)
    assert "outside" in _diagnosis(base, one, full).layers
    for layer in ("0", "1"):

        def undone(name, tensor, layer=layer):
            inside = f".layers.{layer}." in name
            return theirs[name] * (-30.0 if "lora_B" in name else 1.0) if inside else tensor

        planted = _diagnosis(base, one, _copy(tmp_path / f"planted{layer}", other, undone))
        (said,) = [f.sentence for f in planted.findings if f.kind == "opposed_directions"]
        assert f"most in layer {layer})" in said
