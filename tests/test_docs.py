"""What README.md and docs/ say runs as it stands, on what `make demo demo-digits` built, and names what exists."""

from __future__ import annotations

import os
import pkgutil
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import build_cascade.cli
import build_engines.cli
import cascade_client.cli
import embedded_server.cli
from build_engines.pool.schema import load_pool

pytestmark = pytest.mark.xdist_group("ports")  # the pages' servers have the ports of the defaults

ROOT = Path(__file__).parents[1]
NAV = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
# In the order of the navigation: a page may go on where the one before it stopped, and servers are started less often.
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in re.findall(r": ([\w/-]+\.md)$", NAV, re.MULTILINE))]
DOCUMENTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", ROOT / "client" / "README.md"]
README_WORDS = 1200
BUILT = {"build", "site"}

RUN_BY_CI = ("git clone", "make demo", "make test", "PHOTOS=")
SERVERS = ("serve-repository", "make serve")
BUILT_BY_DEMOS = (ROOT / "build/efficientnet-lite/contact-sheet.png", ROOT / "build/digits/report/frontier.png")
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

COMMANDS = {
    "build-engines": get_command(build_engines.cli.app),
    "build-cascade": get_command(build_cascade.cli.app),
    "serve-repository": get_command(embedded_server.cli.app),
    "cascade": get_command(cascade_client.cli.app),
}
OPTIONS_OF_OTHERS = {"--model-load-thread-count", "--strict-skips", "--data", "--minutes", "--studies", "--small"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if language in languages:
            yield language, block


def lines(block: str) -> Iterator[str]:
    """Yield each command of a block of shell."""
    for line in block.replace("\\\n", " ").splitlines():
        command = line.split("  #")[0].removeprefix("$ ").strip()
        if command and not command.startswith("#"):
            yield command


def spans(page: Path) -> list[str]:
    """Return the `code` in running text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


class Server:
    """The one server that runs at a time, as in a reader's other terminal."""

    def __init__(self) -> None:
        self.command: str | None = None
        self.process: subprocess.Popen[str] | None = None

    def start(self, command: str) -> None:
        """Start it, in place of one that was started by another command."""
        if command == self.command:
            return
        self.stop()
        self.process = subprocess.Popen(
            command, shell=True, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert any(line.startswith("  log") for line in self.process.stdout), f"{command} ended"
        self.command = command

    def stop(self) -> None:
        """Stop it, as Ctrl-C in its terminal does."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.communicate(timeout=60)
        self.command = self.process = None


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.stop()


def run(step: str | list[str]) -> None:
    done = subprocess.run(
        step, shell=isinstance(step, str), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"


@pytest.mark.server
@pytest.mark.skipif(not all(map(Path.exists, BUILT_BY_DEMOS)), reason="make demo demo-digits has not been run")
@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "sh", "python"))], ids=name)
def test_every_command_of_a_page_runs(page, server):
    for language, block in blocks(page, "sh", "python"):
        if language == "python":
            if "CascadeClient" in block:
                server.start("make serve")
            run([sys.executable, "-c", block])
            continue
        for command in lines(block):
            if command.startswith(SERVERS):
                server.start(command)
            elif not command.startswith(RUN_BY_CI):
                run(command)


def parameters(command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def invocations(page: Path) -> Iterator[list[str]]:
    """Yield the words of each call of our commands in a page, run or not."""
    in_blocks = [line for _, block in blocks(page, "sh", "console") for line in lines(block)]
    for line in (*in_blocks, *spans(page)):
        words = shlex.split(line.replace("…", ""))
        if words and words[0] in COMMANDS:
            yield words


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_every_command_and_option_that_a_page_names_exists(page):
    known = {"--help", *OPTIONS_OF_OTHERS}
    for program in COMMANDS.values():
        known |= parameters(program).union(*map(parameters, getattr(program, "commands", {}).values()))
    for program, *arguments in invocations(page):
        command = COMMANDS[program]
        if arguments and hasattr(command, "commands") and not arguments[0].startswith("--"):
            assert arguments[0] in command.commands, (program, arguments)
            command = command.commands[arguments[0]]
        options = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
        assert options <= parameters(command) | {"--help"}, (program, arguments)
    for span in spans(page):
        if span.startswith("--"):
            assert re.split(r"[ =]", span)[0] in known, span


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_every_make_target_that_a_page_names_exists(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [*spans(page), *(line for _, block in blocks(page, "sh", "console") for line in lines(block))]
    for target in (target for command in commands for target in re.findall(r"^make ([a-z-]+)", command)):
        assert target in targets, target


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_every_file_and_folder_that_a_page_names_exists(page):
    links = re.findall(r"\]\(([^)#:\s]+)[^)]*\)", page.read_text())
    assert all((page.parent / link).exists() for link in links), links
    tracked = {path.name for path in ROOT.iterdir()} - BUILT
    for span in spans(page):
        first = span.partition("/")[0]
        if " " not in span and (first in tracked or span.endswith("/")) and first not in BUILT:
            assert next(ROOT.glob(span.rstrip("/")), None), span


def test_the_readme_is_a_front_door():
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


def test_every_page_of_the_docs_is_in_the_navigation():
    assert set(PAGES[1:]) == set((ROOT / "docs").rglob("*.md"))


def test_every_name_of_the_api_reference_can_be_imported():
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for dotted in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE):
            pkgutil.resolve_name(dotted)


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "yaml"))], ids=name)
def test_every_pool_that_a_page_shows_is_valid(page, tmp_path):
    for _, block in blocks(page, "yaml"):
        classes = yaml.safe_load(block)["backbones"][0]["classes"]
        (tmp_path / "labels.txt").write_text("\n".join(f"class {index}" for index in range(classes)))
        (tmp_path / "pool.yaml").write_text(block)
        assert load_pool(tmp_path / "pool.yaml").backbones
