"""Which cascades a search looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from build_cascade.errors import GoalError
from build_cascade.exhaustive.committees import Constraints
from build_cascade.exhaustive.rules import rule_grid
from cascade_core.gating import GatingRule
from cascade_core.spec import MAX_STAGES

GRID_THRESHOLDS = 50
# Stage k's weight in the mean is r^(k-1); 1 is the paper's rule, more lets the expensive stages overrule the cheap.
WEIGHT_RATIOS = (1.0, 1.25, 1.5)
DEFAULT_CONFIDENCES = ("max_probability", "margin")


@dataclass(frozen=True)
class SearchSpace:
    """The cascades that a search looks at.

    Attributes:
        confidences: Keys of `cascade_core.gating.CONFIDENCES`, each tried.
        combines: Of `cascade_core.gating.COMBINES`, each tried.
        ratios: Each r tried, where stage k has the weight r^(k-1).
        max_stages: The most stages.
        worst_cost: The highest cost of an image that runs every stage; None for no bound.
        must_include: Backbones that every cascade has.
        all_orders: Whether every order is tried, rather than ascending cost only.
        free_weights: Whether the stages that reach the goal then get weights of their own, in a second search.
        thresholds: How many are tried a stage, as well as "no image exits".
        rules: The gating rules that follow, each tried.

    Raises:
        GoalError: a name is unknown.
    """

    confidences: tuple[str, ...] = DEFAULT_CONFIDENCES
    combines: tuple[str, ...] = ("mean",)
    ratios: tuple[float, ...] = WEIGHT_RATIOS
    max_stages: int = MAX_STAGES
    worst_cost: float | None = None
    must_include: tuple[str, ...] = ()
    all_orders: bool = False
    free_weights: bool = False
    thresholds: int = GRID_THRESHOLDS
    rules: tuple[GatingRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        try:
            rules = rule_grid(self.ratios, self.confidences, self.combines, self.max_stages)
        except ValueError as error:
            raise GoalError(str(error)) from error
        object.__setattr__(self, "rules", tuple(rules))

    def constraints(self, names: Sequence[str]) -> Constraints:
        """Return which committees of the named backbones are allowed.

        Raises:
            GoalError: a backbone that must be included is not in the pool.
        """
        unknown = [name for name in self.must_include if name not in names]
        if unknown:
            raise GoalError(f"no backbone {unknown[0]!r} to include; the pool has: {', '.join(names)}")
        included = frozenset(names.index(name) for name in self.must_include)
        return Constraints(self.max_stages, self.worst_cost, included, self.all_orders)
