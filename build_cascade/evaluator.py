"""What cascades are judged by: predictions on labelled images, and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from build_cascade.committee import Committee
from build_cascade.evaluation import Evaluation, evaluate
from build_cascade.imported import read_imported
from build_cascade.predictions import SPLITS, Predictions
from build_cascade.provenance import check_provenance
from build_engines.costs.costs import Costs
from build_engines.pool.artifacts import PoolBuild

COUNTED = "multiply-accumulates of the exported graph, attention included"
CALIBRATION_SHARE = 0.5  # of imported predictions; the rest are the test images
SPLIT_SEED = 0


@dataclass(frozen=True)
class Evaluator:
    """Labelled predictions on two splits, and the cost of each backbone.

    Attributes:
        calibration: What cascades are chosen on.
        test: What they are reported on.
        costs: Of an image in each backbone.
        predicted_by: The runtime that answered, by backbone; empty where predictions were imported.
    """

    calibration: Predictions
    test: Predictions
    costs: Costs
    predicted_by: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, build: PoolBuild, costs_file: Path | None = None) -> Self:
        """Read the predictions of a pool on both splits, and its costs.

        Args:
            build: Of the pool.
            costs_file: Costs to use instead of the counted multiply-accumulates.

        Raises:
            PredictionError: predictions are missing or damaged.
            BuildError: a backbone has no up-to-date ONNX file, and so no cost.
            CostError: the costs file is damaged, or lacks a backbone.
        """
        names = [built.name for built in build]
        given = None if costs_file is None else Costs.read(costs_file).only(names)
        if build.imported.is_dir():
            predictions, costs = read_imported(build.imported, names)
            return cls(*predictions.split(CALIBRATION_SHARE, SPLIT_SEED), given or costs)
        manifests = {built.name: built.require_manifest() for built in build}
        onnx = {name: manifest.onnx_sha256 for name, manifest in manifests.items()}
        predicted_by = check_provenance([build.predictions(split) for split in SPLITS], onnx, build.pool.labels)
        calibration, test = (Predictions.read(build.predictions(split), names) for split in SPLITS)
        counted = Costs({name: manifest.gmacs for name, manifest in manifests.items()}, source=COUNTED)
        return cls(calibration, test, given or counted, predicted_by)

    def on_calibration(self, committee: Committee, thresholds: Sequence[float] = ()) -> Evaluation:
        """Replay a cascade on the images that it was chosen on."""
        return evaluate(self.calibration, self.costs, committee, thresholds)

    def on_test(self, committee: Committee, thresholds: Sequence[float] = ()) -> Evaluation:
        """Replay a cascade on the images that it is reported on."""
        return evaluate(self.test, self.costs, committee, thresholds)

    def mismatched_runtimes(self) -> set[tuple[str, str]]:
        """Return (measured, answered) where a backbone's cost is of another runtime than the one that answered."""
        pairs = {(runtime, self.predicted_by.get(name, runtime)) for name, runtime in self.costs.measured_by.items()}
        return {(measured, answered) for measured, answered in pairs if measured != answered}

    def best_single(self) -> str:
        """Return the name of the backbone that is most accurate on calibration; of equals, the cheapest."""
        names = sorted(self.calibration.names, key=lambda name: self.costs[name])
        return max(names, key=lambda name: self.on_calibration(Committee.of([name])).correct)
