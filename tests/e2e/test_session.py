"""The command line as a person uses it, with real processes: what it prints, leaves, and ends with.

The tests of this file run in order and share one workspace: each is a moment of one session.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.bases import build_base
from tests.e2e.command import Watched, run, run_importing, start
from tests.e2e.micro import DOMAINS, fill_domain

MERGE = "math+code+safety"
VERDICTS = {"pass", "fail", "cannot tell"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A directory with a micro base and, after the first test, the workspace `my-skills`."""
    directory = tmp_path_factory.mktemp("session")
    build_base("llama", directory / "base")
    return directory


@pytest.fixture
def work(home) -> Path:
    return home / "my-skills"


def test_init_makes_a_workspace_whose_domains_the_user_fills(home, work):
    made = run(home, "init", "my-skills", "--base", str(home / "base"))
    assert made.code == 0, made.err
    for name in DOMAINS:
        fill_domain(work, name, "lora", 900 if name == "math" else 12, 20)
    linted = run(work, "lint")
    assert linted.code == 0, linted.err + linted.out
    assert ".additive" in (work / ".gitignore").read_text()


def test_a_domain_has_one_trainer_and_ctrl_c_loses_nothing(work):
    first = Watched(start(work, "train", "math"))
    first.wait_for("end-of-turn")
    second = run(work, "train", "math")
    assert second.code == 5, second.err
    assert str(first.pid) in second.err, "the holder is named"
    first.send(signal.SIGINT)
    ended = first.finish()
    assert ended.code == 130, ended.err
    assert "run the same command again" in ended.err
    again = run(work, "train", "math", "--json")
    assert again.code == 0, again.err
    (math,) = again.json["domains"]
    assert math["reused"] is False
    assert re.search(r"going on from step [1-9]", again.err)


def test_the_other_domains_are_trained_one_after_the_other(work):
    trained = run(work, "train", "code", "safety")
    assert trained.code == 0, trained.err
    assert re.findall(r"^(\w+)@", trained.out, re.M) == ["code", "safety"]


def test_what_is_done_is_not_done_again(work):
    before = sorted(path for path in (work / ".additive" / "store").rglob("*"))
    again = run_importing(work, "train", "math", "--json")
    assert again.done.code == 0
    assert again.done.json["domains"][0]["reused"] is True
    assert "torch" not in again.imported
    assert sorted(path for path in (work / ".additive" / "store").rglob("*")) == before


def test_a_merge_is_built_and_checked_and_the_exit_code_is_the_verdict(work):
    merged = run(work, "merge", "math", "code", "safety", "--json")
    document = merged.json
    assert merged.code == (0 if document["verdict"] == "pass" else 1), merged.err
    assert document["schema"] == "additive.merge/1"
    assert document["name"] == MERGE
    assert {source["name"] for source in document["sources"]} == set(DOMAINS)
    assert (Path(document["path"]) / "config.json").is_absolute()
    checked = run(work, "check", MERGE, "--json")
    assert checked.code == merged.code
    assert checked.json["schema"] == "additive.check/1"
    assert checked.json["verdict"] == document["verdict"] in VERDICTS
    for suite in checked.json["suites"]:
        assert 0 <= suite["merged"] <= 1
        assert suite["b10"] + suite["b01"] <= suite["n"]


def test_another_order_is_the_same_merge(work):
    again = run(work, "merge", "safety", "math", "code", "--no-check", "--json")
    assert again.code == 0, again.err
    assert again.json["digest"] == run(work, "show", MERGE, "--json").json["digest"]


def test_a_recipe_is_built_once_and_found_again_by_its_name(work):
    recipe = {"version": 1, "sources": ["math", "code"], "scale": 0.5}
    (work / "merges" / "release.yaml").write_text(json.dumps(recipe))
    first = run(work, "merge", "release", "--no-check", "--json")
    again = run(work, "merge", "release", "--no-check", "--json")
    assert first.code == again.code == 0, first.err + again.err
    assert (first.json["reused"], again.json["reused"]) == (False, True)
    assert first.json["digest"] == again.json["digest"]
    assert first.json["name"] == "release"


