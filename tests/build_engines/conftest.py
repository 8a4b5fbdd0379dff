"""An audit without the process of its own, for tests that are about something else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future

import pytest

from tests.support.graphs import made_once_for_all_tests


class SerialExecutor(Executor):
    """An executor that does each task at once, in this process."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, task: Callable[..., object], *arguments: object, **options: object) -> Future[object]:
        done: Future[object] = Future()
        try:
            done.set_result(task(*arguments, **options))
        except BaseException as error:
            done.set_exception(error)
        return done


@pytest.fixture
def audited_in_process(monkeypatch):
    """Audits in this process, which has torch already; it takes seconds to import in each of the audit's own."""
    monkeypatch.setattr("build_engines.export.audit.ProcessPoolExecutor", SerialExecutor)


@pytest.fixture
def graphs_made_once(tmp_path_factory):
    with made_once_for_all_tests(tmp_path_factory):
        yield
