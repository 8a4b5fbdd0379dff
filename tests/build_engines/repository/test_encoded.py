"""Encoded images through the real server: the client's own canvas, the request's parameters, and a bad image alone."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from build_engines.doctor.environment import Environment
from build_engines.doctor.examine import examine
from build_engines.repository.encoded import MAX_PIXELS, ensemble_config, remove_encoded, write_encoded
from cascade_client import CascadeClient, InvalidImage, InvalidRequest, ModelNotFound
from cascade_core.spec import Cascade, Stage
from embedded_server import EmbeddedServer
from embedded_server.preflight import backbones
from tests.support.helpers import CANVAS, LABELS, random_canvases


def picture(seed=1, size=96):
    return Image.fromarray(random_canvases(1, seed=seed, size=size)[0])


def encode(image, format_="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def transparent_palette():
    image = picture().quantize(16)
    return encode(image, transparency=3)


def sixteen_bits():
    return encode(Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16))


def animated(format_):
    return encode(picture(1), format_, save_all=True, append_images=[picture(2)])


GOOD = {
    "jpeg": lambda: encode(picture(), "JPEG"),
    "progressive jpeg": lambda: encode(picture(), "JPEG", progressive=True),
    "grey jpeg": lambda: encode(picture().convert("L"), "JPEG"),
    "CMYK jpeg": lambda: encode(picture().convert("CMYK"), "JPEG"),
    "EXIF-rotated jpeg": turned,
    "png": lambda: encode(picture()),
    "palette png with transparency": transparent_palette,
    "16-bit png": sixteen_bits,
    "webp": lambda: encode(picture(), "WEBP"),
    "animated webp: its first frame": lambda: animated("WEBP"),
    "one pixel": lambda: encode(Image.new("RGB", (1, 1), "red")),
}
BAD = {
    "no image": (lambda: b"no image", "expected JPEG, PNG, WEBP"),
    "no byte": (lambda: b"", "expected JPEG, PNG, WEBP"),
    "truncated jpeg": (lambda: encode(picture(), "JPEG")[:-200], "truncated"),
    "truncated png": (lambda: encode(picture())[:-100], "cannot read"),
    "gif": (lambda: animated("GIF"), "expected JPEG, PNG, WEBP"),
    "tiff": (lambda: encode(picture(), "TIFF"), "expected JPEG, PNG, WEBP"),
    "50 megapixels": (lambda: encode(Image.new("1", (10_000, 5_000))), "exceeds limit of 40000000"),
}


@pytest.fixture
def client(server):
    with CascadeClient(server.addresses.grpc) as connected:
        yield connected


def same(some, others):
    fields = ("class_id", "label", "confidence", "exit_stage", "stage_confidence")
    return [[getattr(a, f) for f in fields] for a in some] == [[getattr(a, f) for f in fields] for a in others]


def test_what_the_server_decodes_is_the_clients_own_canvas(client):
    images = [make() for make in GOOD.values()]
    decoded = client.classify(images, details=True)
    for name, image, answer in zip(GOOD, images, decoded, strict=True):
        assert same(client.classify([image], details=True, encoded=True), [answer]), name
    assert same(client.classify(images, details=True, encoded=True), decoded)


def test_decode_answers_the_canvas_itself(server):
    from build_engines.images.canvas import to_canvas

    ask = triton.InferenceServerClient(server.addresses.grpc)
    images = [make() for make in GOOD.values()]
    tensor = triton.InferInput("encoded", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(images, dtype=object)[:, None])
    canvases = ask.infer("decode", [tensor]).as_numpy("image")
    for name, image, canvas in zip(GOOD, images, canvases, strict=True):
        np.testing.assert_array_equal(canvas, to_canvas(image, CANVAS), err_msg=name)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_a_typed_error_that_says_which_and_why(client, name):
    make, says = BAD[name]
    with pytest.raises(InvalidImage, match=f"image 20: .*{says}"):
        client.classify([encode(picture())] * 20 + [make()], encoded=True)  # a request holds 16


def test_bad_requests_among_good_ones_fail_alone(server):
    good, wanted = [encode(picture(seed), "JPEG") for seed in range(64)], {}
    bad = [BAD[name][0]() for name in ("no image", "no byte", "truncated jpeg", "50 megapixels")]

    def ask(image):
        with CascadeClient(server.addresses.grpc) as own:
            try:
                return own.classify([image], encoded=True)[0]
            except InvalidImage as error:
                return error

    wanted = [ask(image) for image in good]
    mixed = [image for place, one in enumerate(good) for image in (one, bad[place % len(bad)])]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, mixed))
    assert answers[::2] == wanted
    assert all(isinstance(answer, InvalidImage) for answer in answers[1::2])


def test_parameters_reach_the_cascade_through_the_ensemble(client):
    images = [encode(picture(seed)) for seed in range(40)]
    stages = {
        point: [a.exit_stage for a in client.classify(images, operating_point=point, encoded=True)]
        for point in ("fast", "accurate")
    }
    assert sum(stages["fast"]) < sum(stages["accurate"])
    assert stages == {
        point: [a.exit_stage for a in client.classify(images, operating_point=point)] for point in ("fast", "accurate")
    }
    assert {a.exit_stage for a in client.classify(images, max_stage=1, encoded=True)} == {1}
    with pytest.raises(InvalidRequest, match="fast, accurate"):
        client.classify(images, operating_point="turbo", encoded=True)


@pytest.mark.parametrize("max_stage", [1.5, "1", False, 0])
def test_a_bad_parameter_among_ten_thousand_is_refused_through_the_ensemble(server, max_stage):
    asked = triton.InferenceServerClient(server.addresses.grpc)
    tensor = triton.InferInput("encoded", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[encode(picture())]], dtype=object))
    many = {f"parameter_{place}": place for place in range(10_000)}
    assert asked.infer("cascade_encoded", [tensor], parameters=many | {"max_stage": 1}).as_numpy("exit_stage") == 1
    with pytest.raises(InferenceServerException, match="max_stage must be a positive integer") as caught:
        asked.infer("cascade_encoded", [tensor], parameters=many | {"max_stage": max_stage})
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_an_image_given_decoded_is_no_encoded_image(client):
    for image in (picture(), random_canvases(1)[0]):
        with pytest.raises(InvalidImage, match="image 1: encoded images are paths or bytes"):
            client.classify([encode(picture()), image], encoded=True)
    with pytest.raises(InvalidImage, match="image 0: cannot read nowhere"):
        client.classify(["nowhere.png"], encoded=True)


def test_an_empty_or_too_large_request_is_refused_by_the_server(server):
    ask = triton.InferenceServerClient(server.addresses.grpc)
    for count in (0, 17):
        tensor = triton.InferInput("encoded", [count, 1], "BYTES")
        tensor.set_data_from_numpy(np.full((count, 1), encode(picture()), dtype=object))
        with pytest.raises(InferenceServerException) as caught:
            ask.infer("cascade_encoded", [tensor])
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(("stages", "max_batch_size"), [(1, 3), (2, 40)])
def test_the_ensemble_fits_every_cascade(repository_copy, stages, max_batch_size):
    names = ("small", "medium")[:stages]
    last = Stage(names[-1], max_batch_size=8)
    cascade = Cascade(
        "other",
        CANVAS,
        LABELS,
        (*(Stage(name, threshold=0.5, max_batch_size=8) for name in names[:-1]), last),
        max_batch_size=max_batch_size,
    )
    (repository_copy / "cascade" / "cascade.json").write_text(cascade.to_json())
    images = [encode(picture(seed)) for seed in range(max_batch_size + 2)]
    with EmbeddedServer(repository_copy) as server, CascadeClient(server.addresses.grpc) as client:
        assert client.status.stages == stages
        assert same(client.classify(images, details=True, encoded=True), client.classify(images, details=True))


def test_the_size_limit_is_a_setting(repository_copy):
    assert [entry.is_new for entry in write_encoded(CANVAS, repository_copy, MAX_PIXELS)] == [False, False]
    assert [entry.is_new for entry in write_encoded(CANVAS, repository_copy, 96 * 95)] == [True, False]
    with EmbeddedServer(repository_copy) as server, CascadeClient(server.addresses.grpc) as client:
        client.classify([encode(picture(size=92))], encoded=True)
        with pytest.raises(InvalidImage, match="exceeds limit of 9120"):
            client.classify([encode(picture(size=96))], encoded=True)


def test_a_server_without_the_ensemble_says_how_to_ask_it(repository_copy):
    remove_encoded(repository_copy)
    with EmbeddedServer(repository_copy) as server, CascadeClient(server.addresses.grpc) as client:
        client.classify([encode(picture())])
        with pytest.raises(ModelNotFound, match="omit `encoded`"):
            client.classify([encode(picture())], encoded=True)


def test_the_ensembles_outputs_are_the_cascades(server):
    config = triton.InferenceServerClient(server.addresses.grpc).get_model_config("cascade").config
    outputs = {output.name: output.data_type for output in config.output}
    assert outputs.pop("description")  # asked of the cascade itself
    assert {output.name: output.data_type for output in ensemble_config().output} == outputs


def test_what_stands_around_the_cascade_is_no_backbone(tiny_repository):
    assert backbones(tiny_repository) == ["large", "medium", "small"]


def test_the_doctor_finds_decode_on_another_canvas(repository_copy):
    def found():
        findings = examine(repository_copy, None, None, Environment(None, None), 10**9)
        return {finding.subject: finding.found for finding in findings if not finding.is_ok}

    assert found() == {}
    write_encoded(64, repository_copy)
    says = f"returns [64, 64, 3], the cascade's canvas is {CANVAS}: Triton cannot load cascade_encoded"
    assert found() == {"entry decode": says}
    (repository_copy / "decode/config.pbtxt").write_text("?")
    assert "cannot be read" in found()["entry decode"]
