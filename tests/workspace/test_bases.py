"""Where a base is: bundled, in a directory, on the Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from additive.errors import UsageError
from additive.workspace.bases import missing_files, resolve_base
from tests.workspace.hub import COMMIT, serving
from tests.workspace.making import make_base

ROOT = Path(__file__).resolve().parents[2]
RESOLVE = """
import sys
from pathlib import Path
from additive.errors import AdditiveError
from additive.workspace.bases import resolve_base
model, revision, offline = sys.argv[1], sys.argv[2] or None, sys.argv[3] == "offline"
try:
    base = resolve_base(model, Path("."), revision, offline=offline)
    print("found", base.revision, base.directory)
except AdditiveError as error:
    print(type(error).__name__, str(error).replace(chr(10), " "), "|", error.help)
"""


def test_a_directory_wins_and_is_taken_from_the_workspace(tmp_path):
    make_base(tmp_path / "org" / "name")
    base = resolve_base("org/name", tmp_path, None, offline=True)
    assert (base.id, base.directory, base.revision) == ("org/name", tmp_path / "org/name", None)
    absolute = resolve_base(str(tmp_path / "org" / "name"), Path("/"), None, offline=True)
    assert absolute.directory == base.directory


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_directory_that_is_not_whole_says_what_it_lacks(tmp_path, missing):
    base = make_base(tmp_path / "base")
    (base / missing).unlink()
    assert missing_files(base) == (missing,)
    with pytest.raises(UsageError, match=f"base 'base' lacks {missing}"):
        resolve_base("base", tmp_path, None, offline=True)


def test_every_shard_of_the_index_must_be_there(tmp_path):
    base = make_base(tmp_path / "base")
    (base / "model.safetensors").rename(base / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002"}}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    assert missing_files(base) == ("model-00002-of-00002",)
    (base / "model.safetensors.index.json").write_text("{")
    assert missing_files(base) == ("model.safetensors",)


@pytest.mark.parametrize("model", ["tinny", "./none", "a/b/c", "", "org/", "../x/y", "TINY "])
def test_what_is_no_base_is_said(tmp_path, model):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"expected tiny, a directory or a Hub id|lacks"):
        resolve_base(model, tmp_path / "empty", None, offline=True)


def resolve(home, hub, model, revision="", mode="online"):
    """In a process of its own, since the client reads its settings when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, model, revision, mode],
        env={
            "HF_HOME": str(home),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def hub(tmp_path):
    make_base(tmp_path / "served")
    for name in ("pytorch_model.bin", "modeling_evil.py", "training_args.bin", "sub/x.json"):
        (tmp_path / "served" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "served" / name).write_text("must not be fetched")
    (tmp_path / "home").mkdir()
    with serving(tmp_path / "served", "org/name") as hub:
        yield hub


def test_a_hub_base_is_fetched_once_and_then_needs_no_network(hub, tmp_path):
    home = tmp_path / "home"
    found, revision, directory = resolve(home, hub, "org/name").split(" ", 2)
    assert (found, revision) == ("found", COMMIT)
    fetched = {path.name for path in Path(directory).rglob("*")}
    assert fetched >= {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"}
    assert not fetched & {"pytorch_model.bin", "modeling_evil.py", "training_args.bin", "x.json"}
    asked = hub.questions()
    assert resolve(home, hub, "org/name").split(" ", 2)[1] == COMMIT
    assert resolve(home, hub, "org/name", COMMIT).split(" ", 2)[1] == COMMIT
    assert hub.questions() == asked
    (Path(directory) / "model.safetensors").unlink()
    assert resolve(home, hub, "org/name").startswith("found"), "an unfinished download goes on"
    assert missing_files(Path(directory)) == ()


def test_without_network_it_says_so(hub, tmp_path):
    home = tmp_path / "home"
    said = resolve(home, hub, "org/name", mode="offline")
    assert said.startswith("ResourceError base 'org/name' is not in the local cache and")
    assert "HF_HUB_OFFLINE=0 hf download org/name" in said
    assert hub.asked == []
    hub.broken = True
    said = resolve(home, hub, "org/name")
    assert said.startswith("ResourceError base 'org/name' cannot be fetched: ")
    assert resolve(home, hub, "org/nothing").split(" ")[0] in ("UsageError", "ResourceError")


def test_a_model_that_the_hub_does_not_have(hub, tmp_path):
    said = resolve(tmp_path / "home", hub, "org/nothing")
    assert said.startswith("UsageError the Hub has no model 'org/nothing' | check base.model")
