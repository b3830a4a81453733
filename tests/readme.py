"""The README's commands and what they print: `python tests/readme.py` runs all of them and writes their
output anew."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TABLE = re.compile(r"(<!-- microscope -->\n).*?(<!-- end -->)", re.DOTALL)


def blocks(kind: str) -> list[str]:
    """The contents of every fenced block of a kind; "" for those without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for word, block in found if word == kind]


def steps(block: str) -> Iterator[tuple[str, str]]:
    """Command and output, one by one."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.strip("\n")


def prepare(folder: Path) -> None:
    """A folder to type the commands in, with the README's own files."""
    (folder / "scripts").symlink_to(ROOT / "scripts")
    for block in blocks("python") + blocks("yaml"):
        name = re.match(r"# (\S+)\n", block)
        if name:
            (folder / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / name[1]).write_text(block, encoding="utf-8")


def run(command: str, folder: Path) -> str:
    """What a command prints; an error where it fails or complains."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.replace("python ", f"{shlex.quote(sys.executable)} ", 1)],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or "Warning" in done.stderr:
        raise AssertionError(f"{command}\n{done.stdout}\n{done.stderr}")
    return re.sub(r"[ \t]+$", "", done.stdout, flags=re.MULTILINE).strip("\n")


def main() -> None:
    """Write every output, the table and the picture."""
    from attnlab import survey
    from attnlab.tour.overview import overview

    (ROOT / "docs" / "overview.png").write_bytes(overview())
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for block in blocks("console"):
            made = "\n\n".join(f"$ {command}\n{run(command, folder)}" for command, _ in steps(block)) + "\n"
            text = text.replace(f"```console\n{block}```", f"```console\n{made}```")
    table = survey.markdown(survey.jobs(), 100_000)
    text = TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
