from __future__ import annotations

import pytest

from build_cascade.errors import GoalError
from build_cascade.goal import parse_goal


@pytest.mark.parametrize("given", ["nan", "98", "-1"])
def test_an_accuracy_is_a_share(given):
    with pytest.raises(GoalError, match="takes a share"):
        parse_goal(given, 0.0, None, None)
