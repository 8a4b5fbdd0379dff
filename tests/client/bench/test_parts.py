"""The parts of `cascade bench`, each by itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cascade_client.bench import perf_analyzer
from cascade_client.bench.images import Labelled, exit_mix, open_labelled, rows_at_mix
from cascade_client.bench.perf_analyzer import Level, Measured, PerfAnalyzer, write_data
from cascade_client.bench.result import Line, percentile, with_speed_up
from cascade_client.errors import BenchError
from tests.support.helpers import random_canvases

REPORT = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
4,1612.24,6,613,1610,40,2390,276,4,4481,7368,8034,10406
"""


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_report_of_perf_analyzer_is_read(tmp_path):
    path = tmp_path / "report.csv"
    path.write_text(REPORT)
    assert Measured.read(path) == Measured(1612.24, p50_ms=4.481, p90_ms=7.368, p95_ms=8.034, p99_ms=10.406)


@pytest.mark.parametrize(
    "text", ["", "Concurrency\n4\n", REPORT + REPORT.splitlines()[-1], REPORT.replace("4481", "-")]
)
def test_a_report_without_the_figures_is_refused(tmp_path, text):
    path = tmp_path / "report.csv"
    path.write_text(text)
    with pytest.raises(BenchError, match="cannot read the report"):
        Measured.read(path)


def test_a_missing_program_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="make perf-analyzer"):
        PerfAnalyzer.find(None)
    with pytest.raises(BenchError, match="elsewhere"):
        PerfAnalyzer.find(tmp_path / "elsewhere")


def test_a_program_that_cannot_start_says_why(tmp_path):
    broken = program(tmp_path / "perf_analyzer", "echo 'libb64.so.0d: cannot open' >&2; exit 127")
    with pytest.raises(BenchError, match="libb64"):
        PerfAnalyzer.find(broken)


def test_a_program_that_fails_is_quoted(tmp_path):
    failing = PerfAnalyzer(str(program(tmp_path / "perf_analyzer", "echo 'unknown model'; exit 99")), "2")
    with pytest.raises(BenchError, match="'cascade': unknown model"):
        failing.measure("127.0.0.1:1", "cascade", tmp_path / "data.json", Level(1, 1), 0.1)


def test_windows_that_are_too_short_are_doubled(tmp_path):
    report = tmp_path / "figures.csv"
    report.write_text(REPORT)
    tries = tmp_path / "tries"
    script = f"""echo "$@" >> {tries}
case "$*" in *"-p 400 "*) while [ "$1" != -f ]; do shift; done; cp {report} "$2";;
*) echo 'No valid requests recorded. Please use a larger time window.'; exit 99;; esac"""
    patient = PerfAnalyzer(str(program(tmp_path / "perf_analyzer", script)), "2")
    measured = patient.measure("127.0.0.1:1", "cascade", tmp_path / "data.json", Level(1, 1), 0.1)
    assert measured.p50_ms == 4.481
    assert len(tries.read_text().splitlines()) == 3


def test_a_program_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(perf_analyzer, "EXTRA_S", 0.1)
    hanging = PerfAnalyzer(str(program(tmp_path / "perf_analyzer", "exec sleep 60")), "2")
    with pytest.raises(BenchError, match="did not end in time"):
        hanging.measure("127.0.0.1:1", "cascade", tmp_path / "data.json", Level(1, 1), 0.1)


def test_the_data_holds_the_canvases(tmp_path):
    import base64

    canvases = random_canvases(3)
    write_data(canvases, tmp_path / "data.json")
    entries = json.loads((tmp_path / "data.json").read_text())["data"]
    assert [base64.b64decode(entry["image"]["b64"]) for entry in entries] == [canvas.tobytes() for canvas in canvases]


def test_images_keep_a_given_mix_and_are_repeated_where_there_are_few():
    exits = np.repeat([1, 2, 3], [90, 8, 2])
    assert exit_mix(exits[rows_at_mix(exits, (60, 25, 15), 200)], 3) == [0.6, 0.25, 0.15]
    assert exit_mix(exits[rows_at_mix(exits, (1, 0, 1), 10)], 3) == [0.5, 0, 0.5]
    natural = rows_at_mix(exits, None, 100)
    assert sorted(natural) == list(range(100))


def test_a_mix_without_an_image_for_a_stage_is_refused():
    with pytest.raises(BenchError, match="no image exits at stage 2"):
        rows_at_mix(np.array([1, 1, 3]), (1, 1, 1), 9)


@pytest.mark.parametrize(
    ("answered", "folders", "expected"),
    [
        ({0: "ant", 2: "cat"}, ("ant", "bee", "cat"), [0, 1, 2]),  # sorted like the labels
        ({0: "cat", 1: "ant"}, ("ant", "bee", "cat"), [1, 2, 0]),  # by name; the one left over is bee
        ({0: "Cat", 1: "ANT"}, ("ant", "bee", "cat"), [1, 2, 0]),  # the same, but for case
        ({0: "cat", 1: "Cat"}, ("Cat", "cat"), [1, 0]),  # two that differ in case alone
        ({0: "tench", 1: "shark"}, ("n01", "n02", "n03"), [0, 1, 2]),  # named by synset: in order
    ],
)
def test_class_folders_are_matched(answered, folders, expected):
    assert Labelled((), folders, folders).class_ids(answered).tolist() == expected


@pytest.mark.parametrize("answered", [{0: "cat"}, {0: "cat", 1: "wolf", 2: "ant"}])
def test_class_folders_that_cannot_be_matched_are_refused(answered):
    folders = ("ant", "bee", "cat")
    with pytest.raises(BenchError, match="cannot match the class folders"):
        Labelled((), folders, folders).class_ids(answered)


def test_a_folder_of_images_is_spread_over_the_classes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for place in range(10):
            Image.new("RGB", (2, 2)).save(tmp_path / name / f"{place}.png")
    assert open_labelled(tmp_path, 2, 4).folders == ("a", "a", "b", "b")
    with pytest.raises(BenchError, match="2 class folders but the cascade has 3"):
        open_labelled(tmp_path, 3, 4)
    with pytest.raises(BenchError, match="is not a folder"):
        open_labelled(tmp_path / "nowhere", 2, 4)
    (tmp_path / "c").mkdir()
    with pytest.raises(BenchError, match="c has no images"):
        open_labelled(tmp_path, 3, 4)


def line(model, top1, images_per_s):
    return Line(model, top1, Level(1, 1), Measured(images_per_s, 1, 1, 1, 1))


def test_the_speed_up_is_over_the_fastest_model_that_is_as_accurate():
    singles = [line("poor", 0.7, 900), line("good", 0.9, 100), line("slow", 0.95, 50)]
    for top1, against, speed_up in ((0.9, "good", 3), (0.91, "slow", 6), (0.97, "slow", 6)):
        compared = with_speed_up(line("cascade", top1, 300), singles)
        assert (compared.faster_than, compared.speed_up) == (against, speed_up)
    assert with_speed_up(line("cascade", 0.9, 1), []).speed_up is None


def test_percentiles():
    assert percentile(list(range(100, 0, -1)), 99) == 100
    assert percentile([3.0], 99) == 3
