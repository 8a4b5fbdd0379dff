"""The gate as anyone would write it: the mean of the predictions so far, its maximum against a threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from contenders.workload import CLASSES, STAGES, THRESHOLDS, Probabilities


class Gate:
    """The gate's state for n images.

    Attributes:
        open_rows: Images that are still in.
        class_id: INT32 [n], right for those that have left.
        exit_stage: INT32 [n], from 1; 0 for those that are still in.
    """

    def __init__(self, images: int) -> None:
        self.open_rows: npt.NDArray[np.intp] = np.arange(images)
        self.class_id = np.zeros(images, np.int32)
        self.exit_stage = np.zeros(images, np.int32)
        self._total = np.zeros((images, CLASSES), np.float32)

    def advance(self, stage: int, predictions: Probabilities) -> npt.NDArray[np.intp]:
        """Gate a stage's (from 0) predictions for the open images; return those that leave."""
        self._total[self.open_rows] += predictions
        mean = self._total[self.open_rows] / (stage + 1)
        leaves = np.full(len(mean), True) if stage == len(STAGES) - 1 else mean.max(1) >= THRESHOLDS[stage]
        left = self.open_rows[leaves]
        self.class_id[left] = mean[leaves].argmax(1)
        self.exit_stage[left] = stage + 1
        self.open_rows = self.open_rows[~leaves]
        return left
