"""The model repository that holds every contender that Triton serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelEnsembling, ModelInput, ModelInstanceGroup, ModelOutput

from build_engines.repository.cascade_entry import put_cascade
from build_engines.repository.runtimes import RUNTIMES
from build_engines.repository.runtimes.embedded import MODEL as EMBEDDED_MODEL
from cascade_core.contract import CASCADE
from cascade_core.spec import Cascade, Serving, Stage
from contenders.workload import CANVAS, CLASSES, STAGES, THRESHOLDS

PACKAGE = Path(__file__).parent
MAX_BATCH_SIZE = 32


def write_repository(repository: Path, networks: Path | None) -> None:
    """Write stages of networks in a folder, or sleepers where there is none, and all that calls them."""
    for name in STAGES:
        _write_stage(repository, name, networks)
    put_cascade(repository)
    _describe_cascade(repository / CASCADE, "bls")
    _write_model(repository, _config("naive", "class_id", "exit_stage"))
    _write_model(repository, _config("batched", "class_id", "exit_stage"))
    _write_model(repository, _config("early", "class_id", "exit_stage", instances=4))
    if networks:
        second = Path(shutil.copytree(repository / CASCADE, repository / "cascade_in_process"))
        config = second / "config.pbtxt"
        config.write_text(config.read_text().replace(f'name: "{CASCADE}"', f'name: "{second.name}"'))
        _describe_cascade(second, "in_process")
        fused = _config("fused", "class_id", "exit_stage", instances=2, batches=False)
        fused.parameters["networks"].string_value = str(networks)
        _write_model(repository, fused)
    _write_ensemble(repository)


def _config(name: str, *outputs: str, instances: int = 1, batches: bool = True) -> ModelConfig:
    config = ModelConfig(name=name, max_batch_size=MAX_BATCH_SIZE)
    config.input.append(ModelInput(name="image", data_type="TYPE_UINT8", dims=[CANVAS, CANVAS, 3]))
    for output in outputs:
        config.output.append(ModelOutput(name=output, data_type="TYPE_INT32", dims=[1]))
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=instances)
    if batches:
        config.dynamic_batching.SetInParent()
    return config


def _write_model(repository: Path, config: ModelConfig, code: str = "") -> None:
    config.backend = "python"

    def fill(version: Path) -> None:
        shutil.copyfile(PACKAGE / "models" / f"{code or config.name}.py", version / "model.py")
        shutil.copytree(PACKAGE, version / PACKAGE.name, ignore=shutil.ignore_patterns("models", "__pycache__"))

    _write(repository, config, fill)


def _write_stage(repository: Path, name: str, networks: Path | None) -> None:
    config = _config(name)
    config.output.append(ModelOutput(name="probabilities", data_type="TYPE_FP32", dims=[CLASSES]))
    if networks is None:
        _write_model(repository, config, "sleeper")
        return
    config.ClearField("instance_group")
    runtime, path = RUNTIMES["embedded"], networks / f"{name}.onnx"
    runtime.configure(config)

    def fill(version: Path) -> None:
        shutil.copyfile(EMBEDDED_MODEL, version / "model.py")
        shutil.copyfile(path, version / "model.onnx")

    _write(repository, config, fill)


def _describe_cascade(entry: Path, reach: str) -> None:
    costs = (1.0, 4.0, 13.0)
    stages = tuple(
        Stage(stage, cost=cost, threshold=threshold, max_batch_size=MAX_BATCH_SIZE)
        for stage, cost, threshold in zip(STAGES, costs, (*THRESHOLDS, None), strict=True)
    )
    labels = tuple(str(label) for label in range(CLASSES))
    cascade = Cascade(entry.name, CANVAS, labels, stages, max_batch_size=MAX_BATCH_SIZE, serving=Serving(reach=reach))
    (entry / "cascade.json").write_text(cascade.to_json())


def _write_ensemble(repository: Path) -> None:
    mean = _config("mean", "class_id")
    mean.ClearField("input")
    for name in STAGES:
        mean.input.append(ModelInput(name=name, data_type="TYPE_FP32", dims=[CLASSES]))
    _write_model(repository, mean)
    ensemble = _config("ensemble", "class_id", batches=False)
    ensemble.platform = "ensemble"
    ensemble.ClearField("instance_group")
    steps = [
        ModelEnsembling.Step(
            model_name=name, model_version=-1, input_map={"image": "image"}, output_map={"probabilities": name}
        )
        for name in STAGES
    ]
    last = ModelEnsembling.Step(model_name="mean", model_version=-1, output_map={"class_id": "class_id"})
    last.input_map.update({name: name for name in STAGES})
    ensemble.ensemble_scheduling.step.extend([*steps, last])
    _write(repository, ensemble, lambda _: None)


def _write(repository: Path, config: ModelConfig, fill: Callable[[Path], None]) -> None:
    version = repository / config.name / "1"
    version.mkdir(parents=True)
    fill(version)
    (repository / config.name / "config.pbtxt").write_text(text_format.MessageToString(config))
