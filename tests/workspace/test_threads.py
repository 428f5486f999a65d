"""Idle OpenMP threads sleep: the policy is set before torch loads, and the user's choice wins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from additive.workspace.environment import set_thread_policy
from tests.house.source import ROOT

_SHOW = (
    "import os, subprocess, sys; {use};"
    "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules); {child}"
)
_CHILD = (
    "subprocess.run([sys.executable, '-c', 'import os; print(os.environ[\"OMP_WAIT_POLICY\"])'])"
)
_USES = {
    "command line": "from additive.cli.main import cli; cli.get_command(None, 'lint')",
    "python": "import additive; additive.AdditiveError",
}


@pytest.mark.parametrize("use", _USES)
@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_policy_is_set_before_torch_and_inherited(use, chosen, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    code = _SHOW.format(use=_USES[use], child=_CHILD)
    lines = subprocess.run(
        [sys.executable, "-u", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert lines == [f"{expected} False", expected]


def test_an_unset_policy_is_passive():
    variables: dict[str, str] = {}
    set_thread_policy(variables)
    assert variables == {"OMP_WAIT_POLICY": "PASSIVE"}