def test_looking_imports_no_torch(work):
    for arguments in (["list"], ["show", "math"], ["doctor"], ["verify", "."], ["lint"]):
        looked = run_importing(work, *arguments)
        assert looked.done.code == 0, looked.done.err
        assert "torch" not in looked.imported, arguments
    listed = run(work, "list", "--json").json
    assert {row["name"] for row in listed["domains"]} == set(DOMAINS)
    assert {row["name"] for row in listed["merges"]} >= {MERGE, "release"}
    manifest = run(work, "show", "math", "--json").json
    assert manifest["curve"]
    assert manifest["name"] == "math"


def test_three_models_answer_one_question_side_by_side(work):
    asked = run(work, "ask", "base", "math", MERGE, "3+4=", "--json")
    assert asked.code == 0, asked.err
    names = [answer["name"] for answer in asked.json["answers"]]
    assert len(names) == 3
    assert (names[1].partition("@")[0], names[2].partition("@")[0]) == ("math", MERGE)


def test_a_typo_is_answered_with_the_nearest_name_and_2(work):
    for arguments, meant in (
        (["mrege", "math"], "merge"),
        (["merge", "math", "cod"], "code"),
        (["merge", "math", "code", "--method", "dare-ties"], "dare_ties"),
    ):
        wrong = run(work, *arguments)
        assert wrong.code == 2, wrong.err
        assert f"did you mean '{meant}'" in wrong.err
        assert "Traceback" not in wrong.err
    for file, change, verb, meant in (
        ("domains/code/domain.yaml", ('"rank"', '"rnak"'), ["train", "code"], "rank"),
        ("evals/math-held-out.yaml", ('"numeric"', '"numberic"'), ["lint"], "numeric"),
    ):
        text = (work / file).read_text()
        (work / file).write_text(text.replace(*change))
        wrong = run(work, *verb)
        (work / file).write_text(text)
        assert wrong.code == 2, wrong.err
        assert re.search(rf"{file}:\d+:\d+: ", wrong.out + wrong.err)
        assert f"did you mean '{meant}'" in wrong.out + wrong.err


def test_a_delta_is_refused_on_another_base(home, work):
    other = build_base("llama", home / "other", seed=1)
    spec = work / "additive.yaml"
    text = spec.read_text()
    spec.write_text(text.replace(str(home / "base"), str(other)))
    refused = run(work, "merge", "math", "code", "--no-check")
    spec.write_text(text)
    assert refused.code == 3, refused.out + refused.err
    assert "base" in refused.err
    assert "help:" in refused.err


def test_stdout_is_one_json_document_and_nothing_else(work):
    for arguments in (["list"], ["doctor"], ["show", "math"], ["lint"], ["check", MERGE]):
        printed = run(work, *arguments, "--json")
        assert json.loads(printed.out)["schema"].startswith("additive."), arguments
        assert "\x1b" not in printed.out + printed.err


def test_a_changed_byte_is_found_and_named(work):
    (code,) = (row for row in run(work, "list", "--json").json["domains"] if row["name"] == "code")
    path = Path(code["versions"][-1]["path"])
    weights = path / "adapter_model.safetensors"
    assert run(work, "verify", str(path)).code == 0
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    found = run(work, "verify", str(path))
    assert found.code == 3
    assert "adapter_model.safetensors" in found.out + found.err


def test_changed_bytes_are_never_used_as_the_old_ones_and_training_mends_them(work):
    """Runs after the byte was changed above."""
    merged = run(work, "list", "--json").json["merges"]
    for arguments in (["merge", "code", "safety", "--no-check"], ["ask", "code", "3+4="]):
        refused = run(work, *arguments)
        assert refused.code == 3, refused.out
        assert "adapter_model.safetensors: bytes are not the ones that were frozen" in refused.err
        assert "help: additive train code" in refused.err
    assert run(work, "list", "--json").json["merges"] == merged
    again = run(work, "train", "code", "--json")
    assert again.code == 0, again.err
    assert again.json["domains"][0]["reused"] is False
    assert run(work, "verify", "code").code == 0


def test_a_report_is_written_again_where_it_is_missed(work):
    page = work / "reports" / f"{MERGE}.html"
    page.unlink()
    checked = run(work, "check", MERGE, "--json")
    assert checked.json["report"] == str(page)
    assert page.is_file()
