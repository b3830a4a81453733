"""Sequence-to-sequence models into which the attention is injected."""
