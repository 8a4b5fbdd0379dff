"""The engine of the runtime `torch` without Triton; what needs a GPU is marked so."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest
import torch

from build_engines.export.timm_source import TimmSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from build_engines.repository.runtimes.cuda_graph_batches import cuda_graph_batches
from build_engines.repository.runtimes.torch import engine
from build_engines.repository.runtimes.torch.engine import (
    DTYPES,
    Engine,
    EngineError,
    cast_body,
    compiled,
    load,
    on_gpu,
    without_graphs,
)
from build_engines.repository.runtimes.torch.program import make_program
from build_engines.support.atomic_files import sha256
from tests.support.helpers import CANVAS, backbone_entry, random_canvases, write_pool

CONFIG = {"input": [{"dims": ["32", "32", "3"]}]}
LARGEST = 8


@pytest.fixture(scope="module", params=["vit", "cnn"])
def made(request, tmp_path_factory):
    """A folder with a program, and the module that it was made of."""
    folder = tmp_path_factory.mktemp(request.param)
    cnn = {"architecture": "resnet10t", "arguments": {}, "input_size": 32}
    changes = {"weights": "random"} | (cnn if request.param == "cnn" else {})
    pool = load_pool(write_pool(folder, backbone_entry("net", **changes)))
    program = make_program(PoolBuild(pool, folder)["net"])
    shutil.copyfile(program, folder / "model.pt2")
    return folder, TimmSource(pool, pool.backbones[0]).torch_module()


def config(folder, precision="fp16"):
    parameters = {
        "precision": precision,
        "batch_sizes": ",".join(map(str, cuda_graph_batches(LARGEST))),
        "exported_by": "torch",
        "model.pt2_sha256": sha256(folder / "model.pt2"),
    }
    return CONFIG | {"parameters": {name: {"string_value": value} for name, value in parameters.items()}}


def expected(module, images):
    with torch.inference_mode():
        return module(torch.from_numpy(images)).numpy()


def summed(images):
    """Stands for a backbone: an answer that only its own image decides."""
    return images.flatten(1).float().sum(1, keepdim=True)


@pytest.mark.parametrize(("count", "rung"), [(1, 1), (2, 2), (3, 4), (5, 6), (6, 6)])
def test_a_batch_is_filled_up_to_the_next_size(count, rung):
    ran = []
    images = torch.full((6, 4, 4, 3), 7, dtype=torch.uint8)

    def answer(size):
        ran.append(size)
        return summed(images[:size])

    given = random_canvases(count, seed=count, size=4)
    answers = Engine(images, cuda_graph_batches(6), answer)([given[:1], given[1:]])
    assert ran == [rung]
    np.testing.assert_array_equal(answers, summed(torch.from_numpy(given)).numpy())


def test_a_size_below_the_last_one_takes_nothing_from_it():
    images = torch.zeros((4, 4, 4, 3), dtype=torch.uint8)
    engine = Engine(images, cuda_graph_batches(4), lambda size: summed(images[:size]))
    for count in (4, 3, 1, 2, 4):
        given = random_canvases(count, seed=count, size=4)
        np.testing.assert_array_equal(engine([given]), summed(torch.from_numpy(given)).numpy())


def test_more_images_than_the_largest_size_are_refused():
    images = torch.zeros((2, 4, 4, 3), dtype=torch.uint8)
    with pytest.raises(ValueError, match="a batch of 3 images exceeds the maximum of 2"):
        without_graphs(summed, images)([np.zeros((3, 4, 4, 3), np.uint8)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU has a test of its own")
def test_on_a_cpu_it_answers_in_fp32_whatever_the_precision(made):
    folder, module = made
    engine = load(folder, config(folder, "bf16"), 0, pytest.fail)
    images = random_canvases(LARGEST)
    for count in (1, 3, LARGEST):
        np.testing.assert_allclose(engine([images[:count]]), expected(module, images[:count]), atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-2), ("bf16", 5e-2)])
def test_only_the_body_is_cast(made, precision, tolerance):
    folder, module = made
    program = torch.export.load(folder / "model.pt2").module(check_guards=False)
    cast_body(program, DTYPES[precision])
    images = random_canvases(5)
    with torch.inference_mode():
        answers = program(torch.from_numpy(images))
    assert answers.dtype == torch.float32
    np.testing.assert_allclose(answers.numpy(), expected(module, images), atol=tolerance)
    dtypes = {name: tensor.dtype for name, tensor in [*program.named_parameters(), *program.named_buffers()]}
    assert dtypes["preprocessing.matrix"] == torch.float32
    norms = {name.removesuffix("running_var") for name in dtypes if name.endswith("running_var")}
    in_norms = {name for name in dtypes if name[: name.rindex(".") + 1] in norms}
    assert {dtypes[name] for name in in_norms} <= {torch.float32, torch.int64}
    body = {dtype for name, dtype in dtypes.items() if name.startswith("backbone.") and name not in in_norms}
    assert body == {DTYPES[precision]}


def test_a_program_that_does_not_run_in_a_precision_is_refused(made, monkeypatch):
    folder, _ = made
    monkeypatch.setitem(DTYPES, "fp32", torch.complex64)
    with pytest.raises(EngineError, match=r"model\.pt2 does not run in fp32 on cpu"):
        load(folder, config(folder), 0, pytest.fail)


def test_fp32_is_fp32_also_on_tensor_cores(made, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    load(made[0], config(made[0], "fp32"), 0, pytest.fail)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_too_old_a_pytorch_is_a_message(made, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.8.0a0+nv25.06")
    with pytest.raises(EngineError, match=r"PyTorch 2\.8\.0a0.* is too old: 2\.9 or later is needed"):
        load(made[0], config(made[0]), 0, pytest.fail)


def test_a_program_that_answers_nan_is_refused(made, monkeypatch):
    """As where FP16 overflows."""
    folder, _ = made
    monkeypatch.setattr(engine, "cast_body", lambda module, _: next(module.parameters()).data.fill_(torch.nan))
    with pytest.raises(EngineError, match=r"answers NaN in fp32: .* --precision bf16"):
        load(folder, config(folder), 0, pytest.fail)


@pytest.fixture
def program(made):
    module = torch.export.load(made[0] / "model.pt2").module(check_guards=False)
    cast_body(module, torch.float32)
    torch.compiler.reset()
    return module


def fail_to_compile(*_):
    raise RuntimeError("no compiler here")


def test_what_cannot_be_compiled_runs_eagerly_with_a_warning(made, program, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fail_to_compile))
    warnings = []
    images = torch.from_numpy(random_canvases(LARGEST))
    run = compiled(program, images, warnings.append)
    assert run is program
    [warning] = warnings
    assert "not compiled" in warning
    assert "no compiler here" in warning
    np.testing.assert_allclose(run(images).detach(), expected(made[1], images.numpy()), atol=1e-5)


def test_what_cannot_be_captured_runs_without_graphs_and_with_a_warning(made, program, monkeypatch):
    """There is no GPU to capture on, and nothing is compiled."""
    monkeypatch.setattr("build_engines.repository.runtimes.torch.engine.compiled", lambda module, *_: module)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    warnings = []
    images = torch.from_numpy(random_canvases(LARGEST))
    if torch.cuda.is_available():
        pytest.skip("here graphs can be captured")
    engine = on_gpu(program, images, cuda_graph_batches(LARGEST), warnings.append)
    [warning] = warnings
    assert "no CUDA graphs" in warning
    given = random_canvases(3, seed=3)
    np.testing.assert_allclose(engine([given]), expected(made[1], given), atol=1e-5)


@pytest.mark.parametrize("made", ["vit"], indirect=True)
def test_a_compiled_program_answers_batches_of_any_size(program, made):
    images = torch.from_numpy(random_canvases(LARGEST))
    run = compiled(program, images, pytest.fail)
    assert run is not program
    with torch.no_grad():
        for count in (1, 3, LARGEST):
            answers = run(images[:count]).numpy()
            np.testing.assert_allclose(answers, expected(made[1], images[:count].numpy()), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("fp16", 1e-2), ("bf16", 5e-2)])
def test_on_a_gpu_every_batch_size_runs_on_a_graph_and_agrees(made, precision, tolerance):
    folder, module = made
    engine = load(folder, config(folder, precision), 0, pytest.fail)
    assert list(engine.sizes) == cuda_graph_batches(LARGEST)
    for count in (*range(1, LARGEST + 1), 3, 1):
        images = random_canvases(count, seed=count)
        answers = engine([images[:1], images[1:]])
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, expected(module, images), atol=tolerance)


@pytest.mark.gpu
def test_on_a_gpu_eager_graphs_agree_where_nothing_is_compiled(made, monkeypatch):
    folder, module = made
    warnings = []
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fail_to_compile))
    engine = load(folder, config(folder), 0, warnings.append)
    assert "not compiled" in warnings[0]
    assert list(engine.sizes) == cuda_graph_batches(LARGEST)
    images = random_canvases(3)
    assert images.shape[1:] == (CANVAS, CANVAS, 3)
    np.testing.assert_allclose(engine([images]), expected(module, images), atol=1e-2)
