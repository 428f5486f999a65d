"""The heat map has a cell for every pair in every layer, and nothing from outside is markup."""

from __future__ import annotations

from additive.report.interference import meeting_of

EVIL = "<script>alert(1)</script>"


def _pair(first, second, interference, cosine=0.1):
    return {"first": first, "second": second, "cosine": cosine, "interference": interference}


def _document():
    pairs = [_pair("math", EVIL, 0.2), _pair("math", "sql", None, -0.4)]
    layers = [{"layer": str(n), "pairs": pairs} for n in range(3)]
    findings = [{"kind": "overlap", "sentence": f"{EVIL} shares", "help": "use tsv_m"}]
    return {"pairs": pairs, "layers": layers, "findings": findings}


def test_there_is_a_cell_for_every_pair_in_every_layer():
    meeting = meeting_of(_document())
    assert meeting is not None
    picture = str(meeting.picture)
    assert picture.count('class="heat"') == 6
    assert picture.count('fill-opacity="0.25"') == 3
    assert picture.count("<title>0.40</title>") == 3
    assert "<script>" not in picture
    assert meeting.findings == ((f"{EVIL} shares", "use tsv_m"),)


def test_without_a_diagnosis_or_without_pairs_there_is_no_picture():
    assert meeting_of(None) is None
    alone = meeting_of({**_document(), "pairs": []})
    assert alone is not None
    assert alone.picture is None
    assert alone.left_out == ""


def test_of_many_pairs_the_strongest_are_shown_and_the_others_are_counted():
    names = [f"d{number}" for number in range(12)]
    pairs = [_pair(a, b, 0.1) for i, a in enumerate(names) for b in names[i + 1 :]]
    calm = [{"layer": str(n), "pairs": pairs} for n in range(2)]
    hot = {"layer": "2", "pairs": [*pairs[:-1], {**pairs[-1], "interference": 0.9}]}
    meeting = meeting_of({**_document(), "pairs": pairs, "layers": [*calm, hot]})
    assert meeting is not None
    assert len(pairs) == 66
    assert len(meeting.columns) == 45
    assert meeting.columns[-1] == "d10 × d11", "the last pair is the only one that is hot"
    assert str(meeting.picture).count("<title>0.90</title>") == 1
    assert "the 45 of 66 pairs that meet most in some layer" in meeting.left_out
