"""Tasks: data with, where they are known, the positions that are right to attend to. One file each."""
