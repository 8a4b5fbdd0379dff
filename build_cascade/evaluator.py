"""What cascades are judged by: predictions with labels, or a backbone's answers in their place, and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from build_cascade.committee import Committee, most_agreeing, with_answers_of
from build_cascade.errors import GoalError
from build_cascade.evaluation import Evaluation, evaluate
from build_cascade.imported import read_imported
from build_cascade.predictions import SPLIT_SEED, SPLITS, Predictions
from build_cascade.provenance import check_provenance
from build_engines.costs.costs import Costs
from build_engines.errors import CostError
from build_engines.pool.artifacts import PoolBuild

COUNTED = "multiply-accumulates of the exported graph, attention included"
CALIBRATION_SHARE = 0.5  # of imported predictions; the rest are the test images


@dataclass(frozen=True)
class Evaluator:
    """Predictions on two splits, what they are judged by, and the cost of each backbone.

    Attributes:
        calibration: What cascades are chosen on.
        test: What they are reported on.
        costs: Of an image in each backbone.
        other_costs: In the other unit, if known: measured ones where `costs` are counted, and the other way round.
        predicted_by: The runtime that answered, by backbone; empty where predictions were imported.
        notes: What the user should know: which images have no label, and what stands for labels.
        collected: The predictions of both splits on all images, with the labels that are known; None for the above.
    """

    calibration: Predictions
    test: Predictions
    costs: Costs
    predicted_by: Mapping[str, str] = field(default_factory=dict)
    other_costs: Costs | None = None
    notes: tuple[str, ...] = ()
    collected: tuple[Predictions, Predictions] | None = None

    @classmethod
    def read(cls, build: PoolBuild, costs_file: Path | None = None) -> Self:
        """Read the predictions of a pool on both splits, and its costs; they are judged by labels if there are any.

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
            read = cls(
                *predictions.split(CALIBRATION_SHARE, SPLIT_SEED),
                given or costs,
                other_costs=_other(given, costs, None),
            )
            return read.judged()
        manifests = {built.name: built.require_manifest() for built in build}
        onnx = {name: manifest.onnx_sha256 for name, manifest in manifests.items()}
        predicted_by = check_provenance([build.predictions(split) for split in SPLITS], onnx, build.pool.labels)
        calibration, test = (Predictions.read(build.predictions(split), names) for split in SPLITS)
        counted = Costs({name: manifest.gmacs for name, manifest in manifests.items()}, source=COUNTED)
        other = _other(given, counted, _measured(build, names))
        return cls(calibration, test, given or counted, predicted_by, other).judged()

    def judged(self, consistent_with: str | None = None, *, by_labels: bool = True) -> Self:
        """Return the evaluator with something to judge by on both splits, and notes on what that is.

        A split is judged by its labels, on the images that have one. Where none has, and on calibration where that is
        asked for, the answers of one backbone stand for labels, on all images.

        Args:
            consistent_with: That backbone. By default, on calibration, the one that agrees most with the mean
                prediction of all, see `most_agreeing`, on the half that chooses under a guarantee: one that the
                certifying images picked could not be certified on them. On test, the best one on calibration.
            by_labels: Whether calibration may be judged by its labels.

        Raises:
            GoalError: there is no such backbone.
        """
        collected, collected_test = self.collected or (self.calibration, self.test)
        if consistent_with is not None and consistent_with not in collected.names:
            raise GoalError(f"no backbone {consistent_with!r}; the pool has: {', '.join(collected.names)}")
        if consistent_with is None and by_labels and collected.labelled:
            calibration = collected.only_labelled()
        else:
            choosing = collected.halves()[0] if len(collected.class_ids) > 1 else collected
            calibration = with_answers_of(collected, consistent_with or most_agreeing(choosing, self.costs))
        chosen_by = replace(self, calibration=calibration, collected=(collected, collected_test))
        labelled = collected_test.labelled > 0
        test = collected_test.only_labelled() if labelled else with_answers_of(collected_test, chosen_by.best_single())
        notes = [*_label_notes(collected, calibration, SPLITS[0]), *_label_notes(collected_test, test, SPLITS[1])]
        if consistent_with is None and calibration.reference is not None:
            notes.append(
                f"{calibration.reference!r} agrees most with the mean prediction of all backbones, so it is likely the "
                "most accurate; search --consistent-with or greedy --reference names another"
            )
        return replace(chosen_by, test=test, notes=tuple(notes))

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

    def choosing(self) -> Self:
        """Return the evaluator without the calibration images that certify under a guarantee."""
        return replace(self, calibration=self.calibration.halves()[0])

    def best_single(self) -> str:
        """Return the name of the backbone that is most accurate on calibration; of equals, the cheapest.

        Without labels it is the one whose answers stand for them.
        """
        if self.calibration.reference is not None:
            return self.calibration.reference
        names = sorted(self.calibration.names, key=lambda name: self.costs[name])
        return max(names, key=lambda name: self.on_calibration(Committee.of([name])).correct)


def _measured(build: PoolBuild, names: Sequence[str]) -> Costs | None:
    """Return the costs that build-cascade measure keeps, None if there are none of all backbones."""
    try:
        return Costs.read(build.measured_costs).only(names)
    except CostError:
        return None


def _other(given: Costs | None, counted: Costs, measured: Costs | None) -> Costs | None:
    """Return the costs to show beside those that are used."""
    if given is None:
        return measured
    return counted if given.unit != counted.unit else None


def _label_notes(collected: Predictions, judged: Predictions, split: str) -> list[str]:
    """Return a note where not every image of a split is judged by its label."""
    images = len(collected.class_ids)
    if judged.reference is not None:
        why = "whose labels are not used" if collected.labelled else "none of which has a label"
        return [
            f"{split}: judged without labels, by agreement with the answers of {judged.reference!r} on all {images} "
            f"images, {why}"
        ]
    if collected.labelled == images:
        return []
    return [f"{split}: {images - collected.labelled} of {images} images have no label and are not used"]
