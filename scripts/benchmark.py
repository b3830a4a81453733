"""How fast this is, as ratios against plain PyTorch, side by side in one run."""

import sys

from attnlab import interruption

if __name__ == "__main__":
    interruption.answer()  # before anything that takes time is imported
    from attnlab.cli import benchmark

    sys.exit(benchmark.benchmark(sys.argv[1:], benchmark.__doc__))
