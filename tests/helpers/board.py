"""TensorBoard as a person sees it: the real server over a folder of runs, and headless Chromium before it."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from browser import Browser

WIDTH, HEIGHT = 1280, 860


@contextlib.contextmanager
def served(runs: Path) -> Iterator[str]:
    """The address of TensorBoard over a folder, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/data/runs") as answer:
                if json.load(answer):
                    break
            time.sleep(0.5)
        time.sleep(3)  # the rest of the runs is read in the background
        yield address
    finally:
        process.terminate()
        process.wait()


def photograph(runs: Path, picture: Path) -> None:
    """The page of custom scalars, whose address a sweep prints, as PNG."""
    with served(runs) as address, tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.visit(f"{address}/#custom_scalars&_smoothingWeight=0", WIDTH, HEIGHT)
        time.sleep(12)  # charts are drawn when they come into sight
        browser.screenshot(picture)
