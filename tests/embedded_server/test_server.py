from __future__ import annotations

import dataclasses
import json
import signal
import socket
import subprocess
import sys

import numpy
import pytest
from tritonclient.grpc import InferenceServerClient

from build_engines.repository.encoded import write_encoded
from embedded_server import EmbeddedServer, EmbeddedServerError, preflight, server
from embedded_server.preflight import backbones, check_cascade, check_machine
from tests.support.serving import serve_as


def change_cascade(repository, **changes):
    path = repository / "cascade" / "cascade.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_this_machine_will_do():
    check_machine()


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (lambda: preflight._check_python("3.7"), "no Python backend for Python 3.7"),
        (lambda: preflight._check_glibc("glibc", "2.31"), "needs glibc 2.35"),
        (lambda: preflight._check_glibc("", ""), "needs glibc 2.35"),
        (lambda: preflight._check_numpy("2.1.0"), "numpy 2.1.0 makes .* install 'numpy<2'"),
        (lambda: preflight._check_numpy(""), "see no numpy; install 'numpy<2' into"),
    ],
)
def test_a_machine_that_will_not_do_is_told_why(check, says):
    with pytest.raises(EmbeddedServerError, match=says):
        check()


def test_what_only_pythonpath_names_does_not_count(monkeypatch, tmp_path):
    (tmp_path / "numpy-1.0.dist-info").mkdir()
    (tmp_path / "numpy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert preflight._numpy_of_models() == numpy.__version__


def test_an_interpreter_without_its_shared_library_is_told_which_package_helps(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(preflight.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    with pytest.raises(EmbeddedServerError, match="on Debian and Ubuntu install libpython3"):
        check_machine()


def test_a_hosts_name_is_resolved_for_triton_does_not():
    assert preflight.address_of("localhost") == "127.0.0.1"
    assert preflight.address_of("0.0.0.0") == "0.0.0.0"
    with pytest.raises(EmbeddedServerError, match=r"'no\.such\.invalid' has no IPv4 address"):
        preflight.address_of("no.such.invalid")


def test_a_taken_port_is_named(tiny_repository):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(EmbeddedServerError, match=f"{port} for grpc"),
            EmbeddedServer(tiny_repository, grpc_port=port),
        ):
            pass


def test_a_port_chosen_free_is_given_to_nobody_else_until_the_server_has_it(tmp_path):
    addresses = EmbeddedServer(tmp_path).addresses
    for host, port in (address.split(":") for address in (addresses.http, addresses.grpc, addresses.metrics)):
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind((host, int(port)))
        preflight.check_ports(host, {"http": int(port)})


@pytest.mark.parametrize("port", [99999, -1])
def test_what_is_no_port_is_refused(tiny_repository, port):
    with pytest.raises(EmbeddedServerError, match=rf"invalid grpc port {port}: .*0 to 65535.*--grpc-port"):
        EmbeddedServer(tiny_repository, grpc_port=port).__enter__()


@pytest.mark.parametrize("service", ["grpc", "http"])
def test_a_server_that_ends_at_start_is_not_waited_for(tiny_repository, monkeypatch, service):
    """As here, where a port is taken between the check and the start."""
    monkeypatch.setattr(server, "check_ports", lambda *_: None)
    with (
        socket.socket() as taken,
        pytest.raises(
            EmbeddedServerError, match=r"(?s)ended before it was ready.*Address already in use|failed to start"
        ),
    ):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {f"{service}_port": taken.getsockname()[1]}
        EmbeddedServer(tiny_repository, **port, start_timeout_s=600).__enter__()


def test_a_stage_without_an_entry_is_named(repository_copy):
    stages = [{"model": "ghost", "threshold": 0.5}, {"model": "large"}]
    change_cascade(repository_copy, stages=stages, operating_points={})
    with pytest.raises(EmbeddedServerError, match="'ghost'"):
        check_cascade(repository_copy)


def test_an_entry_that_is_no_text_is_named(repository_copy):
    (repository_copy / "large" / "config.pbtxt").write_bytes(b"\xff")
    with pytest.raises(EmbeddedServerError, match="no readable entry"):
        check_cascade(repository_copy)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"canvas": 64}, "canvas of 64"),
        ({"labels": ["one"]}, "1 labels"),
        ({"stages": [{"model": "large", "max_batch_size": 64}], "operating_points": {}}, "batches of at most 8"),
        ({"stages": []}, "1 to 4 stages"),
    ],
)
def test_a_cascade_that_does_not_fit_the_repository_is_refused(repository_copy, changes, says):
    change_cascade(repository_copy, **changes)
    with pytest.raises(EmbeddedServerError, match=says):
        check_cascade(repository_copy)


