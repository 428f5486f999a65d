"""Diagnosis finds what was planted, and measures on factors what the dense deltas would give."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from additive.deltas.base import open_base
from additive.merge.diagnose import diagnose
from additive.merge.plan import open_sources
from tests.merge import files
from tests.merge.making import recipe, source


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


@pytest.fixture
def base(tmp_path):
    return files.write_base(tmp_path / "base")


def test_numbers_are_those_of_the_dense_deltas(tmp_path, base):
    one, two = (files.write_lora(tmp_path / f"s{i}", i) for i in (1, 2))
    opened = open_sources(recipe(source(one), source(two)), open_base(base))
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
            Q, P = (torch.linalg.svd(m, full_matrices=False)[0][:, :4] for m in (x, y))
            expected = (Q.T @ P).square().sum().item() / 4
            assert getattr(pair, side) == pytest.approx(expected, abs=1e-5)
    total = sum(m.norms[0] ** 2 for m in found.parameters.values()) ** 0.5
    assert found.whole.norms[0] == pytest.approx(total)


def test_unrelated_sources_are_quiet(tmp_path, base):
    pair = [files.write_lora(tmp_path / f"s{i}", i, modules=files.ADAPTED[1:3]) for i in (1, 2)]
    found = _diagnosis(base, *pair)
    assert abs(found.whole.pairs[0].cosine) < 0.05
    assert 0.4 < found.whole.pairs[0].conflicts < 0.6
    assert not {"norms", "alike", "opposed"} & _kinds(found)


def test_what_was_planted_is_found(tmp_path, base):
    one = files.write_lora(tmp_path / "one", 1, modules=files.ADAPTED[1:3])
    other = files.write_lora(tmp_path / "other", 2, modules=files.ADAPTED[1:3])
    twin = _copy(tmp_path / "twin", one, lambda n, t: t.clone())
    enemy = _copy(tmp_path / "enemy", one, lambda n, t: -t if "lora_B" in n else t.clone())
    loud = _copy(tmp_path / "loud", other, lambda n, t: 5 * t if "lora_B" in n else t.clone())
    alike = _diagnosis(base, one, twin)
    assert {"alike", "piled"} <= _kinds(alike)
    assert alike.whole.piled == pytest.approx(2.0, rel=1e-3)
    assert "opposed" in _kinds(_diagnosis(base, one, enemy))
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
