"""The built-in language model: chained arithmetic, worked out one line a step.

``problems`` is the language and its exact checker, ``tokens`` the tokenizer and the prompts; the
trained weights lie in the folder ``model``, and MODEL_CARD.md says what they can do.
"""
