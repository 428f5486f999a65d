"""The heat map has a cell for every pair in every layer, and nothing from outside is markup."""

from __future__ import annotations

from additive.report.meeting import meeting_of

EVIL = "<script>alert(1)</script>"


def _pair(first, second, interference, cosine=0.1):
    return {"first": first, "second": second, "cosine": cosine, "interference": interference}


def _document():
    pairs = [_pair("math", EVIL, 0.2), _pair("math", "sql", None, -0.4)]
    layers = [{"layer": str(n), "pairs": pairs} for n in range(3)]
    findings = [{"kind": "shared", "sentence": f"{EVIL} shares", "help": "use tsv_m"}]
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
