"""Finding recordings and photographs in the folders people have, and saying why others are left."""

import os

import pandas as pd
import pytest

from v2mlib import phantom
from v2mlib.checks import InputError
from v2mlib.datasets import find_sources, load_world, splits
from v2mlib.datasets.vggface import find_photos, match_names
from v2mlib.datasets.voxceleb import find_recordings
from v2mlib.phantom.sizes import Size

HEADER = ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"]
PEOPLE = [
    ["id10001", "Ann_Lee", "f", "New Zealand", "dev"],
    ["id10002", "Bo_O'Hara", "m", "UK", "dev"],
    ["id10003", "Zoe_Ray", "f", "USA", "test"],
]


@pytest.fixture
def disk(tmp_path):
    """Make files with one call: `disk("wav/id10001/video/00001.wav", ...)`."""

    def make(*paths, content=""):
        for path in paths:
            file = tmp_path / "disk" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        return tmp_path / "disk"

    return make


@pytest.fixture
def corpus(disk):
    """Three people in the list: one complete, one without photographs, one without voice."""
    root = disk("vox1_meta.csv", content=table("\t"))
    disk(
        "wav/id10001/aaaaaaaaaaa/00001.wav",
        "wav/id10001/aaaaaaaaaaa/00002.wav",
        "wav/id10001/bbbbbbbbbbb/00001.wav",
        "wav/id10002/ccccccccccc/00001.wav",
        "faces/Ann_Lee/00000001.jpg",
        "faces/Ann_Lee/00000002.PNG",
        "faces/Zoe_Ray/00000001.jpg",
    )
    return root


def table(separator, rows=PEOPLE, header=HEADER, end="\n"):
    return "".join(separator.join(row) + end for row in [header, *rows])


def reasons(rejected, kind=None):
    rows = rejected if kind is None else rejected[rejected["kind"] == kind]
    return dict(zip(rows["path"].map(os.path.basename), rows["reason"], strict=True))


# Recordings


@pytest.mark.parametrize("given", ["", "wav", "..", "wav/id10001"])
def test_recordings_are_found_from_any_of_the_usual_folders(corpus, given):
    table, rejected = find_recordings(corpus / given)
    assert (
        table["clip"].tolist() == ["00001", "00002", "00001", "00001"][: 3 if "id" in given else 4]
    )
    assert table["video"].tolist()[:3] == ["aaaaaaaaaaa", "aaaaaaaaaaa", "bbbbbbbbbbb"]
    assert rejected.empty
    assert all(os.path.isabs(path) and os.path.isfile(path) for path in table["path"])


def test_dev_and_test_trees_are_one_corpus(disk):
    root = disk(
        "dev/wav/id10001/aaaaaaaaaaa/00001.wav",
        "test/wav/id10270/bbbbbbbbbbb/00001.wav",
        "dev/txt/id10001/aaaaaaaaaaa/00001.txt",  # of the same download, and not our matter
        "test/wav/id10001/aaaaaaaaaaa/00001.wav",
    )
    table, rejected = find_recordings(root)
    assert table["identity"].tolist() == ["id10001", "id10270"]
    assert table["path"].iloc[0].startswith(str(root / "dev"))
    assert reasons(rejected) == {"00001.wav": "the same clip is in another folder of the tree"}


def test_every_other_file_is_rejected_with_a_reason(disk):
    root = disk(
        "wav/id10001/aaaaaaaaaaa/00001.m4a",
        "wav/id10001/aaaaaaaaaaa/00002.m4a",
        "wav/id10001/aaaaaaaaaaa/00002.wav",
        "wav/id10001/aaaaaaaaaaa/00002.flac",
        "wav/id10001/aaaaaaaaaaa/00003.FLAC",
        "wav/id10001/aaaaaaaaaaa/notes.txt",
        "wav/id10001/aaaaaaaaaaa/deep/00009.wav",
        "wav/id10001/aaaaaaaaaaa/._00002.wav",
        "wav/id10001/00007.wav",
    )
    (root / "wav/id10002").mkdir()
    table, rejected = find_recordings(root)
    assert table["path"].map(os.path.basename).tolist() == ["00002.wav", "00003.FLAC"]
    told = reasons(rejected)
    assert told.pop("00001.m4a").endswith(
        "convert it: ffmpeg -i 00001.m4a -ac 1 -ar 16000 00001.wav"
    )
    assert told == {
        "00002.m4a": "the same clip as 00002.wav, which is used",
        "00002.flac": "the same clip as 00002.wav, which is used",
        "notes.txt": "is not a recording",
        "deep": "is a folder where a clip was expected",
        "00007.wav": "lies beside the folders of the videos; expected id10001/<video>/00007.wav",
        "id10002": "holds no recording",
    }


