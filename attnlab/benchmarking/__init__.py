"""How fast the library is, as ratios: two programs side by side in one run, one file a section."""

SECTIONS = (
    "trainer",
    "plain",
    "arithmetic",
    "start",
    "mechanisms",
    "scaling",
    "memory",
    "sweep",
    "compare",
)
"""What is measured, in this order: each is a module of `sections`."""
