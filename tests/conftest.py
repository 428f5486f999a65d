"""Real tiny models of four families, built once per session for whoever asks."""

from __future__ import annotations

import pytest

from tests.e2e.bases import build_base


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """The directory of a random base of a family."""
    root, built = tmp_path_factory.mktemp("bases"), {}

    def base(family="llama"):
        if family not in built:
            built[family] = build_base(family, root / family)
        return built[family]

    return base
