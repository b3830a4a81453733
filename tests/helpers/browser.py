"""Headless Chromium driven over a pair of pipes: pages in a window of any size, moved by real keys and
clicks."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS = [*QUIET, "--hide-scrollbars", "--remote-debugging-pipe"]


class Browser:
    """One page of a browser: `with Browser(folder) as browser: browser.open(path, 360, 640)`. The folder
    keeps its profile."""

    def __init__(self, folder: Path):
        assert CHROMIUM is not None
        commands, answers = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (commands[0], answers[1])]
        shell = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'  # Chromium reads from 3 and writes to 4
        arguments = ["bash", "-c", shell, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={folder}"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(arguments, pass_fds=theirs, stdin=quiet, stdout=quiet, stderr=quiet)
        for end in (*theirs, commands[0], answers[1]):
            os.close(end)
        self.commands, self.answers = os.fdopen(commands[1], "wb", buffering=0), os.fdopen(answers[0], "rb")
        self.count, self.pending, self.requests = 0, b"", list[str]()
        self.session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session = {}
        self.call("Browser.close")
        self.process.wait(timeout=30)
        self.commands.close()
        self.answers.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol and return its result. Raises RuntimeError where it is
        refused."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters, **self.session}
        self.commands.write(json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.count:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, path: Path, width: int, height: int, mobile: bool = False) -> None:
        """Show a file in a window of this size, loaded."""
        self.visit(path.resolve().as_uri(), width, height, mobile)

    def visit(self, address: str, width: int, height: int, mobile: bool = False) -> None:
        """Show a page in a window of this size, loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.requests.clear()
        self.call("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression. Raises RuntimeError where it throws."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """A key of the keyboard, such as ArrowRight, in whatever has the focus."""
        code = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9}[key]
        for kind in ("rawKeyDown", "keyUp") * times:
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """The window, or the whole page, as PNG."""
        image = self.call(
            "Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": self._all()} if whole else {})
        )
        path.write_bytes(base64.b64decode(image["data"]))

    def _all(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def _next(self) -> dict[str, Any]:
        """The next message from the browser; addresses asked for are kept in `requests`."""
        while b"\0" not in self.pending:
            part = os.read(self.answers.fileno(), 1 << 20)
            if not part:
                raise RuntimeError("the browser has gone")
            self.pending += part
        message, _, self.pending = self.pending.partition(b"\0")
        event = json.loads(message)
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        return event
