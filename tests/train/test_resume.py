"""Stopped at any moment and called again, a run ends with the bytes of an undisturbed one.

Children are forked from a server that has everything imported, so that a run costs little more than
its steps; they are killed at random moments, or at the n-th call that touches the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from additive.errors import Interrupted, Terminated
from additive.train import checkpoint
from additive.train.run import run_root, train
from tests.train.making import digest, job, listener, score

KILLS = 20
SYSTEM_CALLS = ("fsync", "rename", "replace", "mkdir", "unlink")
OPTIONS = {"adapt": {"dropout": 0.1}}


CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.train.making", "additive.train.run"])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As many threads as a child has: sums in another order are other bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    """The digest of an undisturbed result, and how long the run took."""
    made = job(base, tmp_path_factory.mktemp("undisturbed"), **OPTIONS)
    begun = time.monotonic()
    result = train(made, score(base))
    return digest(result.directory.parent), time.monotonic() - begun


def in_child(made, base, dies_at=0, begun=None):
    """Train in a child that dies at the n-th call that touches the disk, if a number is given."""
    child = CHILDREN.Process(target=train_in_child, args=(made, base, dies_at, begun))
    child.start()
    return child


def begun_child(made, base):
    """Train in a child that has begun to."""
    begun = CHILDREN.Event()
    child = in_child(made, base, begun=begun)
    assert begun.wait(120)
    return child


def train_in_child(made, base, dies_at, begun):
    torch.set_num_threads(1)
    if dies_at:
        die_at(dies_at)
    if begun:
        begun.set()
    train(made, score(base))


def exit_of(child):
    child.join()
    return child.exitcode


def kill_after(child, seconds):
    time.sleep(seconds)
    child.kill()
    return exit_of(child)


def test_killed_at_random_moments(base, tmp_path, undisturbed):
    """A run that ended before its kill counts for none: it must be whole, and another begins."""
    expected, seconds = undisturbed
    rng = random.Random(0)
    made, killed, ended = job(base, tmp_path, **OPTIONS), 0, 0
    while killed < KILLS:
        code = kill_after(begun_child(made, base), rng.uniform(0, seconds))
        assert code in (0, -signal.SIGKILL)
        killed += code == -signal.SIGKILL
        if (run_root(made) / "result.json").exists():
            assert digest(train(made, score(base)).directory.parent) == expected
            ended += 1
            assert ended < KILLS, "most runs end before they are killed"
            made = job(base, tmp_path / f"after-{ended}", **OPTIONS)
    assert digest(train(made, score(base)).directory.parent) == expected


def die_at(number):
    """Kill this process at the n-th call that touches the disk."""
    left = [number]

    def dying(original):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in SYSTEM_CALLS:
        setattr(os, name, dying(getattr(os, name)))


def test_killed_inside_checkpoints_and_the_result(base, tmp_path, undisturbed):
    """One call later each time, each time from where the last one died."""
    expected, _ = undisturbed
    made = job(base, tmp_path, **OPTIONS)
    deaths = 0
    for number in (2, 5, 8, 11, 14, 17, 3, 4, 6, 7, 9, 400):
        deaths += exit_of(in_child(made, base, number)) == -signal.SIGKILL
    assert deaths >= 6
    assert digest(train(made, score(base)).directory.parent) == expected


@pytest.mark.parametrize("damage", ["newest", "newest two", "journal", "torn journal"])
def test_a_damaged_state_is_gone_back_behind(base, tmp_path, undisturbed, damage):
    expected, _ = undisturbed
    made = job(base, tmp_path, **OPTIONS)
    assert interrupt_at_step(made, base, 13, signal.SIGINT) == 13
    root = run_root(made)
    states = list(checkpoint.resumable(root / "checkpoints"))
    for found in states[: {"newest": 1, "newest two": 2}.get(damage, 0)]:
        (found.directory / checkpoint.WEIGHTS).write_bytes(b"damage")
    curve = root / "curve.jsonl"
    lines = curve.read_bytes().splitlines(keepends=True)
    if damage == "journal":
        curve.write_bytes(b"")
    if damage == "torn journal":
        curve.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    said, listen = listener()
    assert digest(train(made, score(base), listen).directory.parent) == expected
    from_step = {"newest": 12, "torn journal": 12}.get(damage)
    assert (f"going on from step {from_step}" in said) == (from_step is not None)


def interrupt_at_step(made, base, step, number):
    """Send this process a signal while a step is trained; the step at which the run stopped."""
    from additive.train.session import TrainingSession

    original, stopped = TrainingSession.before, []

    def before(self, now, rank):
        if now == step - 1:
            os.kill(os.getpid(), number)
        original(self, now, rank)

    TrainingSession.before = before
    try:
        train(made, score(base))
    except Interrupted as error:
        stopped.append(error)
    finally:
        TrainingSession.before = original
    (error,) = stopped
    assert isinstance(error, Terminated) == (number == signal.SIGTERM)
    assert error.exit_code == (143 if number == signal.SIGTERM else 130)
    return int(str(error).split("step ")[1].split(";")[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 4, 14])
def test_asked_to_stop_it_loses_nothing(base, tmp_path, undisturbed, number, step):
    expected, _ = undisturbed
    made = job(base, tmp_path, **OPTIONS)
    assert interrupt_at_step(made, base, step, number) == step
    said, listen = listener()
    result = train(made, score(base), listen)
    assert f"going on from step {step}" in said
    assert digest(result.directory.parent) == expected


def test_the_handlers_of_before_are_back_after_it(base, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(job(base, tmp_path), score(base))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    "options", [{"adapt": {"kind": "full"}, "train": {"learning_rate": 0.003}}]
)
def test_a_full_fine_tune_goes_on_too(base, tmp_path, options):
    expected = digest(train(job(base, tmp_path / "a", **options), score(base)).directory)
    made = job(base, tmp_path / "b", **options)
    assert interrupt_at_step(made, base, 7, signal.SIGINT) == 7
    assert digest(train(made, score(base)).directory) == expected
