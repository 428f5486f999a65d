"""The tree and the commands say what the manifests say, no more."""

from __future__ import annotations

import shlex
from dataclasses import replace

from additive.artifacts.manifest import Parent
from additive.report.curves import Curve, Point, caption
from additive.report.document import read_check
from additive.report.evidence import Evidence, curve_of, plateau, training_story
from additive.report.lineage import commands, composition, lineage
from additive.types.norms import total_norm
from tests.report.documents import PASS, SPECIALISTS, digest, evidence, merge, specialist


def test_the_tree_has_base_specialists_and_data():
    root = lineage(evidence("pass"))
    assert root is not None
    assert (root.kind, root.name, root.digest) == ("merge", "math+code+safety", digest(root.name))
    assert root.details == ("task_arithmetic", "scale 0.9", "output checkpoint")
    base, *sources = root.children
    assert (base.kind, base.name, base.digest) == ("base", "tiny", digest("base"))
    assert [source.name for source in sources] == ["math", "code", "safety"]
    story = "saturated at step 400, validation 0.935, at most 0.004 more to gain"
    assert sources[0].details == ("weight 1", story, "LoRA rank 8", "seed 0")
    rows = sources[2].children[0]
    assert (rows.kind, rows.name, rows.digest) == ("data", "train.jsonl", digest("safety rows"))
    assert rows.details == ("4000 rows", "license CC-BY-4.0")


def test_a_source_whose_manifest_is_not_given_keeps_its_digest():
    root = lineage(replace(evidence("pass"), specialists=SPECIALISTS[:1]))
    assert root is not None
    assert root.children[2].digest == SPECIALISTS[1].digest
    assert root.children[2].children == ()
    assert lineage(Evidence(read_check(PASS))) is None


def test_the_commands_make_it_again():
    made = merge(method={"name": "ties", "density": 0.3}, scale="validation", dtype="bfloat16")
    weights = tuple(
        Parent(name=parent.name, digest=parent.digest, weight=weight)
        for parent, weight in zip(made.parents, (1.0, 0.8, None), strict=True)
    )
    made = made.model_copy(update={"parents": weights, "seed": 7})
    *trained, merged, checked = commands(replace(evidence("pass"), merge=made))
    assert trained == ["additive train code", "additive train math", "additive train safety"]
    words = shlex.split(merged)
    assert words[:2] == ["additive", "merge"]
    assert words[2:5] == [f"{s.name}@{s.digest[:8]}" for s in SPECIALISTS]
    rest = " ".join(words[5:])
    assert rest == (
        "--method ties --weight code=0.8 --scale validation --output checkpoint "
        "--dtype bfloat16 --set density=0.3 --seed 7"
    )
    assert checked == f"additive check math+code+safety@{digest('math+code+safety')[:8]}"
    assert commands(Evidence(read_check(PASS))) == ()


def test_curves_come_from_the_manifest():
    curve = curve_of(SPECIALISTS[0])
    assert [point.step for point in curve.own] == list(range(0, 401, 50))
    assert [name for name, _ in curve.others] == ["general"]
    assert (curve.outcome, curve.mark) == ("saturated", 400)
    assert curve.snapshots == ((0.25, 100), (0.5, 200), (0.75, 300), (1.0, 400))


def test_thin_lines_are_named_for_what_they_are():
    own = (Point(0, 0.1), Point(10, 0.9))
    both = Curve("math", own, (("math-generated", own), ("general", own)))
    assert caption(both) == (
        "thin lines: its own answers, really generated and graded;"
        " what it does to general meanwhile"
    )
    assert caption(Curve("math", own, both.others[:1])) == (
        "thin line: its own answers, really generated and graded"
    )
    assert caption(Curve("math", own)) == ""


def test_a_merge_says_what_it_is_made_of_in_a_line():
    line = composition(evidence("pass"))
    assert all(f"{s.name}@{s.digest[:8]}" in line for s in SPECIALISTS)
    assert "@" in line.split(" on ")[1]
    assert composition(Evidence(read_check(PASS))) == ""


def test_no_more_is_left_to_gain_than_is_wrong():
    done = specialist("math").model_copy(
        update={"saturation": {"outcome": "saturated", "plateau_step": 400, "gain": 0.5}}
    )
    assert training_story(done).endswith("validation 0.935, at most 0.065 more to gain")


def test_a_full_fine_tune_has_no_snapshots_and_still_a_plateau():
    whole = specialist("math").model_copy(
        update={"snapshots": (), "saturation": {"outcome": "budget", "step": 900}, "curve": ()}
    )
    assert plateau(whole) == 900
    assert training_story(whole) == "budget at step 900"
    empty = whole.model_copy(update={"saturation": {}})
    assert training_story(empty) == ""
    assert curve_of(empty).own == ()


def test_norms_add_up_as_squares():
    two = specialist("math").model_copy(update={"norms": {"b": 3.0, "a": 4.0}})
    assert total_norm(two.norms) == 5.0
