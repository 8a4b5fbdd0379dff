"""Predictions made elsewhere, of which the top k classes of each image are known: read, kept, and made a pool."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from build_cascade.errors import PredictionError
from build_cascade.predictions import Probabilities, save_array
from build_cascade.topk import Pair, TopK, TopKPredictions
from build_engines.costs.costs import Costs
from build_engines.pool.artifacts import BUILD_ROOT, holds_build
from build_engines.pool.schema import PLAIN_NAME, PRETRAINED
from build_engines.support.atomic_files import write_text_whole, write_whole

UNKNOWN_SIZE = 224


def read_npz_folder(folder: Path) -> tuple[TopKPredictions, Costs]:
    """Read `labels.npz` (labels), `models.json` (gmacs of each) and `MODEL.npz` (ids, probs) of each model.

    Raises:
        PredictionError: a file is missing or holds something else.
    """
    try:
        models = json.loads((folder / "models.json").read_text())
        class_ids = np.load(folder / "labels.npz")["labels"].astype(np.int64)
        gmacs = {name: float(entry["gmacs"]) for name, entry in models.items()}
        pairs = {name: _pair(np.load(folder / f"{name}.npz"), "ids", "probs") for name in models}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionError(
            f"{folder} needs models.json with gmacs, labels.npz and a MODEL.npz of ids and probs each ({error})"
        ) from error
    return TopKPredictions(class_ids, TopK(pairs, _classes(class_ids, pairs))), Costs(gmacs, source="models.json")


def read_npy_pairs(folder: Path, labels: Path, costs: Path) -> tuple[TopKPredictions, Costs]:
    """Read `MODEL_top5preds.npy` and `MODEL_top5probs.npy` of each model in `costs`.

    Args:
        folder: Where the pairs lie.
        labels: INT [N], as .npy.
        costs: JSON of each model's GMACs.

    Raises:
        PredictionError: a file is missing or holds something else.
    """
    try:
        gmacs = {name: float(value) for name, value in json.loads(costs.read_text()).items()}
        class_ids = np.load(labels).astype(np.int64)
        pairs = {
            name: (np.load(folder / f"{name}_top5preds.npy").astype(np.int32),
                   np.load(folder / f"{name}_top5probs.npy").astype(np.float16))
            for name in gmacs
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PredictionError(
            f"{folder} needs a pair MODEL_top5preds.npy, MODEL_top5probs.npy each ({error})"
        ) from error
    return TopKPredictions(class_ids, TopK(pairs, _classes(class_ids, pairs))), Costs(gmacs, source=costs.name)


def import_pool(name: str, predictions: TopKPredictions, costs: Costs, root: Path = BUILD_ROOT) -> Path:
    """Write imported predictions and a pool file for them; return the pool file.

    Canvas and input sizes are not known, so the pool file has placeholders: it serves the search and the report only.

    Raises:
        PredictionError: the name is invalid, or that of a pool with files below `root`.
    """
    _check_name(name, root)
    folder, classes = root / name, predictions.probabilities.classes
    labels = "\n".join(str(class_id) for class_id in range(classes))
    entry = {"weights": PRETRAINED, "input_size": UNKNOWN_SIZE, "classes": classes}
    backbones = [{"name": backbone, "architecture": backbone, **entry} for backbone in predictions.names]
    content = {"name": name, "canvas": UNKNOWN_SIZE, "labels": "labels.txt", "backbones": backbones}
    write_text_whole(folder / "labels.txt", labels)
    write_imported(folder / "imported", predictions, costs)
    write_text_whole(folder / "pool.yaml", yaml.safe_dump(content, sort_keys=False))
    return folder / "pool.yaml"


def write_imported(folder: Path, predictions: TopKPredictions, costs: Costs) -> None:
    """Write imported predictions: `class_ids.npy`, `costs.json`, and one `BACKBONE.npz` each."""
    for name, (ids, probabilities) in predictions.probabilities.pairs.items():
        write_whole(folder / f"{name}.npz", partial(_save_pair, ids=ids, probabilities=probabilities))
    write_whole(folder / "class_ids.npy", lambda aside: save_array(aside, predictions.class_ids))
    write_text_whole(folder / "classes.json", json.dumps(predictions.probabilities.classes))
    costs.write(folder / "costs.json")


def read_imported(folder: Path, names: Sequence[str]) -> tuple[TopKPredictions, Costs]:
    """Read the imported predictions of some backbones, and their costs.

    Raises:
        PredictionError: a file is missing or damaged.
    """
    try:
        classes = int(json.loads((folder / "classes.json").read_text()))
        class_ids = np.load(folder / "class_ids.npy")
        pairs = {name: _pair(np.load(folder / f"{name}.npz"), "ids", "probabilities") for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionError(
            f"{folder} is missing or damaged ({error}); run build-cascade import-topk again"
        ) from error
    return TopKPredictions(class_ids, TopK(pairs, classes)), Costs.read(folder / "costs.json").only(names)


def _check_name(name: str, root: Path) -> None:
    if not re.fullmatch(PLAIN_NAME, name):
        raise PredictionError(
            f"invalid --name {name!r}: use letters, digits, '_', '.' and '-', starting with a letter or a digit"
        )
    if holds_build(root / name):
        raise PredictionError(
            f"{root / name} holds files built from a pool of this name, which imported predictions would hide; "
            "choose another --name"
        )


def _classes(class_ids: npt.NDArray[np.int64], pairs: Mapping[str, Pair]) -> int:
    return int(max(class_ids.max(), *(ids.max() for ids, _ in pairs.values()))) + 1


def _pair(file: Mapping[str, npt.NDArray[np.generic]], ids: str, probabilities: str) -> Pair:
    return file[ids].astype(np.int32), file[probabilities].astype(np.float16)


def _save_pair(path: Path, ids: npt.NDArray[np.int32], probabilities: Probabilities) -> None:
    with path.open("wb") as file:
        np.savez(file, ids=ids, probabilities=probabilities)
