"""Bytes are asked for before they are used, and hashed once per state of the files."""

from __future__ import annotations

import os

import pytest

from additive.artifacts import intact
from additive.artifacts.intact import is_intact, require_unchanged
from additive.artifacts.store import Store
from additive.errors import IntegrityError
from tests.artifacts.making import freeze_one


@pytest.fixture
def frozen(tmp_path):
    return freeze_one(Store(tmp_path / "store"))


@pytest.fixture
def settled(monkeypatch):
    """No file counts as too fresh to be remembered."""
    monkeypatch.setattr(intact, "_RACY_NS", 0)


def change(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_each_file_is_asked_for_by_its_bytes(frozen, tmp_path, settled):
    require_unchanged(frozen, tmp_path / "cache")
    change(frozen.path / "adapter_model.safetensors")
    assert not is_intact(frozen, tmp_path / "cache")
    with pytest.raises(
        IntegrityError, match=r"adapter_model\.safetensors: bytes are not"
    ) as refused:
        require_unchanged(frozen, tmp_path / "cache")
    assert "additive train math" in str(refused.value.help)


def test_missing_and_extra_files_are_found(frozen, tmp_path, settled):
    require_unchanged(frozen, tmp_path / "cache")
    os.chmod(frozen.path, 0o755)
    (frozen.path / "adapter_config.json").unlink()
    (frozen.path / "extra").write_text("x")
    with pytest.raises(
        IntegrityError, match=r"adapter_config\.json: is missing; extra: is an extra"
    ):
        require_unchanged(frozen, tmp_path / "cache")


def test_what_was_hashed_is_not_hashed_again(frozen, tmp_path, settled, monkeypatch):
    assert is_intact(frozen, tmp_path / "cache")
    monkeypatch.setattr(intact, "verify_directory", lambda path: pytest.fail("hashed again"))
    assert is_intact(frozen, tmp_path / "cache")


def test_fresh_files_are_not_remembered(frozen, tmp_path):
    assert is_intact(frozen, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