def test_a_tree_of_m4a_is_rejected_and_not_a_crash(corpus, disk):
    root = disk("aac/id10001/aaaaaaaaaaa/00001.m4a")
    table, rejected = find_recordings(root / "aac")
    assert table.empty
    assert "ffmpeg" in rejected["reason"].item()
    with pytest.raises(InputError, match=r"leave no person to work with.*ffmpeg"):
        find_sources(root / "aac")


def test_folders_of_something_else_are_refused(disk):
    tmp_path = disk("a.txt")
    with pytest.raises(InputError, match=r"expected wav/idNNNNN/<video>/<clip>\.wav"):
        find_recordings(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_recordings(tmp_path / "none")
    with pytest.raises(InputError, match=r"a\.txt is not a folder"):
        find_photos(tmp_path / "a.txt")
    with pytest.raises(InputError, match="lists of addresses: download"):
        find_photos(tmp_path)


# Photographs and names


@pytest.mark.parametrize(
    "folder",
    ["Bo_O'Hara", "bo o'hara", "BO_O’HARA", "Bo_O%27Hara", "Bo_Ohara", "Bó_O'Hára", "Bo-O'Hara."],
)
def test_spellings_of_a_name(folder):
    people = pd.DataFrame(PEOPLE, columns=["identity", "name", "sex", "nationality", "set"])
    matches = match_names(people, [folder])
    assert matches.identity == {folder: "id10002"}
    assert set(matches.unmatched_identities) == {"id10001", "id10003"}


def test_unmatched_names_come_with_a_reason_on_both_sides():
    people = pd.DataFrame(
        {"identity": ["id1", "id2", "id3", "id4"], "name": ["Ann_Lee", "Bo", "Cy Day", "Cy_Day"]}
    )
    matches = match_names(people, ["Ann_Lee", "ann lee", "Bob", "cy-day", "Dee"])
    assert matches.identity == {"Ann_Lee": "id1"}
    assert matches.unmatched_folders == {
        "ann lee": "the folder Ann_Lee is used for id1",
        "Bob": "no identity has this name (near: Bo)",
        "Dee": "no identity has this name",
        "cy-day": "id3, id4 are named so: it is not clear whose it is",
    }
    assert matches.unmatched_identities["id2"] == "no folder of photographs is named Bo (near: Bob)"


def test_other_files_among_photographs(disk):
    root = disk(
        "Ann_Lee/1.jpg",
        "Ann_Lee/1_b.jpg",
        "Ann_Lee/2_b.jpg",
        "Ann_Lee/3.heic",
        "Ann_Lee/notes.txt",
        "Ann_Lee/.DS_Store",
        "Ann_Lee/1.6/video/4.jpeg",
        "Bo/notes.txt",
    )
    table, rejected = find_photos(root)
    assert table["path"].str.removeprefix(str(root)).tolist() == [
        "/Ann_Lee/1.6/video/4.jpeg", "/Ann_Lee/1.jpg", "/Ann_Lee/2_b.jpg",
    ]  # fmt: skip
    assert reasons(rejected, "photo") == {
        "1_b.jpg": "has a mesh drawn over it",
        "3.heic": "heic is not read: convert it to jpg or png",
        "notes.txt": "is not a photograph",
    }
    assert reasons(rejected, "identity") == {"Bo": "holds no photograph"}


# All together


def test_pairs_are_kept_and_the_others_reported(corpus, disk):
    disk("faces/Unknown_One/1.jpg", "wav/id19999/ddddddddddd/00001.wav")
    found = find_sources(corpus, corpus)
    assert found.identities.to_numpy().tolist() == [["id10001", "Ann_Lee", "f", "dev"]]
    assert len(found.utterances) == 3
    assert len(found.photos) == 2
    assert reasons(found.rejected, "identity") == {
        "id10002": "id10002 (Bo_O'Hara) has no photographs: "
        "no folder of photographs is named Bo_O'Hara",
        "Zoe_Ray": "id10003 (Zoe_Ray) has no recordings",
        "Unknown_One": "no identity has this name",
        "id19999": "id19999 is not in the list of names",
    }
    everyone = find_sources(corpus, corpus, paired=False)
    assert everyone.identities["identity"].tolist() == ["id10001", "id10002", "id10003"]
    assert find_sources(voxceleb=corpus).identities["sex"].tolist() == ["f", "m"]
    assert find_sources(vggface=corpus).identities["sex"].tolist() == ["f", "f"]


def test_an_empty_folder_of_the_right_name_is_told_apart(corpus):
    (corpus / "faces/Bo_O'Hara").mkdir()
    told = reasons(find_sources(corpus, corpus).rejected, "identity")
    assert told["Bo_O'Hara"] == "holds no photograph"
    assert told["id10002"] == "id10002 (Bo_O'Hara) has no photographs"


def test_order_on_disk_does_not_matter(corpus, monkeypatch):
    forwards = find_sources(corpus, corpus)
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder):
            with scandir(folder) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return self.entries

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    for one, other in zip(forwards, find_sources(corpus, corpus), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_folders_that_do_not_belong_together(corpus, disk):
    disk("others/Unknown_One/1.jpg")
    with pytest.raises(InputError, match=r"leave no person to work with; the commonest reason: "):
        find_sources(corpus, corpus / "others")


def test_files_are_listed_and_not_looked_at(corpus, monkeypatch):
    def refuse(path, *_, **__):
        raise AssertionError(f"looked at {path}")

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, refuse)
    counts = [len(find(corpus, progress=False).table) for find in (find_recordings, find_photos)]
    monkeypatch.undo()
    assert counts == [4, 3]


