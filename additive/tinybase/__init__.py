"""How the bundled tiny base is made: substrate grammar, tokenizer, pre-training loop.

The substrate (arithmetic, single operations, reading, consequences, facts) is put into the base;
the procedures (multi-step work, composing, refusing) are left to the specialists in ``domains/``.
"""
