"""Measure bytes and time of an image sent to a cascade as canvas, and as the file that it is.

    python benchmarks/encoded.py

scikit-learn's two photographs, resized and saved as JPEG of quality 90. The cascade has one stage, which answers at
once: what is measured is the round trip. One image a request. The file lies in memory; its decoding is part of
both modes, in the client for the one and in the server for the other.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from environment import write_result
from google.protobuf import text_format
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_sample_images
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from build_engines.repository.cascade_entry import put_cascade
from build_engines.repository.encoded import write_encoded
from cascade_client import CascadeClient
from cascade_core.contract import CASCADE, CASCADE_FILE, IMAGE, PROBABILITIES
from cascade_core.spec import Cascade, Stage
from embedded_server import EmbeddedServer

CANVAS, LABELS = 256, ("flower", "temple")
WIDTHS = (320, 640, 1280, 2560, 3840)
MODES = ("canvas", "encoded")
CLIENTS, REQUESTS, QUALITY = 4, 24, 90
STAGE = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        tensors = [pb_utils.Tensor("probabilities", np.full((len(part), 2), 0.5, np.float32)) for part in images]
        return [pb_utils.InferenceResponse([tensor]) for tensor in tensors]
"""

Ask = Callable[[bytes], Any]


def write_repository(repository: Path) -> None:
    """Write a cascade of one stage, and the model that decodes images for it."""
    config = ModelConfig(name="stage", backend="python", max_batch_size=32)
    config.input.append(ModelInput(**IMAGE.config(canvas=CANVAS)))
    config.output.append(ModelOutput(**PROBABILITIES.config(classes=len(LABELS))))
    config.dynamic_batching.SetInParent()
    (repository / "stage" / "1").mkdir(parents=True)
    (repository / "stage" / "config.pbtxt").write_text(text_format.MessageToString(config))
    (repository / "stage" / "1" / "model.py").write_text(STAGE)
    put_cascade(repository)
    write_encoded(CANVAS, repository)
    cascade = Cascade("one", CANVAS, LABELS, (Stage("stage"),))
    (repository / CASCADE / CASCADE_FILE).write_text(cascade.to_json())


def photographs(width: int) -> list[bytes]:
    """Return the photographs as JPEG files of a width."""
    files = []
    for photograph in load_sample_images().images:
        picture, file = Image.fromarray(photograph), io.BytesIO()
        height = round(picture.height * width / picture.width)
        picture.resize((width, height), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
        files.append(file.getvalue())
    return files


def one_client(ask: Ask, files: Sequence[bytes]) -> tuple[float, float]:
    """Return wall and client's CPU milliseconds of an image, medians and mean, of one client."""
    wall_ms, cpu_s = [], time.process_time()
    for request in range(REQUESTS):
        started_s = time.perf_counter()
        ask(files[request % len(files)])
        wall_ms.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(wall_ms), (time.process_time() - cpu_s) * 1000 / REQUESTS


def several_clients(ask: Ask, files: Sequence[bytes]) -> float:
    """Return images a second of several clients."""
    started_s = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(ask, [files[request % len(files)] for request in range(REQUESTS * 2)]))
    return REQUESTS * 2 / (time.perf_counter() - started_s)


def measure(client: CascadeClient, rounds: int) -> list[dict[str, Any]]:
    """Measure both modes at each width in turn, several times over; return the medians."""
    asks: dict[str, Ask] = {
        "canvas": lambda file: client.classify([file]),
        "encoded": lambda file: client.classify([file], encoded=True),
    }
    files = {width: photographs(width) for width in WIDTHS}
    seen: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for _ in track(range(rounds), "rounds"):
        for width in WIDTHS:
            for mode in MODES:
                figures = (*one_client(asks[mode], files[width]), several_clients(asks[mode], files[width]))
                seen.setdefault((width, mode), []).append(figures)
    return [_line(width, mode, files[width], figures) for (width, mode), figures in seen.items()]


def _line(width: int, mode: str, files: Sequence[bytes], figures: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    pictures = [Image.open(io.BytesIO(file)) for file in files]
    wall_ms, client_cpu_ms, images_per_s = (statistics.median(column) for column in zip(*figures, strict=True))
    return {
        "width": width,
        "megapixels": statistics.mean(picture.width * picture.height / 1e6 for picture in pictures),
        "way": mode,
        "bytes": round(statistics.mean(map(len, files))) if mode == "encoded" else CANVAS * CANVAS * 3,
        "wall_ms": wall_ms,
        "client_cpu_ms": client_cpu_ms,
        "images_per_s": images_per_s,
    }


def show(lines: list[dict[str, Any]]) -> Table:
    """Return the result as a table."""
    table = Table("pixels wide", "megapixels", "mode", "kB", "ms", "client's CPU ms", f"images/s, {CLIENTS} clients")
    for line in lines:
        table.add_row(
            str(line["width"]),
            f"{line['megapixels']:.2g}",
            line["way"],
            f"{line['bytes'] / 1000:.0f}",
            f"{line['wall_ms']:.1f}",
            f"{line['client_cpu_ms']:.1f}",
            f"{line['images_per_s']:.0f}",
        )
    return table


def main() -> None:
    """Serve, measure, print the table, write the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "model_repository"
        write_repository(repository)
        with EmbeddedServer(repository) as server, CascadeClient(server.addresses.grpc) as client:
            lines = measure(client, options.rounds)
    console = Console(width=120)
    console.print(show(lines))
    console.print(str(write_result("encoded", {"rounds": options.rounds, "lines": lines}, package="pillow")))


if __name__ == "__main__":
    main()
