"""Text models in Hugging Face form: a directory of config, weights and tokenizer.

``directory`` needs no library; everything else needs ``transformers``. Nothing is ever downloaded,
and no code that a directory brings is ever run.
"""
