"""`max_shard_size`: a checkpoint has files of the size asked for, and the same weights."""

from __future__ import annotations

import json

import pytest

from additive.cli.main import run
from additive.errors import SpecError, UsageError
from additive.merge.plan import plan
from additive.spec.loader import loads
from additive.spec.recipe import Recipe
from tests.merge import files
from tests.merge.making import changed, merge, recipe, source


@pytest.fixture
def made(tmp_path):
    """A base in one file, and a recipe of two adapters."""
    files.write_base(tmp_path / "base")
    sources = [source(files.write_lora(tmp_path / name, seed)) for seed, name in enumerate("ab", 1)]
    return recipe(*sources)


def test_files_are_filled_up_to_the_limit_and_hold_the_same_weights(tmp_path, made):
    whole = merge(tmp_path / "whole", tmp_path / "base", made)
    largest = max(t.nbytes for t in plan(made, tmp_path / "base").tensors)
    limit = 2 * largest
    cut = merge(tmp_path / "cut", tmp_path / "base", changed(made, max_shard_size=limit))
    assert cut.weights == whole.weights
    shards = sorted((tmp_path / "cut").glob("model-*.safetensors"))
    count = len(shards)
    assert count > 1
    assert [s.name for s in shards] == [
        f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)
    ]
    index = json.loads((tmp_path / "cut" / "model.safetensors.index.json").read_text())
    sizes = dict.fromkeys((shard.name for shard in shards), 0)
    for tensor in plan(changed(made, max_shard_size=limit), tmp_path / "base").tensors:
        assert index["weight_map"][tensor.name] == tensor.shard
        sizes[tensor.shard] += tensor.nbytes
    assert max(sizes.values()) <= limit
    assert files.read(tmp_path / "cut").keys() == files.read(tmp_path / "whole").keys()


def test_a_larger_tensor_has_a_file_of_its_own(tmp_path, made):
    planned = plan(changed(made, max_shard_size=1), tmp_path / "base")
    assert len({tensor.shard for tensor in planned.tensors}) == len(planned.tensors)


def test_what_fits_into_one_file_is_one_file(tmp_path, made):
    files.write_base(tmp_path / "sharded", shards=2)
    planned = plan(changed(made, max_shard_size=10**9), tmp_path / "sharded")
    assert {tensor.shard for tensor in planned.tensors} == {"model.safetensors"}


def test_an_adapter_has_no_shards(tmp_path, made):
    with pytest.raises(UsageError, match="max_shard_size is for a checkpoint"):
        plan(changed(made, output="adapter", max_shard_size=10), tmp_path / "base")


@pytest.mark.parametrize(
    ("text", "size"), [("5GB", 5 * 10**9), ("2GiB", 2 << 30), ("1.5 MB", 1_500_000), ("300", 300)]
)
def test_sizes_are_written_as_transformers_writes_them(text, size):
    recipe = loads(f"version: 1\nsources: [a]\nmax_shard_size: {text}", Recipe)
    assert recipe.max_shard_size == size
    assert recipe.resolved()["max_shard_size"] == size


@pytest.mark.parametrize("text", ["huge", "-5GB", "0", "true"])
def test_other_texts_are_refused_at_their_place(text):
    with pytest.raises(SpecError, match=r"max_shard_size is .* a number of bytes such as 5GB"):
        loads(f"version: 1\nsources: [a]\nmax_shard_size: {text}", Recipe)


def test_an_option_of_the_command_line_comes_with_the_field(capsys):
    assert run(["merge", "--help"]) == 0
    assert "--max-shard-size" in capsys.readouterr().out


def test_a_recipe_without_it_keeps_its_identity():
    assert "max_shard_size" not in loads("version: 1\nsources: [a]", Recipe).resolved()
