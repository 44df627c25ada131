"""The parts around a step: batches drawn ahead, operations counted, rates of layers, profile, reproducibility."""

import json
import threading

import pytest
import torch
from planted_pairs import VOCABULARY, data, deep, small, with_optimisation
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from stages.common.device import possible_precision
from stages.common.device_peaks import peak_of
from stages.common.encoders import packed_attention
from stages.common.encoders.augmentation import DRAWS, augment
from stages.common.encoders.operations import Transformer
from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import AugmentationSettings
from stages.common.errors import InputError
from stages.common.training.prefetching import Prefetcher
from stages.pretrain import throughput as hardware
from stages.pretrain.objective import Objective
from stages.pretrain.optimisation import adamw, freeze_text_layers, parameter_groups, update
from stages.pretrain.ranks import ALONE, Ranks
from stages.pretrain.throughput import (
    SpeedMeter,
    StepFlops,
    out_of_memory_explained,
    progress_line,
    with_possible_precision,
)
from stages.pretrain.training import Place, build, train

NO_CHANGE = {"min_area": 1, "brightness": 0, "contrast": 0}


def test_batches_drawn_ahead_are_those_of_their_steps() -> None:
    source = data(small())
    with Prefetcher(source.draw, range(2, 9), torch.device("cpu")) as batches:
        for step in range(2, 9):
            drawn, expected = batches.next().batch, source.draw(step)
            assert drawn.image_ids == expected.image_ids
            assert torch.equal(drawn.pixels, expected.pixels)
            assert torch.equal(drawn.draw, expected.draw)
            assert torch.equal(drawn.visible, expected.visible)
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_what_fails_while_drawing_ahead_fails_in_the_loop(monkeypatch) -> None:
    source = data(small())
    original = source.draw

    def failing(step: int):
        if step == 1:
            raise InputError("image i7: damaged")
        return original(step)

    monkeypatch.setattr(source, "draw", failing)
    with Prefetcher(source.draw, range(9), torch.device("cpu")) as batches:
        batches.next()
        with pytest.raises(InputError, match="image i7: damaged"):
            batches.next()


def test_pixels_go_to_the_device_as_bytes_of_one_channel() -> None:
    drawn = data(small()).draw(0)
    assert drawn.pixels.dtype == torch.uint8
    assert drawn.pixels.shape == (8, 20, 20)


def test_a_quarter_turn_is_numpys_and_a_shift_moves_pixels() -> None:
    images = torch.randint(0, 256, (1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    middle = torch.full((DRAWS, 1), 0.5)  # draws of .5 change nothing
    turned, shifted = middle.clone(), middle.clone()
    turned[5] = 1  # the whole 90 degrees
    out = augment(images, 16, AugmentationSettings(**NO_CHANGE, rotation=90), turned)
    assert torch.allclose(out, torch.rot90(images, 1, (1, 2)) / 255, atol=1e-5)
    shifted[7] = 1  # to the right end of x
    out = augment(images, 16, AugmentationSettings(**NO_CHANGE, translation=0.25), shifted)
    assert torch.allclose(out[:, :, :12], images[:, :, 4:] / 255, atol=1e-5)
    same = augment(images, 16, AugmentationSettings(**NO_CHANGE, rotation=90, translation=0.25, scale=0.5), middle)
    assert torch.allclose(same, images / 255, atol=1e-5)


def counted(call) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops()


def test_closed_forms_count_what_torch_counts() -> None:
    model = build(deep(), VOCABULARY).eval()
    flops, encoder = StepFlops(model), model.encoder
    images, visible = torch.rand(1, 1, 16, 16), torch.arange(8).unsqueeze(0)
    assert flops.image_forward(8) == counted(lambda: encoder.image(images, visible))
    report = pack_reports([[[5] * 9]], SpecialTokens(2, 3), "report")
    assert flops.text_forward(11) == counted(lambda: encoder.text(report))
    tokens = torch.rand(1, 8, 16)
    assert flops.decoder_forward(8) == counted(lambda: model.decoder(tokens, visible))


def test_a_step_counts_three_passes_of_its_rows_and_frozen_layers_one() -> None:
    settings = deep()
    model, drawn = build(settings, VOCABULARY), data(settings).draw(0)
    flops = StepFlops(model)
    (stream,) = drawn.reports.streams
    lengths = stream.starts.diff().tolist()
    assert sum(lengths) == len(stream.token_ids)
    sentences = int(drawn.sentence_mask.sum())
    image = 8 * (flops.image_forward(8) + flops.decoder_forward(8) + 2 * 16 * 8 * 9)
    text = sum(map(flops.text_forward, lengths)) + 2 * 16 * 8 * (8 + sentences)
    assert flops.of(drawn) == 3 * (image + text)
    freeze_text_layers(model, 2)
    frozen = sum(flops.text_forward(length, 2) for length in lengths)
    assert StepFlops(model).of(drawn) == 3 * (image + text) - 2 * frozen


def test_the_published_encoder_costs_what_the_papers_say() -> None:
    """ViT-B/16 at 224 is 17.6 GMAC for 196 patches and [CLS] (timm's tables: 17.6); grey input leaves out .15."""
    layers = 12 * (197 * (8 * 768**2 + 4 * 768 * 3072) + 4 * 197**2 * 768)
    flops = StepFlops.__new__(StepFlops)
    flops._image, flops._prefix, flops._patches, flops._pixels = Transformer(768, 3072, 12), 1, 196, 256
    assert flops.image_forward(196) == layers + 2 * 196 * 256 * 768
    assert flops.image_forward(196) / 2e9 == pytest.approx(17.5, abs=0.1)


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989e12),
        ("NVIDIA H100 PCIe", "bf16", 756e12),
        ("NVIDIA A100-SXM4-80GB", "fp32", 19.5e12),
        ("NVIDIA A40", "bf16", 149.7e12),
        ("NVIDIA RTX A4000", "bf16", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16", None),
        ("A card of tomorrow", "bf16", None),
    ],
)
def test_peaks_by_name(name: str, precision: str, peak: float | None) -> None:
    assert peak_of(name, precision) == peak


