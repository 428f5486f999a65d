"""Models as transformers runs them: loaded safely, asked through their template, scored in batches.

This package and `additive.train` are the only ones that know transformers and peft. Importing it
imports neither; its modules do when their functions are called.
"""
