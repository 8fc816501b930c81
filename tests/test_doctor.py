"""The doctor recognises a healthy installation and the torchaudio fault."""

import json

from v2mlib import doctor


def test_a_healthy_installation_has_no_fault(capsys):
    assert doctor.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert {"python", "torch", "torchaudio", "shipped files"} <= {
        finding["subject"] for finding in report["findings"]
    }


def test_torchaudio_imports_and_computes():
    import torch
    import torchaudio

    spectrogram = torchaudio.transforms.MelSpectrogram(sample_rate=16000, n_mels=64)
    assert spectrogram(torch.zeros(1600)).shape[0] == 64


def _sick_torchaudio(tmp_path, monkeypatch):
    libraries = [tmp_path / "_torchaudio.abi3.so", tmp_path / "libtorchaudio.abi3.so"]
    for library in libraries:
        library.write_bytes(b"linked to CUDA")
    monkeypatch.setattr(
        doctor, "_torchaudio_libraries", lambda: [p for p in libraries if p.exists()]
    )
    monkeypatch.setattr(
        doctor,
        "_python_says",
        lambda code: (
            not any(p.exists() for p in libraries),
            "OSError: Could not load this library",
        ),
    )
    return libraries


def test_the_torchaudio_fault_is_explained_and_nothing_removed_unasked(tmp_path, monkeypatch):
    libraries = _sick_torchaudio(tmp_path, monkeypatch)
    finding = doctor.check_torchaudio()
    assert finding.status == "fault"
    assert "do not fit this build of torch" in finding.detail
    assert "--repair" in finding.remedy
    assert all(p.exists() for p in libraries)


def test_the_torchaudio_fault_is_repaired(tmp_path, monkeypatch):
    libraries = _sick_torchaudio(tmp_path, monkeypatch)
    assert doctor.check_torchaudio(repair=True).status == "ok"
    assert not any(p.exists() for p in libraries)


def test_a_working_torchaudio_keeps_its_libraries(tmp_path, monkeypatch):
    library = tmp_path / "libtorchaudio.abi3.so"
    library.write_bytes(b"fits")
    monkeypatch.setattr(doctor, "_torchaudio_libraries", lambda: [library])
    monkeypatch.setattr(doctor, "_python_says", lambda code: (True, "2.11.0"))
    assert doctor.check_torchaudio(repair=True).status == "ok"
    assert library.exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_REQUIRED", ["numpy", "no_such_package_here"])
    finding = doctor._check_packages()
    assert finding.status == "fault"
    assert "no_such_package_here" in finding.detail


def test_a_cache_that_cannot_be_is_a_fault_with_a_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("V2M_CACHE", str(tmp_path / "file" / "cache"))
    finding = doctor._check_cache()
    assert finding.status == "fault"
    assert "V2M_CACHE" in finding.remedy
