"""What was measured on: ratios depend on it less than times do, and still depend on it."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def machine(threads: int) -> Mapping[str, str]:
    """Processor, its cores, threads and system; nothing is imported for it."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(threads),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    """By its name where the system says it."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
