"""Tokenizers: trained, read, written, and the same ids in `transformers`."""

import json

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from stages.common.errors import InputError
from stages.common.files.atomic_files import verify, write_sidecar
from stages.split_reports.contract import TokenizerSettings
from stages.split_reports.tokenizer import (
    SPECIAL_TOKENS,
    read_tokenizer,
    token_ids_of,
    train_tokenizer,
    weights_file,
    write_tokenizer,
)

SENTENCES = ["No pneumothorax.", "Small left pleural effusion.", "Heart size is normal.", "Épanchement à gauche."]
CORPUS = [(sentence, 5 + place) for place, sentence in enumerate(SENTENCES)]
PROBES = [*SENTENCES, "PNEUMOTHORAX?", "1.5 cm (T5)", "___ at 8:30 a.m.", "naïve 中文 zz-top", "[SEP] [MASK] text"]


def settings_of(do_lower_case):
    return TokenizerSettings(weights=None, vocabulary_size=400, do_lower_case=do_lower_case)


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("loader", [transformers.AutoTokenizer, transformers.BertTokenizerFast])
def test_transformers_reads_the_folder_and_gives_the_same_ids(tmp_path, do_lower_case, loader):
    tokenizer = train_tokenizer(CORPUS, 400, do_lower_case)
    write_tokenizer(tmp_path, tokenizer, settings_of(do_lower_case))
    theirs = loader.from_pretrained(tmp_path)
    plain = [probe for probe in PROBES if "[" not in probe]
    assert theirs(plain, add_special_tokens=False)["input_ids"] == token_ids_of(tokenizer, plain)
    assert [theirs.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert (theirs.pad_token_id, len(theirs)) == (0, tokenizer.get_vocab_size())
    first, *_, last = theirs(plain[0])["input_ids"]
    assert (first, last) == (2, 3)
    verify(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
def test_either_file_gives_the_tokenizer_back(tmp_path, do_lower_case, name):
    tokenizer = train_tokenizer(CORPUS, 400, do_lower_case)
    write_tokenizer(tmp_path, tokenizer, settings_of(do_lower_case))
    again = read_tokenizer(tmp_path / name, do_lower_case)
    assert again.to_str() == tokenizer.to_str()
    assert token_ids_of(again, PROBES) == token_ids_of(tokenizer, PROBES)


def test_no_special_tokens_whatever_the_text_says():
    ids = token_ids_of(train_tokenizer(CORPUS, 400, do_lower_case=True), ["[CLS] [SEP] [PAD] [MASK]"])
    assert not {0, 2, 3, 4} & set(ids[0])


def test_a_word_of_a_prompt_is_never_unknown():
    tokenizer = train_tokenizer([("No effusion.", 3)], 400, do_lower_case=True)
    assert 1 not in token_ids_of(tokenizer, ["Quickly zoomed 3748 jaguars."])[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab.,:é中 1-'?X", min_size=1, max_size=12).map(str.strip).filter(bool), min_size=1, max_size=5))
def test_ids_of_sentences_are_the_ids_of_the_joined_text(sentences):
    tokenizer = train_tokenizer(CORPUS, 300, do_lower_case=False)
    ids = token_ids_of(tokenizer, sentences)
    assert [each for sentence in ids for each in sentence] == token_ids_of(tokenizer, [" ".join(sentences)])[0]


def test_tokenizer_json_wins_over_the_vocabulary(tmp_path):
    (tmp_path / "vocab.txt").write_text("")
    assert weights_file("someone/bert", tmp_path) == tmp_path / "vocab.txt"
    (tmp_path / "tokenizer.json").write_text("")
    assert weights_file("someone/bert", tmp_path) == tmp_path / "tokenizer.json"
    assert weights_file(None, None) is None


def test_setting_and_option_must_agree(tmp_path):
    with pytest.raises(InputError, match=r"--tokenizer-weights: missing.*someone/bert.*fetch_weights"):
        weights_file("someone/bert", None)
    with pytest.raises(InputError, match=r"tokenizer\.weights is null"):
        weights_file(None, tmp_path)


def test_a_folder_that_is_missing_empty_or_damaged(tmp_path):
    with pytest.raises(InputError, match=r"holds neither tokenizer\.json nor vocab\.txt"):
        weights_file("someone/bert", tmp_path)
    with pytest.raises(InputError, match=r"no folder .*absent"):
        weights_file("someone/bert", tmp_path / "absent")
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    write_sidecar(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("[PAF]\n")
    with pytest.raises(InputError, match=r"vocab\.txt: damaged"):
        weights_file("someone/bert", tmp_path)


BAD_VOCABULARIES = {
    "no special tokens": ("a\nb\n", "missing"),
    "pad is not 0": ("a\n[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "must be 0"),
    "twice": ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n", "twice"),
}


@pytest.mark.parametrize("name", BAD_VOCABULARIES)
def test_bad_vocabulary(tmp_path, name):
    text, message = BAD_VOCABULARIES[name]
    (tmp_path / "vocab.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_tokenizer(tmp_path / "vocab.txt", True)


def test_bad_tokenizer_files(tmp_path):
    path = tmp_path / "tokenizer.json"
    for text in ("{", "{}", "[1]", '{"model": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="not a tokenizer file"):
            read_tokenizer(path, True)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_tokenizer(path, True)
    Tokenizer(models.BPE()).save(str(path))
    with pytest.raises(InputError, match="BPE tokenizer, not BERT's"):
        read_tokenizer(path, True)
    path.write_text(train_tokenizer(CORPUS, 300, do_lower_case=False).to_str())
    with pytest.raises(InputError, match="do_lower_case: false"):
        read_tokenizer(path, True)


def test_truncation_and_padding_of_a_file_are_dropped(tmp_path):
    tokenizer = train_tokenizer(CORPUS, 300, do_lower_case=True)
    whole = token_ids_of(tokenizer, SENTENCES)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str())
    assert json.loads(tokenizer.to_str())["truncation"]
    assert token_ids_of(read_tokenizer(tmp_path / "tokenizer.json", True), SENTENCES) == whole
