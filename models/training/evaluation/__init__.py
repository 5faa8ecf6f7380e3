"""Measures every renderer on test identities: `python -m evaluation.run` (tables) and `python -m evaluation.sheets` (pictures)."""
