"""A BERT with real weights and its tokenizer, as they lie on the hub: the vectors of transformers, and their sense."""

import shutil

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import TextEncoderSettings
from stages.common.encoders.text import TextEncoder, load_tokenizer
from stages.fetch_weights.fetch import fetch
from stages.pretrain.weights import load_text_weights, text_configuration
from stages.split_reports.contract import TokenizerSettings
from stages.split_reports.tokenizer import read_tokenizer, token_ids_of, write_tokenizer

IDENTIFIER = "sentence-transformers/all-MiniLM-L6-v2"
# Each sentence, and another wording of it.
PAIRS = [
    ("There is fluid in the pleural space.", "A pleural effusion is seen."),
    ("The heart is enlarged.", "Cardiomegaly, with an increased size of the heart."),
    ("There is a fracture of the left rib.", "The left rib is broken."),
    ("An endotracheal tube is in place.", "The tube in the trachea is well positioned."),
]


@pytest.mark.long
@pytest.mark.xdist_group("minilm")
@torch.inference_mode()
def test_a_real_bert_says_what_transformers_says_and_knows_wordings(minilm, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "weights"
    shutil.copytree(minilm, folder)
    record = fetch(IDENTIFIER, folder)
    assert (record.id, record.license, record.revision) == (IDENTIFIER, "apache-2.0", None)
    write_tokenizer(tmp_path, read_tokenizer(folder / "tokenizer.json", do_lower_case=True),
                    TokenizerSettings(weights=IDENTIFIER, do_lower_case=True))  # fmt: skip
    tokenizer = load_tokenizer(tmp_path)
    encoder = TextEncoder(
        TextEncoderSettings(weights=IDENTIFIER), tokenizer.get_vocab_size(), text_configuration(folder)
    ).eval()
    assert load_text_weights(encoder, folder).missing == []
    texts = [text for pair in PAIRS for text in pair]
    ids = token_ids_of(tokenizer, texts)
    ours = encoder(pack_reports([[each] for each in ids], SpecialTokens.of(tokenizer), "report"))[0][:, 0]

    theirs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    hidden = AutoModel.from_pretrained(folder).eval()(**theirs).last_hidden_state
    words = (theirs["attention_mask"] * (theirs["input_ids"] != tokenizer.token_to_id("[CLS]"))
             * (theirs["input_ids"] != tokenizer.token_to_id("[SEP]"))).unsqueeze(-1)  # fmt: skip
    torch.testing.assert_close(ours, (hidden * words).sum(dim=1) / words.sum(dim=1), rtol=1e-4, atol=1e-5)

    unit = torch.nn.functional.normalize(ours, dim=1)
    nearest = (unit @ unit.T - 2 * torch.eye(len(texts))).argmax(dim=1)
    assert nearest.tolist() == [place ^ 1 for place in range(len(texts))]
