"""Measure the work that a step avoids (hidden patches, padding between sentences), and the cost of transport.

    python -m benchmarks.encoders [--rounds 5] [--depth 2] [--output FILE]

One thread, forward and backward pass, medians of processor time over interleaved rounds; a first round is not counted.

- images: ViT-B/16 at 224 pixels (12 blocks), 4 images: all 196 patches compared with only the visible ones, at half and
  three quarters hidden.
- text: a BERT of base width (`--depth` of its 12 blocks; every block costs the same), 32 reports of realistic length
  (5.8 sentences of 13.4 tokens, a third of them recurring). Peers: 8 slots of 32 tokens per report, padded and cut.
  Ours: `sentences`, each unique one once; `report`, whole reports; both without padding.
- transport: all B x B pairs of 98 patches and 8 sentences of width 512, compared with a step of the default setting
  without transport at the same B.
"""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.pretrain_step import STORED, VOCABULARY, Noise, settings_of, studies
from benchmarks.transport import features, milliseconds, ours, step
from stages.common.encoders.image import ImageEncoder, draw_visible
from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import ImageEncoderSettings, TextEncoderSettings
from stages.common.encoders.text import TextEncoder
from stages.common.files.atomic_files import write_json
from stages.pretrain.batches import TrainingData
from stages.pretrain.training import build

SPECIAL = SpecialTokens(2, 3)
PADDING = 0
SLOTS, SLOT_TOKENS = 8, 32  # peers: the same number of slots for every report


def backward_of(outputs: Callable[[], tuple[Tensor, ...]], module: torch.nn.Module) -> None:
    """Run forward and backward; the sum of squares has a gradient everywhere."""
    module.zero_grad(set_to_none=True)
    torch.stack([each.square().sum() for each in outputs()]).sum().backward()


def _encoded(encoder: ImageEncoder, pixels: Tensor, visible: Tensor) -> tuple[Tensor, ...]:
    return (encoder(pixels, visible),)


def images(count: int, rounds: int) -> dict[str, float]:
    """Return milliseconds per hidden share, and the speed-up over nothing hidden."""
    encoder = ImageEncoder(ImageEncoderSettings(architecture="vit_base_patch16_224"))
    pixels = encoder.normalise(torch.rand(count, 224, 224))
    visible = {share: draw_visible(count, 196, share, torch.Generator().manual_seed(0)) for share in (0.5, 0.75)}
    sides: dict[str, Callable[[], object]] = {"0": partial(backward_of, lambda: (encoder(pixels),), encoder)}
    for share, kept in visible.items():
        sides[str(share)] = partial(backward_of, partial(_encoded, encoder, pixels, kept), encoder)
    found = milliseconds(sides, rounds)
    return found | {f"times at {share}": found["0"] / found[str(share)] for share in visible}


def slots(reports: list[list[list[int]]]) -> Int[Tensor, "reports_slots tokens"]:
    """Encode as peers do: 8 slots per report, each [CLS] sentence [SEP] padded or cut to 32 tokens; also empty ones."""
    ids = torch.full((len(reports) * SLOTS, SLOT_TOKENS), PADDING)
    for place, report in enumerate(reports):
        for slot, sentence in enumerate(report[:SLOTS]):
            row = [SPECIAL.cls, *sentence[: SLOT_TOKENS - 2], SPECIAL.sep]
            ids[place * SLOTS + slot, : len(row)] = torch.tensor(row)
    return ids


def text(depth: int, rounds: int) -> dict[str, float]:
    """Return milliseconds and computed tokens of the three methods, and the speed-up over slots."""
    reports = [study.sentences for study in studies(32)]
    padded = slots(reports)
    common = {"weights": None, "width": 768, "heads": 12, "depth": depth, "dropout": 0}
    whole, single = (
        TextEncoder(TextEncoderSettings(context=context, **common), VOCABULARY) for context in ("report", "sentences")
    )
    packed = {context: pack_reports(reports, SPECIAL, context) for context in ("report", "sentences")}
    peers = transformers.BertModel(transformers.BertConfig(**single.bert.config.to_dict()), add_pooling_layer=False)
    peers.set_attn_implementation("sdpa")

    def of_slots() -> tuple[Float[Tensor, "rows tokens width"]]:
        mask = (padded != PADDING).long()
        mask[:, 0] = 1  # an empty slot attends to one token: a softmax needs at least one
        return (peers(input_ids=padded, attention_mask=mask).last_hidden_state,)

    sides: dict[str, Callable[[], object]] = {
        "slots": partial(backward_of, of_slots, peers),
        "sentences": partial(backward_of, lambda: single(packed["sentences"]), single),
        "report": partial(backward_of, lambda: whole(packed["report"]), whole),
    }
    found = milliseconds(sides, rounds)
    return found | {
        "times sentences": found["slots"] / found["sentences"],
        "times report": found["slots"] / found["report"],
        "tokens slots": padded.numel(),
        **{f"tokens {context}": len(batch.streams[0].token_ids) for context, batch in packed.items()},
    }


def transport(batch: int, rounds: int) -> dict[str, float]:
    """Return milliseconds of a default step without transport and of transport, and transport's share in percent."""
    settings = settings_of("base", batch, local={"weight": 0})
    data = TrainingData(settings, Noise(STORED["base"]), studies(4 * batch), SPECIAL)
    model = build(settings, VOCABULARY).train()
    drawn = data.draw(0)
    sides: dict[str, Callable[[], object]] = {
        "step": partial(backward_of, lambda: (model(drawn).total,), model),
        "transport": partial(step, ours, *features(batch)),
    }
    found = milliseconds(sides, rounds)
    return found | {"percent": 100 * found["transport"] / (found["step"] + found["transport"])}


def main() -> None:
    options = ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--depth", type=int, default=2, help="blocks of the text encoder")
    options.add_argument("--images", type=int, default=4)
    options.add_argument(
        "--batches", type=int, nargs="+", default=[8], help="batch sizes of the comparison with transport"
    )
    options.add_argument("--output", type=Path)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    record: dict = {"images": images(arguments.images, arguments.rounds)}
    print(json.dumps(record["images"], indent=1), flush=True)
    record["text"] = text(arguments.depth, arguments.rounds)
    print(json.dumps(record["text"], indent=1), flush=True)
    for batch in arguments.batches:
        record[f"transport, B = {batch}"] = transport(batch, arguments.rounds)
        print(json.dumps(record[f"transport, B = {batch}"], indent=1), flush=True)
    if arguments.output:
        write_json(arguments.output, record)


if __name__ == "__main__":
    main()
