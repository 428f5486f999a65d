"""Leaks between files, and what is remembered of them."""

from __future__ import annotations

import json

import pytest

from additive.errors import SpecError
from additive.overlap.check import DataFile, leaks_between

ITEM = "Ann packs the old red boxes into the car and drives to the sea."


@pytest.fixture
def files(tmp_path):
    train, items = tmp_path / "train.jsonl", tmp_path / "items.jsonl"
    rows = [{"prompt": "something else", "completion": "yes"}, {"prompt": ITEM, "completion": "no"}]
    train.write_text("\n".join(map(json.dumps, rows)))
    items.write_text(json.dumps({"id": "one", "prompt": ITEM.upper()}))
    return train, items


def found(train, items, cache):
    return leaks_between([DataFile.of(train, "t")], [DataFile.of(items, "e")], cache)


def test_a_leak_names_both_places(files, tmp_path):
    [leak] = found(*files, tmp_path / "cache")
    assert (leak.train, leak.line, leak.held_out, leak.item, leak.kind) == (
        "t",
        2,
        "e",
        "one",
        "exact",
    )
    assert str(leak).startswith("t:2: row holds item 'one' of e (exact: 'ann packs the old")


def test_a_second_look_reads_no_rows(files, tmp_path, monkeypatch):
    first = found(*files, tmp_path / "cache")
    named = [DataFile.of(path) for path in files]
    for path in files:
        path.write_text("no json")
    again = leaks_between(named[:1], named[1:], tmp_path / "cache")
    assert [leak.item for leak in again] == [leak.item for leak in first]
    with pytest.raises(SpecError):
        found(*files, tmp_path / "cache")


def test_changed_bytes_are_never_read_as_the_old_ones(files, tmp_path):
    train, items = files
    assert found(train, items, tmp_path / "cache")
    train.write_text(json.dumps({"prompt": "something else", "completion": "yes"}))
    assert found(train, items, tmp_path / "cache") == ()


@pytest.mark.parametrize("damage", ["", "{", "[1]", '[["a"]]', "null", '{"a": 1}'])
def test_a_damaged_cache_is_worked_out_again(files, tmp_path, damage):
    first = found(*files, tmp_path / "cache")
    [cached] = (tmp_path / "cache" / "leaks").iterdir()
    cached.write_text(damage)
    assert found(*files, tmp_path / "cache") == first


def test_an_item_without_an_id_goes_by_its_line(files, tmp_path):
    train, items = files
    items.write_text("\n" + json.dumps({"prompt": ITEM}))
    [leak] = found(train, items, tmp_path / "cache")
    assert leak.item == "line 2"
