"""Lists of people as spreadsheets save them."""

import pytest

from v2mlib.checks import InputError
from v2mlib.datasets.vggface import fold_name, match_names
from v2mlib.datasets.voxceleb import read_meta

HEADER = ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"]
PEOPLE = [
    ["id10001", "Ann_Lee", "f", "New Zealand", "dev"],
    ["id10002", "Bo_O'Hara", "m", "UK", "dev"],
    ["id10003", "Zoe_Ray", "f", "USA", "test"],
]


def table(separator, rows=PEOPLE, header=HEADER, end="\n"):
    return "".join(separator.join(row) + end for row in [header, *rows])


@pytest.mark.parametrize(
    "text",
    [
        table("\t"),
        table(","),
        table(", "),
        table(";"),
        table(" "),
        table("   "),
        "\ufeff" + table("\t", end="\r\n"),
        table("\t").replace("\n", "\t\n"),
        table("\t") + "\n\n",
        table(" ,", header=["VoxCeleb1 ID ", "VGGFace1_ID", "gender", "Nationality ", "Set "]),
        table("\t").replace("\tm\t", "\tMale\t"),
    ],
)
def test_meta_copes_with_what_spreadsheets_do(tmp_path, text):
    path = tmp_path / "vox1_meta.csv"
    for encoding in ("utf-8", "utf-16"):
        path.write_text(text, encoding=encoding, newline="")
        meta = read_meta(path)
        assert list(meta.columns) == ["identity", "name", "sex", "nationality", "set"]
        assert meta.to_numpy().tolist() == PEOPLE


def test_meta_without_nationality_and_set_is_enough(tmp_path):
    path = tmp_path / "vox1_meta.csv"
    path.write_text("VoxCeleb2 ID ,VGGFace2 ID ,Gender \nid00012 ,n000012 ,m \n", "utf-8")
    row = read_meta(path).iloc[0]
    assert row.to_dict() == {
        "identity": "id00012", "name": "n000012", "sex": "m", "nationality": None, "set": None,
    }  # fmt: skip


LIST = table("\t")
NO_SEX = ["VoxCeleb1 ID", "Name", "Age", "x", "Set"]
SEX_TWICE = ["id", "name", "sex", "gender", "set"]
TWO_FAULTS = r"line 2 gives the sex 'y'.*also line 3 gives the sex 'x'.*line 4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table("\t", header=NO_SEX), r"line 1 lacks the column sex: .*VoxCeleb1 ID, Name, Age"),
        (LIST.split("\n", 1)[1], r"line 1 lacks the columns identity, name, sex"),
        (LIST + LIST.split("\n")[1], r"line 5 names id10001 again, as line 2 does: download"),
        (LIST.replace("\tm\t", "\tx\t"), r"line 3 gives the sex 'x', which .* correct the line"),
        (LIST.replace("\tm\t", "\t\t"), r"line 3 gives the sex ''"),
        (LIST.replace("\tm\t", "\tx\t").replace("\tf\t", "\ty\t"), TWO_FAULTS),
        (LIST.replace("\tUK\tdev", ""), r"line 3 has 3 values where the header has 5 col"),
        (LIST.replace("Bo_O'Hara", ""), r"line 3 has no identity or no name"),
        (table("\t", header=SEX_TWICE), r"has the column sex twice"),
        (table("\t", rows=[]), "names nobody"),
        ("", "is empty: the first line must name the columns"),
        ("\0\1\2", "is not a text file"),
    ],
)
def test_faulty_meta_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "vox1_meta.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"vox1_meta\.csv.*" + message):
        read_meta(path)
    with pytest.raises(InputError, match="does not exist"):
        read_meta(tmp_path / "other.csv")


def test_counts_of_the_real_list(real_data):
    meta = read_meta(real_data / "speech_voxceleb_demo" / "vox1_meta.tsv")
    early = meta["name"].str[0].isin(list("ABCDE"))
    assert len(meta) == 1251
    assert meta[early]["sex"].value_counts().to_dict() == {"m": 189, "f": 120}
    assert meta[~early]["sex"].value_counts().to_dict() == {"m": 501, "f": 441}
    assert meta["set"].value_counts().to_dict() == {"dev": 1211, "test": 40}
    assert meta["name"].map(fold_name).is_unique  # folding makes no two people one
    matches = match_names(meta, meta["name"].str.upper().str.replace("_", " "))
    assert sorted(matches.identity.values()) == sorted(meta["identity"])
