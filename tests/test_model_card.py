"""The model card's tables are those of what is shipped; the pages say what they must."""

import importlib.util
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("tool", _ROOT / "tools/tabulate_model_card.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_current(tool):
    """Run ``python tools/tabulate_model_card.py`` after shipping new weights or predictions."""
    stored = tool.CARD.read_text("utf-8")
    fresh = tool.written(stored)
    assert _NUMBER.sub("#", stored) == _NUMBER.sub("#", fresh)
    for one, other in zip(_NUMBER.findall(stored), _NUMBER.findall(fresh), strict=True):
        # The last digit may round differently on another processor.
        last = 10.0 ** -len(one.partition(".")[2])
        assert float(one) == pytest.approx(float(other), abs=1.01 * last)


def test_a_card_without_a_place_for_a_table_is_refused(tool):
    text = tool.CARD.read_text("utf-8").replace("<!-- table: null -->", "")
    with pytest.raises(SystemExit, match="0 places for the table null"):
        tool.written(text)


@pytest.mark.parametrize("page", ["MODEL_CARD.md", "RESPONSIBLE_USE.md"])
def test_links_lead_somewhere_and_the_sentence_is_there(page):
    text = (_ROOT / page).read_text("utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets
    assert [name for name in targets if not (_ROOT / name).exists()] == []
    for words in ("identif", "average", "nothing"):
        assert words in text.lower()