def test_a_repository_without_a_cascade_says_how_to_choose_one(repository_copy):
    (repository_copy / "cascade" / "cascade.json").unlink()
    with pytest.raises(EmbeddedServerError, match="build-cascade search"), EmbeddedServer(repository_copy):
        pass
    assert backbones(repository_copy) == ["large", "medium", "small"]


def test_a_model_that_cannot_be_loaded_is_reported_with_tritons_reason(repository_copy):
    (repository_copy / "small" / "1" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EmbeddedServerError, match="small"), EmbeddedServer(repository_copy, models=["small"]):
        pass


def test_encoded_images_on_another_canvas_are_refused(repository_copy):
    write_encoded(48, repository_copy)
    with (
        pytest.raises(EmbeddedServerError, match=r"\[48, 48, 3\].*has a canvas of 32"),
        EmbeddedServer(repository_copy),
    ):
        pass
    (repository_copy / "decode" / "config.pbtxt").write_bytes(b"\xff")
    with pytest.raises(EmbeddedServerError, match=r"no readable config\.pbtxt"), EmbeddedServer(repository_copy):
        pass


def test_a_reason_that_triton_does_not_give_is_looked_for_in_its_log(repository_copy):
    config = repository_copy / "cascade_encoded" / "config.pbtxt"
    config.write_text(config.read_text().replace("TYPE_INT32", "TYPE_INT64"))
    with (
        pytest.raises(EmbeddedServerError, match=r"cascade_encoded: E.*inconsistent data type.*doctor"),
        EmbeddedServer(repository_copy),
    ):
        pass


def test_models_that_load_slowly_are_waited_for_as_long_as_one_says(repository_copy):
    model = repository_copy / "small" / "1" / "model.py"
    loading = '        """Load model.onnx."""\n'
    assert loading in model.read_text()
    model.write_text(model.read_text().replace(loading, f"{loading}        __import__('time').sleep(4)\n"))
    with (
        pytest.raises(EmbeddedServerError, match=r"did not start in 1 s.*--start-timeout-s"),
        EmbeddedServer(repository_copy, models=["small"], start_timeout_s=1),
    ):
        pass
    with EmbeddedServer(repository_copy, models=["small"]) as server:
        assert server.is_alive()


@pytest.mark.server
def test_serve_loads_the_cascade_again_at_a_signal(repository_copy, tiny_cascade, tmp_path):
    options = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--log-file", str(tmp_path / "log")]
    command = [sys.executable, "-m", "embedded_server.cli", "--repository", str(repository_copy), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            address = [serving.stdout.readline() for _ in range(5)][1].split()[-1]
            assert stages_at(address) == 3
            last = dataclasses.replace(tiny_cascade.stages[1], threshold=None)
            shorter = dataclasses.replace(tiny_cascade, stages=(tiny_cascade.stages[0], last), operating_points={})
            serve_as(repository_copy, shorter)
            serving.send_signal(signal.SIGHUP)
            assert "reloaded" in serving.stdout.readline()
            assert stages_at(address) == 2
            (repository_copy / "cascade" / "cascade.json").write_text("no cascade")
            serving.send_signal(signal.SIGHUP)
            assert "the previous cascade is still served" in serving.stderr.readline()
            assert stages_at(address) == 2
        finally:
            serving.terminate()


def stages_at(address):
    with InferenceServerClient(address) as client:
        outputs = client.get_model_metadata("cascade").outputs
    return next(output.shape[1] for output in outputs if output.name == "stage_confidence")


@pytest.mark.server
def test_serve_announces_its_addresses_and_stops_cleanly_on_ctrl_c(tiny_repository, tmp_path):
    options = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--log-file", str(tmp_path / "log")]
    command = [sys.executable, "-m", "embedded_server.cli", "--repository", str(tiny_repository), *options]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = [serving.stdout.readline() for _ in range(5)]
    serving.send_signal(2)
    rest, _ = serving.communicate(timeout=60)
    announced = "".join(lines)
    assert all(word in announced for word in ("serving", "gRPC", "HTTP", "metrics", "log"))
    assert "stopping" in rest
    assert serving.returncode == 0
