"""The code in docstrings is valid Python, and stands in a fenced block, as the API reference shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import build_cascade
import build_engines
import cascade_client
import cascade_core
import cascade_serving
import embedded_server

PACKAGES = (build_cascade, build_engines, cascade_client, cascade_core, cascade_serving, embedded_server)
FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)
LOOKS_LIKE_CODE = re.compile(r"^\s*(>>> .*|from [\w.]+ import .*|import [\w.]+)$", re.MULTILINE)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(package) -> Iterator[tuple[str, str]]:
    for path in sorted(Path(package.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield f"{package.__name__}/{path.name}:{getattr(node, 'lineno', 1)}", text


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_code_in_docstrings_compiles(package):
    for place, text in docstrings(package):
        for code in FENCED.findall(text):
            compile(code, place, "exec")
        assert not LOOKS_LIKE_CODE.search(FENCED.sub("", text)), f"{place}: put code between ```python and ```"


def test_the_clients_package_shows_how_to_use_it():
    assert "classify(" in FENCED.search(cascade_client.__doc__)[1]
