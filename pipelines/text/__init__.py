"""Text of causal language models, written token by token."""
