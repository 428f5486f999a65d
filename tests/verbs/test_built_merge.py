"""A merge is built once: for its request alone, and not again by whoever waited for the builder."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from additive.artifacts.manifest import ManifestDraft
from additive.errors import LockedError
from additive.types.progress import silent
from additive.verbs.built_merge import build_once, find_merge
from tests.merge import files


@dataclass(frozen=True)
class Request:
    scale: float
    name: str = "both"

    def record(self) -> dict[str, Any]:
        return {"scale": self.scale}


def _freeze(workspace, asked):
    with workspace.store.staging("merge", asked.name) as staged:
        files.write_lora(staged, int(10 * asked.scale))
        draft = ManifestDraft(kind="merge", name=asked.name, spec={"request": asked.record()})
        return workspace.store.freeze(staged, draft)


def _never():
    raise AssertionError("it is built a second time")


def test_another_request_of_the_same_name_is_another_merge(workspace):
    built = {}
    for scale in (0.5, 0.7):
        asked = Request(scale)
        assert find_merge(workspace, asked) is None
        freeze = partial(_freeze, workspace, asked)
        built[scale] = build_once(workspace, asked, freeze, silent, wait=False).artifact.digest
    for scale, digest in built.items():
        again = build_once(workspace, Request(scale), _never, silent, wait=False)
        assert again.reused
        assert again.artifact.digest == digest


def test_who_waited_for_the_builder_takes_what_it_built(workspace):
    asked, found = Request(0.5), []
    waiting = threading.Event()

    def waiter():
        found.append(build_once(workspace, asked, _never, lambda said: waiting.set(), wait=True))

    thread = threading.Thread(target=waiter)

    def freeze():
        with pytest.raises(LockedError):
            build_once(workspace, asked, _never, silent, wait=False)
        thread.start()
        assert waiting.wait(60)
        return _freeze(workspace, asked)

    built = build_once(workspace, asked, freeze, silent, wait=False)
    thread.join(60)
    assert not built.reused
    assert [(one.reused, one.artifact.digest) for one in found] == [(True, built.artifact.digest)]
