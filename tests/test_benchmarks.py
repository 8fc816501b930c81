"""The benchmarks' rows can be run: each asks for what the library has now."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import bench_building


def test_crops_are_drawn_as_the_peer_draws_them(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_building, "UTTERANCES", 60)
    monkeypatch.setattr(bench_building, "BATCH", 4)
    row = bench_building._crops(tmp_path)
    ours, peer = row.ours().log_mel, row.peer()
    assert len(ours) == len(peer) == row.unit_count == 4
    assert ours.dtype == peer.dtype
    assert 300 <= ours.shape[1] <= 800
    assert ours.shape[2] == peer.shape[2] == 64
