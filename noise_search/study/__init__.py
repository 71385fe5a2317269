"""What people run: one search, many prompts, comparisons, curves."""
