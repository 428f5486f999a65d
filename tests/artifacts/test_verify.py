from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from additive.artifacts.atomic import render_json
from additive.artifacts.manifest import read_manifest
from additive.artifacts.seal import identity, seal_of
from additive.artifacts.store import Store
from additive.artifacts.verify import require_intact, verify_directory
from additive.errors import IntegrityError, UsageError
from tests.artifacts.making import freeze_one


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> Path:
    return freeze_one(Store(tmp_path_factory.mktemp("store"))).path


@pytest.fixture
def copy(frozen, tmp_path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(frozen, target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def files_of(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def named(directory: Path) -> set[str]:
    return {problem.file for problem in verify_directory(directory)}


def flips(directory: Path, count: int) -> Iterator[tuple[str, int, int]]:
    """Bits spread over all files: every file gets its share, whatever its size."""
    rng, names = random.Random(500), files_of(directory)
    for number in range(count):
        name = names[number % len(names)]
        size = (directory / name).stat().st_size
        yield name, rng.randrange(size), 1 << rng.randrange(8)


def test_a_copy_elsewhere_verifies(copy):
    assert verify_directory(copy) == ()
    require_intact(copy)


def test_five_hundred_flipped_bits_are_all_found_and_named(copy):
    missed = []
    for name, at, bit in flips(copy, 500):
        path = copy / name
        good = path.read_bytes()
        path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
        found = named(copy)
        if name not in found or (name != "manifest.json" and len(found) > 1):
            missed.append((name, at, bit, verify_directory(copy)))
        path.write_bytes(good)
    assert missed == []
    assert verify_directory(copy) == ()


def test_every_byte_of_the_manifest_counts(copy):
    path = copy / "manifest.json"
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        for byte in {good[at] ^ 1, 0x20, 0x09} - {good[at]}:
            path.write_bytes(good[:at] + bytes([byte]) + good[at + 1 :])
            assert "manifest.json" in named(copy), at
    for changed in (
        good + b"\n",
        good + b" ",
        good[:-1],
        b"\xef\xbb\xbf" + good,
        b"",
        b"[]",
        b"{}",
    ):
        path.write_bytes(changed)
        assert "manifest.json" in named(copy)


def test_missing_extra_and_linked_files_are_named(copy, tmp_path):
    for name in files_of(copy):
        (copy / name).rename(tmp_path / "away")
        assert named(copy) == {name}
        (copy / name).symlink_to(tmp_path / "away")
        assert name in named(copy), "a link with the right bytes is not the file"
        (copy / name).unlink()
        (tmp_path / "away").rename(copy / name)
    for extra in (
        "model.safetensors",
        "modeling.py",
        "snapshots/0.5/x.json",
        "snapshots/0.7/x.json",
    ):
        (copy / extra).parent.mkdir(exist_ok=True)
        (copy / extra).write_text("x")
        assert extra in named(copy)
        (copy / extra).unlink()
    assert named(copy) == {"snapshots/0.7"}, "an empty directory is extra too"
    (copy / "snapshots/0.7").rmdir()
    (copy / "link").symlink_to("/etc")
    assert named(copy) == {"link"}
    (copy / "link").unlink()
    os.mkfifo(copy / "pipe")
    assert named(copy) == {"pipe"}
    (copy / "pipe").unlink()
    assert verify_directory(copy) == ()


def test_two_faults_are_both_named(copy):
    (copy / "adapter_config.json").write_text("{}")
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace("made for a test", "made for a best"))
    assert named(copy) == {"adapter_config.json", "manifest.json"}


def reseal(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    fields = json.loads(path.read_text()) | changes
    path.write_text(render_json(fields | {"seal": seal_of(fields)}))


def test_a_forged_seal_does_not_help(copy):
    """Who edits can compute the seal again, but then the name does not follow from the content."""
    reseal(copy, spec={"rank": 4})
    assert named(copy) == {"manifest.json"}
    fields = json.loads((copy / "manifest.json").read_text()) | {"weights": "0" * 64}
    reseal(copy, weights="0" * 64, digest=identity(fields))
    assert named(copy) == {"manifest.json"}
    fields = json.loads((copy / "manifest.json").read_text())
    reseal(copy, base=fields["base"] | {"weights": "5" * 64})
    assert named(copy) == {"manifest.json"}


def test_swapped_files_are_both_named(copy):
    first, second = copy / "adapter_config.json", copy / "tokenizer.json"
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    assert named(copy) == {"adapter_config.json", "tokenizer.json"}


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"schema": "additive.manifest/3"}',
        '{"schema": "additive.manifest/2"}',
        '{"schema": "additive.manifest/1"}',
        '{"schema": "additive.manifest/1", "name": "a", "kind": "merge", "parents": 3}',
        "é",
        '{"a":1,"a":1}',
    ],
)
def test_strange_manifests_are_problems_not_crashes(copy, content):
    (copy / "manifest.json").write_text(content)
    assert "manifest.json" in named(copy)
    with pytest.raises(IntegrityError):
        read_manifest(copy)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        require_intact(copy)


@pytest.mark.parametrize(
    "field", ["files", "snapshots", "weights", "config", "base", "spec", "parents"]
)
@pytest.mark.parametrize("value", [None, 3, "x", ["x"], {"x": "y"}])
def test_manifests_with_values_of_other_kinds_are_problems_not_crashes(copy, field, value):
    reseal(copy, **{field: value})
    assert verify_directory(copy) != ()
    fields = json.loads((copy / "manifest.json").read_text())
    try:
        digest = identity(fields)
    except (TypeError, KeyError, AttributeError):
        return
    reseal(copy, digest=digest)
    verify_directory(copy)


def test_an_artifact_under_the_name_of_another_is_found(copy):
    other = copy.with_name("7" * 64)
    copy.rename(other)
    (problem,) = verify_directory(other)
    assert problem.file == "manifest.json"
    assert "7" * 64 in problem.message


def test_nothing_to_verify_says_so(tmp_path):
    with pytest.raises(UsageError, match="missing"):
        verify_directory(tmp_path / "nowhere")
    assert named(tmp_path) == {"manifest.json"}


def test_verifying_needs_the_standard_library_only(frozen):
    code = (
        "import sys; from pathlib import Path\n"
        "from additive.artifacts.verify import verify_directory\n"
        "assert verify_directory(Path(sys.argv[1])) == ()\n"
        "foreign = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(m for m in foreign if not m.startswith('_')))"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {os.getcwd()!r})\n{code}",
    ]
    done = subprocess.run([*command, str(frozen)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['additive']", done.stderr
