"""What is measured, one file a section: its docstring says what, `gauges(rounds)` measures it, one after the
other."""
