"""Numbers and foreign text as they are printed: fractions, never percent; no control characters."""

from __future__ import annotations

import html
import re
import unicodedata

NOTHING = "-"


_NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")


_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def fraction(value: float | None, digits: int = 3) -> str:
    """`0.951`, or `-` for null.

    >>> fraction(0.9514), fraction(None), fraction(-0.0001)
    ('0.951', '-', '0.000')
    """
    if value is None:
        return NOTHING
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float | None) -> str:
    """`+0.004`, `-0.015`, `0.000`, or `-` for null."""
    text = fraction(value)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def interval(bounds: tuple[float, float] | None) -> str:
    """`[-0.031, +0.004]`, or `-` for null."""
    return NOTHING if bounds is None else f"[{signed(bounds[0])}, {signed(bounds[1])}]"


def minus(text: str) -> str:
    """Text whose negative numbers have a typographic minus, for pages; hyphens in names stay.

    >>> minus("code-1 lost -0.5, CC0-1.0")
    'code-1 lost \u22120.5, CC0-1.0'
    """
    return _NEGATIVE.sub("\u2212", text)


def plural(count: int, noun: str) -> str:
    """`1 suite`, `7 suites`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def clean(text: str) -> str:
    """Text of unknown origin without what a terminal, a browser or a reader's eye would obey.

    Control characters become their visible pictures (ESC is ␛), bidirectional overrides their
    escapes, lone surrogates the replacement character; line feeds and tabs stay.

    >>> clean("a\\x1b[31mb\\u202ec")
    'a␛[31mb\\\\u202ec'
    """
    return "".join(map(_clean, text))


def _clean(character: str) -> str:
    if character in "\n\t" or " " <= character <= "~":
        return character
    if character < " ":
        return chr(0x2400 + ord(character))
    if character in _BIDI:
        return f"\\u{ord(character):04x}"
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character


def one_line(text: str) -> str:
    """Clean text on one line, runs of white space as one space."""
    return " ".join(clean(text).split())


def clip(text: str, budget: int) -> str:
    """The beginning of a text whose escaped UTF-8 takes at most `budget` bytes, and `…`.

    >>> clip("&" * 10, 30)
    '&&&&&&…'
    """
    used = 0
    for i, character in enumerate(text):
        used += len(html.escape(character).encode())
        if used > budget:
            return text[:i] + "…"
    return text
