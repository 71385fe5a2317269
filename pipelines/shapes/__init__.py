"""The built-in text-to-image model: coloured shapes, small enough to train and run on a CPU.

``scenes`` is the language and its renderer, ``pipeline`` the diffusers pipeline; the trained
weights lie in the folders ``flow`` and ``ddim``, and MODEL_CARD.md says what they can do.
"""
