"""Names that MLflow accepts, and texts without secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.journal.mlflow_texts import KEY_LENGTH, is_mlflow_key, mlflow_keys, without_secrets


def test_keys_by_hand():
    assert mlflow_keys(["loss", "auc(test)", "iou[0]", "a/b.c-d e:f"]) == {
        "loss": "loss",
        "auc(test)": "auc_test_",
        "iou[0]": "iou_0_",
        "a/b.c-d e:f": "a/b.c-d e:f",
    }
    clash = mlflow_keys(["auc(1)", "auc[1]", "auc_1_"])
    assert clash["auc_1_"] == "auc_1_"  # the valid one keeps its name
    assert len(set(clash.values())) == 3


key_texts = st.text(st.sampled_from("ab./ _-:([%é\n"), min_size=1, max_size=8) | st.text(max_size=300)


@given(keys=st.lists(key_texts, max_size=12))
def test_no_two_keys_share_a_name_and_the_order_does_not_count(keys):
    names = mlflow_keys(keys)
    assert set(names) == set(keys)
    assert len(set(names.values())) == len(names)
    assert all(0 < len(name) <= KEY_LENGTH for name in names.values())
    assert mlflow_keys(reversed(keys)) == names
    assert mlflow_keys(names.values()) == {name: name for name in names.values()}  # a name is its own name


@given(keys=st.lists(key_texts, max_size=12))
def test_a_key_that_is_taken_as_it_stands_keeps_its_name_whatever_else_there_is(keys):
    """Live logging sees one key after the other and sync all of them: for these both use one name."""
    names = mlflow_keys(keys)
    assert all(names[key] == key for key in keys if is_mlflow_key(key))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host:5000/", "http://host:5000/"),
        ("https://user:pa:ss@host:5000/x", "https://***@host:5000/x"),
        ("https://token@host failed", "https://***@host failed"),
        ("https://user:p@ss/w@host/x failed", "https://***@host/x failed"),
        ("see https://host/x?token=abc; then", "see https://host/x?***; then"),
        ("sqlite:////home/runs/mlflow.db", "sqlite:////home/runs/mlflow.db"),
        ("postgresql://me:secret@db/mlflow: refused", "postgresql://***@db/mlflow: refused"),
    ],
)
def test_secrets_in_addresses_are_not_shown(text, shown):
    assert without_secrets(text) == shown
