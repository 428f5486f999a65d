"""How the bundled tiny base is made: grammars of the substrate, tokenizer, pre-training loop.

The substrate (arithmetic, single operations, reading, consequences, facts) is put into the base;
the procedures (multi-step work, composing, refusing) are left to the specialists in ``domains/``.

- ``rows``, ``words``: what all grammars share
- ``arithmetic``, ``stories``, ``operations``, ``pythonic``, ``requests``, ``general``: the grammars
- ``mixture``: how often each is drawn, and the recall file
- ``tokenizer``, ``model``, ``pretrain``, ``card``: from rows to a directory that transformers loads

``python -m tools.tinybase --out DIR`` (or ``make tiny-base``) makes the base again.
"""
