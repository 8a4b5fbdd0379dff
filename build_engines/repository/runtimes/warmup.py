"""Images that Triton sends through a model before it reports the model as ready."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup


def add_warmup(config: ModelConfig) -> None:
    """Warm up with one image and a full batch, all black: work that is deferred to the first use is then done."""
    for batch_size in sorted({1, config.max_batch_size}):
        warmup = ModelWarmup(name=f"batch of {batch_size}", batch_size=batch_size)
        for taken in config.input:
            given = ModelWarmup.Input(data_type=taken.data_type, dims=taken.dims, zero_data=True)
            warmup.inputs[taken.name].CopyFrom(given)
        config.model_warmup.append(warmup)
