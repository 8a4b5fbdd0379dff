from __future__ import annotations

import pytest

from tests.support.reports import (
    evaluator_of,
    imported_evaluator,
)


@pytest.fixture(params=[evaluator_of, imported_evaluator], ids=["collected", "imported"])
def evaluator(request):
    return request.param()
