"""The parts of `cascade bench`, each by itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from build_engines.images.opening import open_images
from cascade_client.bench import perf_analyzer
from cascade_client.bench.images import exit_mix, open_labelled, read_canvases, rows_at_mix
from cascade_client.bench.perf_analyzer import Level, Measured, PerfAnalyzer, write_data
from cascade_client.bench.result import Line, percentile, with_speed_up
from cascade_client.errors import BenchError
from cascade_client.image_files import EXTENSIONS
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


def class_folders(root, *names, images=1):
    for name in names:
        (root / name).mkdir()
        for place in range(images):
            Image.new("RGB", (2, 2)).save(root / name / f"{place}.png")
    return root


@pytest.mark.parametrize(
    ("labels", "folders", "expected"),
    [
        (("tench", "shark", "ray"), ("n01", "n02", "n03"), [0, 1, 2]),  # in order
        (("cat", "ant", "bee"), ("ant", "bee", "cat"), [0, 1, 2]),
        (("Cat", "ANT", "bee"), ("ant", "cat"), [0, 1]),  # but for case; and no image of a bee
        (("cat", "Cat"), ("Cat", "cat"), [0, 1]),  # two that differ in case alone
        (tuple(map(str, range(1000))), ("n15075141", "n01440764"), [0, 999]),  # by WordNet id
    ],
)
def test_class_folders_are_matched_and_classes_may_be_absent(tmp_path, labels, folders, expected):
    opened = open_labelled(class_folders(tmp_path, *folders), labels, 10)
    assert opened.class_ids.tolist() == expected
    if "n01" not in folders and len(labels) < 1000:
        assert [path.parent.name.casefold() for path in opened.paths] == [labels[row].casefold() for row in expected]


def test_class_folders_that_cannot_be_matched_are_refused(tmp_path):
    class_folders(tmp_path, "ant", "wolf")
    with pytest.raises(BenchError, match=r"1 of 2 class folders have the name of none .* labels: wolf; .* such as ant"):
        open_labelled(tmp_path, ("ant", "bee", "cat"), 4)
    with pytest.raises(BenchError, match="2 of 2 class folders"):
        open_labelled(tmp_path, ("bee", "cat", "dog"), 4)


def test_folders_matched_by_order_and_what_is_left_out_are_notes(tmp_path):
    class_folders(tmp_path, "n01", "n02", ".cache", "__MACOSX")
    for name in ("n01/._0.jpg", "n01/readme.txt", "n02/1.mp4"):
        (tmp_path / name).write_bytes(b"")
    Image.new("RGB", (2, 2)).save(tmp_path / "loose.gif")
    opened = open_labelled(tmp_path, ("tench", "shark"), 10)
    assert [path.relative_to(tmp_path).as_posix() for path in opened.paths] == ["n01/0.png", "n02/0.png"]
    assert opened.notes == (
        f"{tmp_path}: left out what is no image: 1 .txt, 1 .mp4",
        f"{tmp_path}: no class folder has the name of a label, so the folders in sorted order are matched with the "
        "labels in theirs: n01 is tench, …, n02 is shark; if that is wrong, rename the folders",
        f"{tmp_path}: 1 of 3 images have no label",
    )


def test_bench_and_choice_take_the_same_files_for_images(tmp_path):
    (tmp_path / "ant").mkdir()
    for place, suffix in enumerate(sorted(EXTENSIONS)):
        (tmp_path / "ant" / f"{place}{suffix.upper()}").write_bytes(b"")
    (tmp_path / "ant" / "deeper").mkdir()
    (tmp_path / "ant" / "deeper" / "a.jpg").write_bytes(b"")
    found = {path.relative_to(tmp_path).as_posix() for path in open_labelled(tmp_path, ("ant",), 99).paths}
    assert found == set(open_images(tmp_path, ["ant"]).image_ids)


def test_files_that_cannot_be_read_are_named_skipped_and_counted(tmp_path):
    class_folders(tmp_path, "ant", "bee", images=2)
    (tmp_path / "ant" / "1.png").write_bytes(b"no image")
    labelled = open_labelled(tmp_path, ("ant", "bee"), 9)
    read, canvases = read_canvases(labelled, 4, lambda *_: None)
    assert (len(read.paths), read.class_ids.tolist(), canvases.shape) == (3, [0, 1, 1], (3, 4, 4, 3))
    assert read.notes[-1].startswith(f"left out 1 of 4 images: cannot read {tmp_path / 'ant' / '1.png'}")
    broken = replace(labelled, paths=labelled.paths[1:2], class_ids=labelled.class_ids[1:2])
    with pytest.raises(BenchError, match=r"none of the 1 images can be read: cannot read .*1\.png"):
        read_canvases(broken, 4, lambda *_: None)


def test_a_folder_of_images_is_spread_over_the_classes(tmp_path):
    class_folders(tmp_path, "a", "b", images=10)
    assert open_labelled(tmp_path, "ab", 4).class_ids.tolist() == [0, 0, 1, 1]
    (tmp_path / "c").mkdir()
    assert open_labelled(tmp_path, "abc", 4).class_ids.tolist() == [0, 0, 1, 1]
    with pytest.raises(BenchError, match="is not a folder"):
        open_labelled(tmp_path / "nowhere", "ab", 4)
    with pytest.raises(BenchError, match="have no images"):
        open_labelled(tmp_path / "c", "ab", 4)


def line(model, top1, images_per_s):
    return Line(model, top1, Level(1, 1), Measured(images_per_s, 1, 1, 1, 1))


def test_the_speed_up_is_over_the_fastest_model_that_is_as_accurate():
    singles = [line("poor", 0.7, 900), line("good", 0.9, 100), line("slow", 0.95, 50)]
    for top1, against, speed_up in ((0.9, "good", 3), (0.91, "slow", 6), (0.97, "slow", 6)):
        compared = with_speed_up(line("cascade", top1, 300), singles)
        assert (compared.faster_than, compared.speed_up) == (against, speed_up)
    assert with_speed_up(line("cascade", 0.9, 1), []).speed_up is None


def test_speeds_are_compared_with_networks_served_the_same_way_only():
    cascade = replace(line("cascade", 0.9, 300), served="in process")
    others = [
        replace(line("good", 0.9, 100), served="by Triton"),
        replace(line("alone", 0.9, 200), served="in process"),
    ]
    assert with_speed_up(cascade, others).faster_than == "alone"
    assert with_speed_up(cascade, others[:1]).speed_up is None


def test_percentiles():
    assert percentile(list(range(100, 0, -1)), 99) == 100
    assert percentile([3.0], 99) == 3
