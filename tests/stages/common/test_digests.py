"""One value, one digest; another value, another digest."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.digests import canonical_json, data_digest, digest_of, seed_from

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=values)
def test_canonical_json_is_json_of_the_same_value(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(value=st.dictionaries(st.text(max_size=3), st.integers(), max_size=6))
def test_the_order_of_keys_does_not_count(value):
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


def test_known_digests():
    assert digest_of({}) == hashlib.sha256(b"{}").hexdigest()
    assert digest_of({"b": [1, 0.5], "a": None}) == hashlib.sha256(b'{"a":null,"b":[1,0.5]}').hexdigest()


@pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, 1.0), (0, False), (None, ""), ([], {}), ([1, 2], [2, 1])])
def test_look_alikes_differ(one, other):
    assert digest_of(one) != digest_of(other)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(float("nan"))


def test_data_digest_depends_on_role_and_content():
    assert data_digest({"files": "a", "reports": "b"}) == data_digest({"reports": "b", "files": "a"})
    assert data_digest({"files": "a", "reports": "b"}) != data_digest({"files": "b", "reports": "a"})


def test_seeds_are_63_bit_spread_and_fixed_for_ever():
    """A changed value here would change every split and every mask of every user: the first is frozen by hand."""
    assert seed_from("mask", 0, 1) == int(hashlib.sha256(b'["mask",0,1]').hexdigest()[:16], 16) // 2
    seeds = [seed_from("mask", 0, step) for step in range(4000)]
    assert len(set(seeds)) == 4000
    assert all(0 <= seed < 2**63 for seed in seeds)
    for bit in range(63):  # each bit is a fair coin: within 5 standard deviations of sqrt(4000)/2
        assert abs(sum(seed >> bit & 1 for seed in seeds) - 2000) < 5 * 31.7


def test_the_parts_of_a_seed_do_not_run_together():
    assert len({seed_from("a", 12), seed_from("a", 1, 2), seed_from("a1", 2), seed_from("a", "12")}) == 4
