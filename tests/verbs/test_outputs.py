"""What an output lost is said where it is read: in the terminal, the document and the manifest."""

from __future__ import annotations

import json

import pytest

from additive.cli.main import run
from tests.merge import files


@pytest.fixture
def told(tmp_path, capsys):
    files.write_base(tmp_path / "base")
    root = str(tmp_path / "work")
    assert run(["-C", str(tmp_path), "init", "work", "--base", "base", "--domain", "x", "-q"]) == 0
    for number, name in enumerate(("math", "code")):
        folder = files.write_lora(tmp_path / name, number, size=0.004)
        assert run(["-C", root, "adopt", str(folder), "--as", name, "-q"]) == 0
    capsys.readouterr()

    def tell(*words):
        assert run(["-C", root, "-q", *words]) == 0
        return capsys.readouterr().out

    return tell


def test_what_a_rank_leaves_out_is_energy_and_no_rounding(told):
    words = ("merge", "math", "code", "--no-check", "--output", "adapter", "--rank", "2")
    document = json.loads(told(*words, "--json"))
    assert document["rounded_away"] == 0
    assert set(document["energy"]) == {f"{module}.weight" for module in files.ADAPTED}
    assert all(0 < share < 1 for share in document["energy"].values())
    (note,) = document["notes"][-1:]
    assert note.startswith("rank 2 keeps")
    assert "(by layer: 0 " in note
    assert not any("rounding" in note for note in document["notes"])
    assert note in told(*words)
    manifest = json.loads(told("show", "math+code", "--json"))
    assert manifest["times"]["energy"] == document["energy"]


def test_what_rounding_took_is_said_with_the_way_out(told):
    words = ("merge", "math", "code", "--no-check", "--dtype", "bfloat16")
    document = json.loads(told(*words, "--json"))
    assert document["rounded_away"] > 0.2
    said = f"rounding to the output's dtype lost {document['rounded_away']:.0%} of the delta"
    assert f"{said}; --output adapter or --dtype float32 keeps it" in document["notes"]
    assert f"{document['rounded_away']:.1%} of the delta lost in rounding" in told(*words)
    assert f"{document['rounded_away']:.1%} of the delta was rounded away" in told(
        "show", "math+code"
    )
    exact = told("merge", "math", "code", "--no-check", "--output", "adapter", "--name", "exact")
    assert "0.0% of the delta lost in rounding" in exact
    assert "note: rounding" not in exact
