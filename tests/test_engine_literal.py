"""Our steps have the losses and gradients of the published loops, ported literally."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import bench_training as bench


@pytest.mark.parametrize("kind", bench.KINDS)
def test_gradients_are_those_of_the_literal_loop(kind, tmp_path):
    bench.require_equal(kind, tmp_path, bench.NARROW)


def test_another_loss_would_be_seen(tmp_path, monkeypatch):
    right = bench.literal.generator_losses

    def wrong(critic, fakes, identity):
        return {name: 1.0001 * loss for name, loss in right(critic, fakes, identity).items()}

    monkeypatch.setattr(bench.literal, "generator_losses", wrong)
    with pytest.raises(AssertionError, match="adversarial: losses differ"):
        bench.require_equal("adversarial", tmp_path, bench.NARROW)
