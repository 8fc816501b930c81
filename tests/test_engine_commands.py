"""`v2m train supervised`: its sizes, and the report at the end of a run."""

import argparse
import json

import pytest
from test_fitting_supervised import install

from v2mlib.cli import main
from v2mlib.commands import train
from v2mlib.fitting.supervised import SIZES, SupervisedConfig


@pytest.fixture
def made(monkeypatch):
    world = install(monkeypatch)
    monkeypatch.setattr("v2mlib.datasets.load_data", lambda path: world)
    return world


def parsed(*words):
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    return parser.parse_args(["train", "supervised", "--data", "d", "--out", "o", *words])


def test_a_run_ends_with_what_it_cost(made, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--size", "tiny", "--steps", "4", "--precision", "32-true", "--device", "cpu"]
    assert main(["train", "supervised", "--data", "d", "--out", str(out), *words, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["steps"] == 4
    assert "cpu, 1 process(es), 32-true:" in shown.err
    assert "whole schedule of 4 steps" in shown.err
    speed = json.loads((out / "speed.json").read_text("utf-8"))
    assert speed["samples_per_s"] == pytest.approx(16 * speed["steps_per_s"])
    assert speed["operations_per_step"] > 0


def test_the_papers_size_is_the_papers_schedule():
    config = train._config(parsed("--size", "paper", "--variant", "pretrained"))
    for part in (config, config.pretraining):
        assert (part.engine.n_steps, part.batch_size) == (50_000, 128)
        assert part.crop.frames == (300, 800)
        assert part.learning_rate == 2e-4
    assert config.engine.profile
    assert config.variant == "pretrained"


def test_the_default_size_is_the_librarys_default():
    assert SIZES["tutorial"] == SupervisedConfig()
