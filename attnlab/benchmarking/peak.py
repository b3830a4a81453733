"""`python -m attnlab.benchmarking.peak OVERRIDES`: bytes that training steps of a run need at their peak."""

import sys
from pathlib import Path

import torch

MIB = 2**20
_STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at the most so far. `getrusage` would also count what
    the process that began this one had. Raises ValueError where the system does not say."""
    if not _STATUS.is_file():
        raise ValueError("memory is read from /proc, which this system does not have")
    lines = (line.split() for line in _STATUS.read_text(encoding="ascii").splitlines())
    (kilobytes,) = (words[1] for words in lines if words and words[0] == f"{field}:")
    return int(kilobytes) * 1024


def main(overrides: list[str]) -> None:
    """Print what two steps need more than there was before them."""
    from attnlab.benchmarking.steps import block, plain_loop
    from attnlab.building import build

    torch.set_num_threads(1)
    steps = block(plain_loop(build(overrides)), 2)
    before = resident("VmRSS")
    steps()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1:])
