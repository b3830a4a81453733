"""What the program hands to factories."""

HANDED: dict[str, tuple[str, ...]] = {
    "attention": (),
    "score": ("query_size", "key_size"),
    "task": ("seed", "batch_size"),
    "model": ("source_symbols", "target_symbols", "attention"),
    "optimizer": (),
    "trainer": (),
}
"""What the program hands to the factory of each group, by position; everything else is a setting."""
