"""Splits: nobody and no video on two sides, whoever is in the table and in whatever order."""

import numpy as np
import pandas as pd
import pytest

from v2mlib.checks import InputError
from v2mlib.datasets import splits
from v2mlib.datasets.voxceleb import read_meta

SEEDS = range(5)


def people(seed, n_people=200):
    """A crowd with names over the alphabet, two sexes and some of unknown sex."""
    rng = np.random.default_rng(seed)
    initials = rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), n_people)
    return pd.DataFrame(
        {
            "identity": [f"id{number:05d}" for number in rng.permutation(n_people)],
            "name": [f"{initial}a_{number}" for number, initial in enumerate(initials)],
            "sex": rng.choice(["m", "f", None], n_people, p=[0.5, 0.4, 0.1]),
            "set": np.where(initials == "E", "test", "dev"),
        }
    )


def clips(identities, seed):
    """Clips of videos in which several people may speak."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"identity": rng.choice(identities["identity"], 600)})
    table["video"] = [f"video{number}" for number in rng.integers(0, 250, 600)]
    table["clip"] = [f"{number:05d}" for number in range(600)]
    return table.assign(path=table["identity"] + "/" + table["video"] + "/" + table["clip"])


@pytest.mark.parametrize("name", splits.SPLITS)
@pytest.mark.parametrize("seed", SEEDS)
def test_everyone_has_one_side_that_the_order_of_the_table_does_not_change(name, seed):
    crowd, make = people(seed), splits.SPLITS[name]
    split = make(crowd, seed=seed)
    splits.check_split(split, identities=crowd)
    assert set(split) == set(splits.SIDES)
    expected = (
        crowd if name != "unheard" else crowd[split.reindex(crowd["identity"]).notna().values]
    )
    assert split.index.tolist() == expected["identity"].tolist()
    shuffled = make(crowd.sample(frac=1, random_state=seed), seed=seed)
    assert shuffled.reindex(split.index).equals(split)
    assert not make(crowd, seed=seed + 1).equals(split)


@pytest.mark.parametrize("seed", SEEDS)
def test_names_decide_the_published_split(seed):
    crowd = people(seed)
    split = splits.paper(crowd, seed=seed)
    early = crowd["name"].str[0].isin(list("ABCDE")).to_numpy()
    assert ((split == "test") == early).all()
    whole = splits.paper(crowd, validation=0)
    assert ((whole == "test") == early).all()
    assert not (whole == "validation").any()


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Élodie_Yung", "test"),
        ("eve", "test"),
        ("_Ed", "test"),
        ("50_Cent", "train"),
        ("Ömer", "train"),
    ],
)
def test_unusual_initials(name, side):
    crowd = pd.DataFrame({"identity": ["id1"], "name": [name], "sex": ["m"]})
    assert splits.paper(crowd, validation=0)["id1"] == side
    unnamed = pd.DataFrame({"identity": [name], "name": [None], "sex": ["m"]})
    assert splits.paper(unnamed, validation=0)[name] == side


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_hold_within_each_sex(seed):
    crowd = people(seed)
    split = splits.random(crowd, test=0.3, validation=0.2, seed=seed).to_numpy()
    for sex in ("m", "f", None):
        sides = split[(crowd["sex"] == sex) if sex else crowd["sex"].isna()]
        n_test, n_validation = (np.sum(sides == side) for side in ("test", "validation"))
        assert abs(n_test - 0.3 * len(sides)) <= 0.5
        expected = 0.2 * (len(sides) - n_test)
        assert abs(n_validation - expected) <= 0.5 or (n_validation == 1 > expected)


@pytest.mark.parametrize("name", splits.SPLITS)
@pytest.mark.parametrize("n_people", range(1, 13))
def test_somebody_chooses_the_model_however_few_train(name, n_people):
    for seed in SEEDS:
        crowd, make = people(seed, n_people), splits.SPLITS[name]
        split = make(crowd, validation=0.01, seed=seed)
        sides = split[split != "test"].reindex(crowd["identity"]).dropna()
        assert (sides == "validation").any() == (len(sides) > 1)
        assert (sides == "train").any() == (len(sides) > 0)
        sexes = crowd.set_index("identity")["sex"].fillna("").loc[sides.index]
        for sex, count in sexes.value_counts().items():
            if count > 1:
                assert (sides[sexes == sex] == "validation").sum() == 1, sex
        shuffled = make(crowd.sample(frac=1, random_state=seed), validation=0.01, seed=seed)
        assert shuffled.reindex(split.index).equals(split)
        assert not (make(crowd, validation=0, seed=seed) == "validation").any()


@pytest.mark.parametrize("name", splits.SPLITS)
def test_newcomers_move_few_others(name):
    crowd = people(0)
    make = splits.SPLITS[name]
    before, after = make(crowd[:-10]), make(crowd)
    assert (after.reindex(before.index) != before).mean() < 0.05


def test_a_seed_means_the_same_split_on_every_machine():
    crowd = people(0, 12)[["identity", "name", "sex"]].assign(sex="m")
    split = splits.random(crowd, test=0.25, validation=0.25, seed=7)
    chosen = {side: sorted(split.index[split == side]) for side in ("test", "validation")}
    assert chosen == {
        "test": ["id00000", "id00005", "id00008"],
        "validation": ["id00007", "id00010"],
    }


def test_counts_on_the_real_list(real_data):
    meta = read_meta(real_data / "speech_voxceleb_demo" / "vox1_meta.tsv")
    sex = meta.set_index("identity")["sex"]

    def count(split, *sides):
        return sex[split.index[split.isin(sides)]].value_counts().to_dict()

    split = splits.paper(meta)
    assert count(split, "test") == {"m": 189, "f": 120}
    assert count(split, "train", "validation") == {"m": 501, "f": 441}
    assert count(split, "validation") == {"m": 50, "f": 44}
    kept = splits.unheard(meta)
    assert len(split) - len(kept) == 269
    assert (kept == "test").sum() == 40
    assert kept[kept != "test"].equals(split[split != "test"])
    chance = splits.random(meta)
    assert count(chance, "test") == {"m": 172, "f": 140}
    splits.check_split(chance, identities=meta)


def test_unheard_needs_to_know_who_was_heard():
    crowd = people(0)
    for lacking in (crowd.drop(columns="set"), crowd.assign(set=None)):
        with pytest.raises(InputError, match=r"200 identities \(id\d+, .*\.\.\.\) are neither in"):
            splits.unheard(lacking)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_impossible_shares_are_refused(share):
    with pytest.raises(InputError, match="is not a share"):
        splits.paper(people(0), validation=share)
    with pytest.raises(InputError, match="is not a share"):
        splits.random(people(0), test=share)
    with pytest.raises(InputError, match=r"id\d+\) stand twice"):
        splits.paper(pd.concat([people(0), people(0)[:1]]))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_video_is_on_two_sides_once_shared_ones_are_left_out(seed):
    crowd = people(seed)
    utterances = clips(crowd, seed)
    split = splits.random(crowd, seed=seed)
    with pytest.raises(InputError, match=r"the split has \d+ videos \(video\d+, .*on two sides"):
        splits.check_split(split, utterances=utterances)
    kept, rejected = splits.without_shared_videos(split, utterances)
    splits.check_split(split, utterances=kept)
    assert sorted([*kept["path"], *rejected["path"]]) == sorted(utterances["path"])
    side = utterances.set_index("path")["identity"].map(split)
    assert not (side[rejected["path"]] == "test").any()  # the test keeps all its clips
    told = rejected.set_index("path")["reason"].str.rsplit(n=1).str[-1]
    assert told.isin(["validation", "test"]).all()
    for path, other in told.items():
        of_video = utterances["video"] == path.split("/")[1]
        assert other in set(side[utterances.loc[of_video, "path"]])
    # and no more than need be: every rejected clip would put its video on two sides
    for _, row in utterances[utterances["path"].isin(rejected["path"][:20])].iterrows():
        with pytest.raises(InputError, match=row["video"]):
            splits.check_split(split, utterances=pd.concat([kept, row.to_frame().T]))


def test_one_person_with_two_identities_is_found_by_name():
    crowd = pd.DataFrame({"identity": ["id1", "id2", "id3"], "name": ["Bo_Ray", "bo ray", None]})
    split = pd.Series(["train", "test", "test"], index=crowd["identity"])
    with pytest.raises(InputError, match=r"2 identities \(Bo_Ray, bo ray\) on two sides"):
        splits.check_split(split, identities=crowd)
    splits.check_split(split.replace("test", "train"), identities=crowd)


def test_sides_that_are_not_sides():
    with pytest.raises(InputError, match=r"has the side 'val': known: train, validation, test"):
        splits.check_split(pd.Series({"id1": "val"}))
    with pytest.raises(InputError, match=r"has 1 identity \(id1\) twice"):
        splits.check_split(pd.Series(["train", "test"], index=["id1", "id1"]))


@pytest.mark.parametrize("name", splits.SPLITS)
def test_selection_never_sees_test_names(name):
    split = splits.SPLITS[name](people(1))
    seen = split.index[split != "test"]
    splits.check_selection(split, seen)
    leaked = split.index[split == "test"][0]
    with pytest.raises(
        InputError, match=rf"training sees 1 identity \({leaked}\) of the test side"
    ):
        splits.check_selection(split, [*seen, leaked])
    with pytest.raises(InputError, match=r"1 identity \(stranger\), whom the split does not know"):
        splits.check_selection(split, ["stranger"])
