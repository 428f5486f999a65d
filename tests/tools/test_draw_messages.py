"""Messages are found where tests assert them, and a draw can be repeated."""

from __future__ import annotations

from tools.draw_messages import draw, messages

SOURCE = """
def test_one():
    with pytest.raises(SpecError, match="rank is 0; expected"):
        load()
    assert caught.value.help == "write a number"
    assert "no such file" in done.err
    assert "not a message" in table
    assert done.err == "word"
"""


def test_messages_that_tests_assert_are_found():
    assert sorted(messages(SOURCE), key=lambda pair: pair[1]) == [
        ("rank is 0; expected", 3),
        ("write a number", 5),
        ("no such file", 6),
    ]


def test_a_draw_depends_on_its_seed_only(tmp_path):
    (tmp_path / "test_a.py").write_text(SOURCE)
    everything = draw(tmp_path, 20, seed=0)
    assert sorted(text for text, _ in everything) == [
        "no such file",
        "rank is 0; expected",
        "write a number",
    ]
    assert draw(tmp_path, 2, seed=1) == draw(tmp_path, 2, seed=1)
    assert draw(tmp_path, 20, seed=1) != everything
