"""The README's commands and its Python run as they stand, on what `make demo` built."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RUN_BY_CI = ("git clone", "make demo", "make test")
SERVERS = ("serve-repository", "make serve")
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def steps():
    """Each command of the README's `sh` blocks, then its Python."""
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", README, re.DOTALL):
        if language == "python":
            yield [sys.executable, "-c", block]
            continue
        for line in block.splitlines():
            command = line.split("  #")[0].strip()
            if command and not command.startswith(("#", *RUN_BY_CI)):
                yield command


def start(command):
    server = subprocess.Popen(
        command, shell=True, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in server.stdout:
        if line.startswith("  log"):
            return server
    raise AssertionError(f"{command} ended with {server.wait()}")


def stop(server):
    os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    server.communicate(timeout=60)


@pytest.mark.server
@pytest.mark.skipif(not (ROOT / "build/digits/report/frontier.png").exists(), reason="make demo has not been run")
def test_every_command_of_the_readme_runs():
    server = None
    try:
        for step in steps():
            if isinstance(step, str) and step.startswith(SERVERS):
                if server:
                    stop(server)
                server = start(step)
                continue
            done = subprocess.run(
                step,
                shell=isinstance(step, str),
                cwd=ROOT,
                env=ENVIRONMENT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    finally:
        if server:
            stop(server)


def test_every_folder_the_readme_names_is_there():
    for folder in re.findall(r"^\| `([a-z_/]+)/`", README, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