def test_the_meter_counts_since_the_last_look() -> None:
    meter = SpeedMeter(torch.device("cpu"), "fp32", ranks=1)
    meter.count(8, 1000)
    first = meter.look(stalled=0.0, steps_left=3)
    assert first["speed/pairs_per_second"] > 0
    assert "speed/mfu" not in first  # a CPU's peak is not in the table
    assert first["memory/peak_bytes"] > 2**20
    assert meter.look(stalled=0.0, steps_left=3)["speed/pairs_per_second"] == 0
    line = progress_line(20, 40, first | {"loss/total": 1.0, "loss/contrastive": 0.5, "speed/seconds_left": 7260.0})
    assert "step     20 of 40  2 h 1 min left  loss 1.0000" in line
    assert "MFU" not in line
    assert "loader stall 0%" in line


def test_rates_fall_from_layer_to_layer_and_differ_between_encoders() -> None:
    settings = deep(layer_decay=0.5, image_rate_factor=0.8, text_rate_factor=0.2)
    model = build(settings, VOCABULARY)
    names = {parameter: name for name, parameter in model.named_parameters()}
    factors = {names[each]: group["factor"] for group in parameter_groups(model, settings) for each in group["params"]}
    assert set(factors) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    expected = {
        "encoder.image_projection.weight": 0.8,
        "encoder.image.vit.norm.weight": 0.8,
        "encoder.image.vit.blocks.1.attn.qkv.weight": 0.4,
        "encoder.image.vit.blocks.0.mlp.fc1.bias": 0.2,
        "encoder.image.vit.patch_embed.proj.weight": 0.1,
        "encoder.image.vit.pos_embed": 0.1,
        "encoder.text_projection.weight": 0.2,
        "encoder.text.bert.encoder.layer.2.output.dense.weight": 0.1,
        "encoder.text.bert.encoder.layer.0.output.dense.weight": 0.025,
        "encoder.text.bert.embeddings.word_embeddings.weight": 0.0125,
        "decoder.predict.weight": 1.0,
        "log_scale": 1.0,
        "integrity.phi": 0.1,
    }
    assert {name: factors[name] for name in expected} == pytest.approx(expected)


def test_frozen_text_layers_stay_and_the_others_learn(tmp_path) -> None:
    settings = deep(frozen_text_layers=2, epochs=1)
    before = {name: value.clone() for name, value in build(settings, VOCABULARY).state_dict().items()}
    model: Objective = build(settings, VOCABULARY)
    train(model, data(settings), settings, Place(tmp_path, 1e9), lambda *_: None)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    text = {name for name in before if name.startswith("encoder.text.bert.")}
    still = {name for name in text if ".embeddings." in name or ".layer.0." in name or ".layer.1." in name}
    assert not moved & still
    assert {name for name in text - still if name.endswith("weight")} <= moved
    with pytest.raises(InputError, match=r"frozen_text_layers: 4, but the text encoder has 3"):
        freeze_text_layers(model, 4)