def test_a_folder_that_may_not_be_read_is_rejected(corpus, monkeypatch):
    scandir = os.scandir

    def forbidding(folder):
        if os.path.basename(folder) in ("bbbbbbbbbbb", "Zoe_Ray"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", forbidding)
    found = find_sources(corpus, corpus)
    assert len(found.utterances) == 2
    told = found.rejected.set_index("path")["reason"]
    for folder in ("wav/id10001/bbbbbbbbbbb", "faces/Zoe_Ray"):
        assert "cannot be read (Permission denied)" in told.loc[[str(corpus / folder)]].tolist()


def test_a_link_to_itself_hides_nobody(corpus):
    (corpus / "wav" / "id10001" / "loop").symlink_to("loop")
    (corpus / "faces" / "Ann_Lee" / "loop").symlink_to("loop")
    found = find_sources(corpus, corpus, progress=False)
    assert "id10001" in set(found.identities["identity"])
    assert found.rejected["path"].str.endswith("loop").sum() == 2


def test_files_outside_the_folders_of_people_are_reported(corpus, disk):
    disk("wav/stray.wav", "wav/notes.txt", "faces/stray.JPG", "faces/Thumbs.db")
    rejected = find_sources(corpus, corpus, progress=False).rejected
    astray = rejected[rejected["reason"].str.contains("whose it is is not known")]
    assert [os.path.basename(path) for path in astray["path"]] == ["stray.JPG", "stray.wav"]
    assert list(astray["kind"]) == ["photo", "utterance"]


def test_folders_that_are_no_identity_are_reported(corpus, disk):
    disk("wav/somebody/video/00001.wav")
    rejected = find_sources(corpus, corpus, progress=False).rejected
    odd = rejected[rejected["reason"].str.contains("not named as an identity")]
    assert [os.path.basename(path) for path in odd["path"]] == ["somebody"]
    assert odd["kind"].tolist() == ["identity"]


def test_names_that_are_not_text(corpus, tmp_path):
    for folder, suffix in ((corpus / "faces/Ann_Lee", b"\xeb.jpg"), (corpus / "faces", b"Zo\xeb")):
        target = os.path.join(os.fsencode(folder), suffix)
        if suffix.endswith(b".jpg"):
            open(target, "w").close()
        else:
            os.mkdir(target)
    found = find_sources(corpus, corpus)
    assert len(found.photos) == 2
    assert reasons(found.rejected, "photo") == {
        "\\udceb.jpg": "has a name that is not text (UTF-8): rename it"
    }
    found.rejected.to_parquet(tmp_path / "rejected.parquet")


def test_missing_list_of_names_is_asked_for(corpus):
    (corpus / "vox1_meta.csv").rename(corpus / "people.csv")
    with pytest.raises(InputError, match=r"comes without the list of names, vox1_meta\.csv: down"):
        find_sources(corpus / "wav", corpus / "faces")
    found = find_sources(corpus / "wav", corpus / "faces", meta=corpus / "people.csv")
    assert len(found.identities) == 1
    with pytest.raises(InputError, match="no source is given"):
        find_sources()


def test_a_phantom_world_reads_as_the_real_folders_do(tmp_path):
    size = Size(6, 3, utterances=2, test_utterances=1, photos=2, test_photos=1)
    phantom.make_world(size, tmp_path / "world", workers=1, progress=False)
    world = load_world(tmp_path / "world")
    found = find_sources(world.folder, world.folder)
    assert found.rejected.empty
    expected = world.identities.sort_values("identity")
    for column in ("identity", "name", "sex"):
        assert found.identities[column].tolist() == expected[column].tolist()
    for table, truth in ((found.utterances, world.utterances), (found.photos, world.photos)):
        relative = table["path"].map(lambda path: os.path.relpath(path, world.folder))
        assert dict(zip(relative, table["identity"], strict=True)) == dict(
            zip(truth["path"], truth["identity"], strict=True)
        )
    assert find_sources(world.folder / "wav", world.folder / "faces").photos.equals(found.photos)
    split = splits.paper(found.identities)
    splits.check_split(split, identities=found.identities, utterances=found.utterances)
    is_test = expected.set_index("identity")["split"] == "test"
    assert (split[is_test.index] == "test").equals(is_test.rename("split"))
