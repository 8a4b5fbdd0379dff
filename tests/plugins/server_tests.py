"""A pytest plugin: it marks the tests that start Triton, `server`, so that the others can run without them.

A test does so where its code, that of its fixtures or of a function of ours that they name names EmbeddedServer; tests
that start a server as a process of its own are marked by hand. An unmarked test whose process starts a server fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from unittest.mock import patch

import pytest

from embedded_server import EmbeddedServer


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seen: dict[CodeType, bool] = {}
    for item in items:
        if isinstance(item, pytest.Function) and any(_starts_server(code, seen) for code in _functions(item)):
            item.add_marker("server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if item.get_closest_marker("server"):
        return (yield)
    message = f"{item.nodeid} starts a server: mark it with pytest.mark.server"
    with patch.object(EmbeddedServer, "__enter__", side_effect=AssertionError(message)):
        return (yield)


def _functions(item: pytest.Function) -> Iterator[FunctionType]:
    """Yield a test's function and those of its fixtures."""
    yield item.function
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        yield from (definition.func for definition in definitions if isinstance(definition.func, FunctionType))


def _starts_server(function: FunctionType, seen: dict[CodeType, bool]) -> bool:
    """Tell whether a function names the server, itself or in one of our functions that it names."""
    code = function.__code__
    if code not in seen:
        seen[code] = False  # it may name itself
        names = set(_names(code))
        named = [value for name in names if isinstance(value := function.__globals__.get(name), FunctionType)]
        ours = [value for value in named if "site-packages" not in value.__code__.co_filename]
        seen[code] = EmbeddedServer.__name__ in names or any(_starts_server(value, seen) for value in ours)
    return seen[code]


def _names(code: CodeType) -> Iterator[str]:
    """Yield what a piece of code names, the functions inside it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
