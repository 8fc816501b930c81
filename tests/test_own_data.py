"""One's own recordings and photographs: a table, and every fault of it named by line."""

import os

import pytest

from v2mlib.checks import InputError
from v2mlib.datasets import find_sources, splits
from v2mlib.datasets.own_data import read_table

OWN = (
    "identity,sex,audio,photo\nanna,f,a/1.wav,a/1.jpg\nanna,f,a/2.wav,a/1.jpg\nben,,b.flac,b.png\n"
)


@pytest.fixture
def own(tmp_path):
    for name in ("a/1.wav", "a/2.wav", "a/1.jpg", "b.flac", "b.png", "b.m4a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def write(text):
        (tmp_path / "own.csv").write_text(text, encoding="utf-8", newline="")
        return tmp_path / "own.csv"

    return write


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_own_data(own, separator, monkeypatch):
    path = own("\ufeff" + OWN.replace(",", separator).replace("\n", "\r\n"))
    monkeypatch.chdir(path.parent / "a")  # paths start at the table, wherever one stands
    found = find_sources(table=os.path.relpath(path))
    assert found.identities.to_numpy().tolist() == [
        ["anna", None, "f", None],
        ["ben", None, None, None],
    ]
    assert found.utterances[["identity", "video", "clip"]].to_numpy().tolist() == [
        ["anna", "a/1", "1"], ["anna", "a/2", "2"], ["ben", "b", "b"],
    ]  # fmt: skip
    assert found.photos["path"].tolist() == [
        str(path.parent / "a/1.jpg"), str(path.parent / "b.png"),
    ]  # fmt: skip
    assert splits.random(found.identities).index.tolist() == ["anna", "ben"]


def test_own_data_beside_voxceleb(own):
    path = own(OWN + "id10002,m,,a/3.jpg\n")
    for name in ("a/3.jpg", "wav/id10001/aaaaaaaaaaa/00001.wav", "faces/Ann_Lee/1.jpg"):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).touch()
    meta = path.parent / "vox1_meta.csv"
    meta.write_text("id,name,sex\nid10001,Ann_Lee,f\nid10002,Bo,m\n", "utf-8")
    found = find_sources(path.parent, path.parent, path)
    assert found.identities["identity"].tolist() == ["anna", "ben", "id10001"]
    assert "id10002 (Bo) has no recordings" in set(found.rejected["reason"])
    own(OWN.replace("anna,f", "id10001,m"))
    with pytest.raises(InputError, match=r"disagree about id10001: sex f and m"):
        find_sources(path.parent, path.parent, path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "a/2.wav",
            "a/9.wav",
            r"line 3 names audio 'a/9.wav', which does not exist: paths start at",
        ),
        ("b.png", "c.png", r"line 4 names photo 'c.png', which does not exist"),
        ("ben,,", "ben,x,", r"line 4 gives the sex 'x': write m or f, or leave it empty"),
        ("anna,f,a/2", "anna,m,a/2", r"line 3 gives anna the sex m, line 2 says f"),
        ("a/2.wav", "a/1.wav", r"line 3 adds nothing to line 2, which names the same"),
        ("b.flac", "a/2.wav", r"line 4 gives ben the audio a/2.wav, line 3 gives anna"),
        ("b.flac,b.png", ",", r"line 4 names no file: fill in audio or photo"),
        ("ben,", ",", r"line 4 has no identity"),
        ("ben,,b.flac,b.png", "ben,,b.flac", r"line 4 has 3 values where the header has 4"),
        ("sex,", "fotos,", r"line 1 lacks the column sex"),
        ("photo\n", "fotos\n", r"line 1 has a column 'fotos': known are identity, sex, audio"),
        (OWN[24:], "", r"line 1 is followed by no line"),
    ],
)
def test_faults_of_own_data_are_named_by_line(own, old, new, message):
    assert OWN.count(old) == 1
    with pytest.raises(InputError, match=r"own\.csv, " + message):
        read_table(own(OWN.replace(old, new)))


def test_a_quotation_mark_that_is_never_closed(own):
    path = own(OWN + 'ben,m,"b.flac,b.png\n' + "x" * 200_000)
    with pytest.raises(InputError, match=r"is not a sound table .*: a quotation mark may be"):
        read_table(path)


def test_own_recordings_that_cannot_be_decoded_are_rejected(own):
    found = read_table(own(OWN + "ben,,b.m4a,\n"))
    assert dict(found.rejected[["kind", "reason"]].to_numpy()) == {
        "utterance": "m4a cannot be decoded here; convert it: ffmpeg -i b.m4a -ac 1 -ar 16000 b.wav"
    }
    assert len(found.utterances) == 3


def test_sessions_of_own_recordings(own):
    text = OWN.replace("photo\n", "photo,session\n").replace(".jpg\n", ".jpg,monday\n")
    found = read_table(own(text.replace("b.png\n", "b.png,\n")))
    assert found.utterances["video"].tolist() == ["monday", "monday", "b"]
