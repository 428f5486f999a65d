"""TRL's own preparation of one row, to compare ours with."""

from __future__ import annotations

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer


def prepared(tokenizer, prompt, completion, directory):
    """The ids and labels that SFTTrainer makes of a conversational prompt and completion."""
    row = {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": completion}],
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    settings = SFTConfig(
        output_dir=str(directory), use_cpu=True, bf16=False, report_to="none", save_strategy="no"
    )
    trainer = SFTTrainer(
        model=LlamaForCausalLM(config),
        args=settings,
        train_dataset=Dataset.from_list([row]),
        processing_class=tokenizer,
    )
    ready = trainer.train_dataset[0]
    return ready["input_ids"], ready["labels"]
