"""Ask a served cascade without our SDK, and change what is served."""

from __future__ import annotations

import dataclasses
import json
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from cascade_core.gating import Outcome, replay
from cascade_core.spec import Cascade
from embedded_server import EmbeddedServer

IMAGES = 96
FIELDS = ("class_id", "confidence", "exit_stage")
PATIENCE_S = 30


def call(client, images, outputs=(), model="cascade", client_timeout=60, timeout=None, **parameters):
    tensor = triton.InferInput("image", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
    options = {"client_timeout": client_timeout, "timeout": timeout, "parameters": parameters or None}
    response = client.infer(model, [tensor], outputs=wanted, **options)
    names = outputs or [output.name for output in response.get_response().outputs]
    return {name: response.as_numpy(name) for name in names}


def ask(server: EmbeddedServer, model, images, outputs=(), **options):
    with triton.InferenceServerClient(server.addresses.grpc) as client:
        return call(client, images, outputs, model, **options)


def offline(cascade: Cascade, predictions, operating_point=None, max_stage=None) -> Outcome:
    return replay(cascade.rule, cascade.thresholds_at(operating_point), predictions, max_stage)


def assert_clients_get_their_own(server: EmbeddedServer, cascade: Cascade, images, predictions) -> None:
    """Ask as sixteen clients at once: requests of different sizes and parameters are merged; none may see another's."""
    choices = [{}, {"operating_point": "fast"}, {"max_stage": 1}, {"max_stage": 2, "operating_point": "accurate"}]

    def client(seed):
        rows = np.random.default_rng(seed).permutation(IMAGES)[: 1 + seed % 16]
        parameters = choices[seed % len(choices)]
        return rows, parameters, ask(server, "cascade", images[rows], FIELDS, **parameters)

    with ThreadPoolExecutor(16) as pool:
        for rows, parameters, served in pool.map(client, range(200)):
            assert_equal(served, offline(cascade, predictions, **parameters), rows)


def assert_equal(served, outcome, rows=slice(None)):
    for field in set(FIELDS) & set(served):
        np.testing.assert_array_equal(served[field][:, 0], getattr(outcome, field)[rows], err_msg=field)


def serve_as(repository: Path, cascade: Cascade, **serving) -> None:
    """Put a cascade.json there, whole."""
    settings = dataclasses.replace(cascade.serving, **serving)
    aside = repository / "cascade" / "aside.json"
    aside.write_text(dataclasses.replace(cascade, serving=settings).to_json())
    aside.rename(repository / "cascade" / "cascade.json")


def change_stage(repository: Path, name: str, old: str, new: str) -> None:
    """Change the code of a stage's model."""
    path = repository / name / "1" / "model.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def slow_down(repository: Path, name: str, seconds: float) -> None:
    change_stage(repository, name, "return [_resp", f"__import__('time').sleep({seconds}); return [_resp")


def metrics(server: EmbeddedServer) -> dict[tuple[str, str], float]:
    """Read the cascade's own metrics: by name and by stage, kind of error, or an empty string."""
    with urllib.request.urlopen(f"http://{server.addresses.metrics}/metrics") as page:
        lines = page.read().decode().splitlines()
    values = {}
    for line in lines:
        if line.startswith("cascade_") and "_bucket" not in line:
            name, labels, value = re.fullmatch(r"cascade_(\w+){(.*)} (\S+)", line).groups()
            kinds = dict(re.findall(r'(\w+)="(.*?)"', labels))
            values[name, kinds.get("stage", kinds.get("kind", ""))] = float(value)
    return values


def settled(server: EmbeddedServer) -> dict[tuple[str, str], float]:
    """Read the metrics when they hold everything before; a request to be refused is the last thing that they count."""
    refused = ("failed_images_total", "bad_request")
    before = metrics(server).get(refused, 0)
    with pytest.raises(InferenceServerException), triton.InferenceServerClient(server.addresses.grpc) as client:
        [image] = client.get_model_metadata("cascade").inputs
        call(client, np.zeros([1, *map(int, image.shape[1:])], np.uint8), max_stage=0)
    eventually(lambda: metrics(server).get(refused, 0) > before, True)
    return metrics(server)


def eventually(read, expected):
    """Wait until something reads as expected; metrics come a moment after the answers."""
    until_s = time.monotonic() + PATIENCE_S
    while (seen := read()) != expected:
        assert time.monotonic() < until_s, json.dumps({"seen": str(seen), "expected": str(expected)})
        time.sleep(0.05)


def is_empty(server: EmbeddedServer) -> None:
    """Wait until no image is inside the cascade."""

    def inside():
        return {value for (name, _), value in metrics(server).items() if name in ("images_in_flight", "waiting_images")}

    eventually(inside, {0.0})
