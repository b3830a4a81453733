"""What is measured, one file a section: its docstring says what, and `gauges(rounds)` measures it, line by
line."""