def test_attention_is_the_fused_one() -> None:
    encoder = build(small(), VOCABULARY).encoder
    assert encoder.text.bert.config._attn_implementation == packed_attention.NAME
    assert all(block.attn.fused_attn for block in encoder.image.vit.blocks)


def test_deterministic_runs_ask_torch_for_it(monkeypatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # put back after the test, as is the flag below
    benchmark = torch.backends.cudnn.benchmark
    try:
        hardware.make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert hardware.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = benchmark


def test_the_journal_says_what_it_ran_on() -> None:
    tags = hardware.hardware_tags(torch.device("cpu"))
    assert tags["torch"] == torch.__version__
    assert {"timm", "transformers", "cpu", "cpu_cores", "threads", "device"} <= set(tags)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the profiler itself, by the kind of machine
def test_a_profile_shows_the_parts_of_a_step(tmp_path) -> None:
    settings = with_optimisation(epochs=2)
    place = Place(tmp_path, 1e9, profile=tmp_path / "profile", profiled=2)
    train(build(settings, VOCABULARY), data(settings), settings, place, lambda *_: None)
    table = (tmp_path / "profile" / "table.txt").read_text()
    for part in ("waiting for data", "to the device", "forward", "backward", "update"):
        assert part in table.split("\n\n")[1], part
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    assert {"forward", "backward"} <= {event.get("name") for event in trace["traceEvents"]}


def test_a_norm_that_is_not_finite_leaves_weights_and_moments() -> None:
    settings = small()
    model = build(settings, VOCABULARY)
    optimiser = adamw(model, settings)
    before = None
    for step, scale in enumerate((1.0, float("nan"), 1.0)):
        model(data(settings).draw(step)).total.backward()
        (model.log_scale.grad or torch.zeros(())).mul_(scale)
        norm = update(model, optimiser, 1.0)
        assert bool(norm.isfinite()) == (step != 1)
        weights = [weight.clone() for weight in model.parameters()]
        moments = [value.clone() for state in optimiser.state.values() for value in state.values()]
        if step == 1:
            assert before is not None
            assert all(map(torch.equal, weights + moments, before))  # the count of steps, too
        before = weights + moments
        optimiser.zero_grad()
    assert {float(state["step"]) for state in optimiser.state.values()} == {2.0}


@pytest.mark.parametrize(("capability", "trains_in"), [((7, 0), "fp32"), ((8, 6), "bf16")])
def test_a_card_without_bf16_trains_in_fp32_and_says_so(monkeypatch, capsys, capability, trains_in: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
    asked, card = with_optimisation(precision="bf16"), torch.device("cuda")
    possible_precision.cache_clear()
    assert with_possible_precision(asked, card, ALONE).optimisation.precision == trains_in
    said = "warning: Tesla V100 has no bf16; computing in fp32\n"
    assert capsys.readouterr().err == (said if trains_in == "fp32" else "")
    assert with_possible_precision(asked, torch.device("cpu"), ALONE) == asked
    assert with_possible_precision(asked, card, Ranks(1, 2)).optimisation.precision == trains_in
    assert capsys.readouterr().err == ""


_OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.51 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.10 GiB is "
    "free. Including non-PyTorch memory, this process has 22.5 GiB memory in use."
)


@pytest.mark.parametrize(
    ("changes", "world", "message"),
    [
        (
            {"batch_size": 256},
            1,
            r"optimisation.batch_size 256: the GPU cannot hold 256 pairs at once "
            r"\(it asks for 2.51 GiB, where 1.10 GiB of 23.64 GiB is free\); set optimisation.micro_batch: 128, "
            "or set optimisation.recompute: true, or use more GPUs",
        ),
        ({"batch_size": 256, "micro_batch": 64}, 4, "cannot hold 64 pairs .*: 32, or set optimisation.recompute"),
        ({"batch_size": 256}, 4, "cannot hold 64 pairs .*micro_batch: 32"),
        ({"batch_size": 8, "micro_batch": 1, "recompute": True}, 1, "cannot hold 1 pair at once .*; use more GPUs"),
        ({"batch_size": 2, "recompute": True}, 2, "cannot hold 1 pair at once .*; choose a smaller model"),
    ],
)
def test_a_batch_that_does_not_fit_names_the_keys_that_help(changes: dict, world: int, message: str) -> None:
    settings = with_optimisation(**changes).optimisation
    with pytest.raises(InputError, match=message), out_of_memory_explained(settings, world):
        raise torch.OutOfMemoryError(_OUT_OF_MEMORY)
    with pytest.raises(InputError, match=r"at once .something else"), out_of_memory_explained(settings, world):
        raise torch.OutOfMemoryError("something else")
