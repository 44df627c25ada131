"""The estimate: operations against a counter, growth with the data, correction by journals, the command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from stages.common.device_peaks import peak_of
from stages.common.encoders.image import ImageEncoder
from stages.common.encoders.settings import DualEncoderSettings, ImageEncoderSettings
from stages.common.errors import InputError
from stages.config import check
from stages.config_layers import merged
from stages.configuration import Config
from stages.pretrain.contract import PretrainSettings
from workflow.estimate import jobs, operations
from workflow.estimate.__main__ import table
from workflow.estimate.costs import Range, costs
from workflow.estimate.jobs import Amount, amount_of, pretraining_job
from workflow.estimate.whole_run import ORDER, Hardware, RunEstimate, estimate, job_seconds

ROOT = Path(__file__).parents[3]
ON_GPU = ("pretrain", "select_checkpoint", "extract_features", "retrieval", "few_shot_classification",
          "few_shot_segmentation", "phrase_grounding")  # fmt: skip
CLUSTER = Hardware("a100", 4, 64, scheduler=True)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return check(yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path)})


def amounts(images: int) -> dict[str, Amount]:
    """Data sets as large as each other, in files of 1 MB."""
    return {name: Amount(images, images, 1e6, "test") for name in ("mimic_cxr", "rsna", "siim")}


def stage(result: RunEstimate, name: str):
    (found,) = [each for each in result.stages if each.stage == name]
    return found


def test_operations_are_those_that_torch_counts() -> None:
    image = ImageEncoderSettings(architecture="custom", input_size=96, patch_size=12, width=128, depth=3, heads=4)
    settings = PretrainSettings(model=DualEncoderSettings(image=image))
    encoder = ImageEncoder(image).eval()
    # attention by its plain formula: the counter does not know the fused one of processors
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.zeros(1, 1, 96, 96))
    assert operations.image_forward(settings) == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_published_figures_of_the_encoders() -> None:
    settings = PretrainSettings()
    assert operations.image_forward(settings) == pytest.approx(
        2 * 17.6e9, rel=0.02
    )  # ViT-B/16 at 224: 17.6 G multiply-adds
    assert operations.parameters(settings) == pytest.approx(86e6 + 108e6, rel=0.02)  # ViT-B, BERT-base


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({}, (34787622912, 17039769600, 213003534336, 13825474560, 108814823424)),
        (
            {
                "mask_ratio": 0.3,
                "model": {
                    "image": {"architecture": "custom", "width": 192, "depth": 6, "heads": 3},
                    "text": {"weights": None, "width": 200, "depth": 3, "heads": 4},
                },
            },
            (1236738048, 574113792, 10368319488, 245760000, 19632987586.56),
        ),
    ],
)
def test_counts_of_two_settings(changes: dict, figures: tuple[float, ...]) -> None:
    """An image, half of it, one of 512 pixels, a report, a pair of pre-training."""
    settings = PretrainSettings.model_validate(changes)
    images = [operations.image_forward(settings, *size) for size in ((), (0.5,), (1.0, 512))]
    assert (*images, operations.text_forward(settings), operations.training_pair(settings)) == pytest.approx(
        figures, rel=1e-12
    )


def test_epochs_without_masks_cost_what_whole_images_do() -> None:
    nothing = {"mask_ratio": 0, "reconstruction": {"weight": 0}}
    masked, whole = (operations.training_pair(PretrainSettings.model_validate(each)) for each in ({}, nothing))
    mixed = PretrainSettings.model_validate({"unmasked_epochs": 17})  # a third of 51
    assert operations.training_pair(mixed) == pytest.approx((2 * masked + whole) / 3)


def test_half_of_the_patches_costs_less_than_half_in_the_image_encoder() -> None:
    settings = PretrainSettings()
    assert 0.45 < operations.image_forward(settings, 0.5) / operations.image_forward(settings) < 0.5


def test_cost_grows_with_the_data(config: Config) -> None:
    one, four = (estimate(config, CLUSTER, amounts(count)) for count in (100_000, 400_000))
    for name in ("pretrain", "extract_features", "dicom_to_arrow"):
        small, large = stage(one, name).cpu_hours, stage(four, name).cpu_hours
        assert large.typical / small.typical == pytest.approx(4, rel=0.05), name
    assert four.written > 2 * one.written


def test_ranges_hold_the_typical_figure_and_totals_add_up(config: Config) -> None:
    result = estimate(config, CLUSTER, amounts(10_000))
    for each in result.stages:
        for value in (each.cpu_hours, each.gpu_hours, each.wall_hours, each.longest_hours):
            assert value.low <= value.typical <= value.high, each
        assert each.wall_hours.typical >= each.longest_hours.typical
        on_gpu = each.stage in ON_GPU
        assert bool(each.gpu_hours.typical) == on_gpu, each
    assert result.wall_hours.typical <= sum(each.wall_hours.typical for each in result.stages)
    assert result.written == sum(each.written for each in result.stages)


def test_without_a_gpu_nothing_is_said_of_gpus(config: Config) -> None:
    result = estimate(config, Hardware("cpu", 0, 8, scheduler=False), amounts(1000))
    assert not any(each.gpu_hours.high for each in result.stages)
    assert not any("computed" in each.basis for each in result.stages)


def test_threads_of_a_profile_replace_those_of_the_rule(config: Config, tmp_path: Path) -> None:
    """On a CPU a training of one thread takes the time of the table's core, and what it took before at that."""
    processors = Hardware("cpu", 0, 4, scheduler=False)
    many, one = (stage(estimate(config, processors, amounts(1000), threads=threads), "pretrain")
                 for threads in (None, {"pretrain": 1}))  # fmt: skip
    assert one.longest_hours.typical == pytest.approx(4 * many.longest_hours.typical, rel=0.05)
    assert one.cpu_hours.typical == pytest.approx(many.cpu_hours.typical, rel=0.05)
    put(tmp_path, journal("extract_features", "mlip/rsna", 90.0))
    measured = stage(estimate(config, processors, amounts(1000), threads={"extract_features": 1}), "extract_features")
    assert measured.longest_hours.typical * 3600 == pytest.approx(90, rel=0.05)


def journal(stage: str, name: str, seconds: float, **keys: object) -> dict:
    return {
        "version": 1, "stage": stage, "name": name, "status": "FINISHED", "started": 1_000_000,
        "ended": 1_000_000 + round(seconds * 1000), "error": None,
        "digests": dict.fromkeys(("code", "settings", "data", "image"), "x"), "inputs": {}, "params": {},
        "metrics": [], "artifacts": [], "tags": {}, **keys,
    }  # fmt: skip


def put(workspace: Path, record: dict) -> None:
    path = workspace / "results" / record["stage"] / record["name"] / "journal.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))


def test_what_a_job_took_before_is_what_it_is_said_to_take(config: Config, tmp_path: Path) -> None:
    table = stage(estimate(config, CLUSTER, amounts(50_000)), "split_reports")
    assert table.basis == "benchmark table"
    put(tmp_path, journal("split_reports", "mimic_cxr", 90.0))
    measured = stage(estimate(config, CLUSTER, amounts(50_000)), "split_reports")
    assert measured.basis == "earlier jobs here"
    assert measured.longest_hours.typical * 3600 == pytest.approx(90)
    assert measured.longest_hours.low < measured.longest_hours.typical < measured.longest_hours.high


def test_counts_come_from_the_journal_of_the_index(config: Config, tmp_path: Path) -> None:
    for name, images in (("mimic_cxr", 700), ("rsna", 200), ("siim", 100)):
        counts = {"images": images, "reports": images // 2}
        metrics = [{"key": key, "value": float(value), "step": 0, "timestamp": 0} for key, value in counts.items()]
        put(tmp_path, journal("index_inputs", name, 3.0, metrics=metrics))
    result = estimate(config, CLUSTER)
    assert {name: each.images for name, each in result.amounts.items()} == {"mimic_cxr": 700, "rsna": 200, "siim": 100}


def test_a_file_that_cannot_be_measured_is_left_out(config: Config, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"x" * 7)
    for name, target in (("loop.png", "loop.png"), ("nowhere.png", "absent.png")):
        (tmp_path / "images" / name).symlink_to(target)
    (tmp_path / "t.csv").write_text("file\nimages/a.png\n")
    block = {
        "root": str(tmp_path),
        "index_inputs": {"layout": "folder", "table": "t.csv", "columns": {"image": "file"}},
    }
    raw = config.model_dump()
    assert amount_of(check(raw | {"datasets": raw["datasets"] | {"ours": block}}), "ours", []).file_bytes == 7


def test_a_training_on_cpu_says_nothing_of_a_gpu(config: Config, tmp_path: Path) -> None:
    settings = config.settings("pretrain", variant="mlip").model_dump(mode="json")
    from stages.common.journal.tracking import flatten

    metrics = [{"key": "data/studies", "value": 1000.0, "step": 0, "timestamp": 0}]
    work = 1000 * 51 * operations.training_pair(config.settings("pretrain", variant="mlip"))
    on_cpu = work / 1e11  # s at a speed that only processors have
    put(tmp_path, journal("pretrain", "mlip", on_cpu, params=flatten(settings), metrics=metrics))
    assert stage(estimate(config, CLUSTER, amounts(1000)), "pretrain").basis.startswith("computed")
    processors = replace(CLUSTER, device="cpu", cores=8)
    assert stage(estimate(config, processors, amounts(1000)), "pretrain").basis == "earlier jobs here"


def test_the_benchmark_table_is_whole() -> None:
    table = costs()
    for key in table.stages:
        seconds = table.unit_seconds(key)
        assert seconds.low <= seconds.typical <= seconds.high, key
        assert table.stages[key]["source"], key
    for device in table.devices:
        seconds = table.seconds_an_operation(device, fp32=False)
        assert seconds.low <= seconds.typical <= seconds.high, device


def test_a_device_of_the_table_whose_peak_is_unknown_is_named() -> None:
    table = replace(costs(), devices={"x1": {"share": 0.3, "low": 0.5, "high": 0.1}})
    for ask in (lambda: table.seconds_an_operation("x1", fp32=True), lambda: table.speed_of("x1")):
        with pytest.raises(InputError, match=r"costs\.yaml: devices\.x1: its peak is unknown"):
            ask()


@pytest.mark.parametrize(("device", "factor"), [("a100", 312 / 19.5), ("h100", 989 / 67), ("v100", 125 / 15.7)])
def test_fp32_is_as_much_slower_as_the_peak_of_the_device_is_lower(device: str, factor: float) -> None:
    """TF32 is off."""
    half, single = (costs().seconds_an_operation(device, fp32) for fp32 in (False, True))
    assert [slow / fast for slow, fast in zip(single.ends, half.ends, strict=True)] == pytest.approx([factor] * 3)
    assert half.typical == pytest.approx(1 / (costs().devices[device]["share"] * peak_of(device.upper(), "bf16")))


def test_a_training_in_fp32_costs_so_many_more_hours(config: Config) -> None:
    settings = config.settings("pretrain", variant="mlip")
    single = settings.model_copy(
        update={"optimisation": settings.optimisation.model_copy(update={"precision": "fp32"})}
    )
    half, slow = (job_seconds(pretraining_job("mlip", each, 1e6), "a100") for each in (settings, single))
    assert slow.typical / half.typical == pytest.approx(16, rel=0.01)
    on_cpu = [job_seconds(pretraining_job("mlip", each, 1e6), "cpu").typical for each in (settings, single)]
    assert on_cpu[0] == on_cpu[1]


def test_benchx_costs_its_updates_and_the_gradients_of_what_it_trains(tmp_path: Path) -> None:
    """On 70 training images 200 epochs are 400 updates of 64 images; finetune has 50,000 of 96."""
    block = {"protocols": ["finetune", "benchx"], "fractions": [100]}
    few = {"few_shot_classification": block, "few_shot_segmentation": block | {
        "finetune": {"schedule": {100: {"steps": 20_000, "learning_rate": 1e-4, "warmup_steps": 0}}}}}  # fmt: skip
    config = check(yaml.safe_load((ROOT / "config.yaml").read_text()) | few | {"workspace": str(tmp_path)})
    tuned, benchx = (each.operations for each in jobs._few_shot(config, "mlip/rsna", "rsna", 100, 1.0))
    assert tuned / benchx == pytest.approx(50_000 * 96 / (400 * 64), rel=0.01)
    encoder = config.settings("pretrain", variant="mlip")
    tuned, benchx = (each.operations for each in jobs._segmentation(config, "mlip/rsna", "rsna", 100, encoder))
    assert 1 < tuned / benchx < 3  # no gradients of the encoder


def test_a_grid_of_heatmaps_costs_its_passes_of_every_encoder(tmp_path: Path) -> None:
    """Count for 1,000 images: 300 are measured, 700 give a mean; the checkpoint and two random encoders read them."""

    def operations_of(readings: dict) -> float:
        block = {"phrase_grounding": {"readings": readings, "random_encoders": 2}}
        config = check(yaml.safe_load((ROOT / "config.yaml").read_text()) | block | {"workspace": str(tmp_path)})
        return jobs._grounding(config, "mlip/rsna", "rsna", 1000, 1.0).operations

    def zero_shot_of(**block: object) -> float:
        config = check(
            yaml.safe_load((ROOT / "config.yaml").read_text())
            | {"zero_shot_classification": block, "workspace": str(tmp_path)}
        )
        return jobs._zero_shot(config, "mlip/rsna", "rsna", 1000, 1.0).operations

    assert operations_of({"raw": {}, "smooth": {"smoothing": 1}}) == pytest.approx(3 * 300)
    assert operations_of({"raw": {}, "fine": {"shifts": 2}, "finer": {"shifts": 3}}) == pytest.approx(3 * 300 * 14)
    fine = {"own": {"mean": "pretraining"}, "fine": {"shifts": 2, "mean": "dataset"}}
    assert operations_of(fine) == pytest.approx(3 * 300 * 5 + 700 * (4 + 2 * 5))
    assert zero_shot_of() == 0  # the global score reads no image again
    assert zero_shot_of(score="local") == pytest.approx(1000)
    assert zero_shot_of(score="local", reading="stitched") == pytest.approx(4 * 1700)


def test_arithmetic_of_ranges() -> None:
    assert Range(2, 1, 4) + Range(1, 1, 1) == Range(3, 2, 5)
    assert Range(2, 1, 4) * 2 == Range(4, 2, 8)
    assert Range(2, 1, 4).at_least(Range(3, 0, 3)) == Range(3, 1, 4)


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    for part in ("config.yaml", "workflow"):
        (tmp_path / part).symlink_to(ROOT / part)

    def output(*options: str) -> str:
        command = [sys.executable, "-m", "workflow.estimate", "--profile", "workflow/profiles/slurm", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True,
                              env={"PYTHONPATH": str(ROOT)}).stdout  # fmt: skip

    text = output("--device", "h100", "--gpus", "8")
    assert "377,110 images, 227,835 reports (published; data/mimic-cxr does not exist)" in text
    assert "computed, never measured" in text
    assert "on 8 h100" in text
    whole = json.loads(output("--json"))
    assert {each["stage"] for each in whole["stages"]} >= {"pretrain", "summarize"}
    assert whole["wall_hours"]["low"] < whole["wall_hours"]["high"]


def test_every_rule_is_estimated_and_every_kind_of_job_is_a_rule(config: Config) -> None:
    result = estimate(config, CLUSTER, amounts(1000))
    rules = {path.stem for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    estimated = {each.stage for each in result.stages}
    elsewhere = {"make_phantom", "multi_class_classification"}  # in the demo; with several findings
    assert estimated == rules - {"common", "fetch_weights", *elsewhere}
    assert estimated | elsewhere <= {stage for group in ORDER for stage in group}


def test_text_weights_have_the_size_of_their_own_config_where_it_is_here(config: Config, tmp_path: Path) -> None:
    """MiniLM has 6 layers of 384 channels: 10.6 million weights in them; a BERT-base of 12 of 768 has 85.0 million."""
    weights = "sentence-transformers/all-MiniLM-L6-v2"
    own = {"compare": ["mlip"], "split_reports": {"tokenizer": {"weights": weights}},
           "pretrain": {"model": {"text": {"weights": weights, "width": 128, "depth": 2}}}}  # fmt: skip
    config = check(merged(config.model_dump(), own))
    before = estimate(config, CLUSTER, amounts(1000))
    assert before.assumed == (weights,)
    assert f"{weights}: its config.json is not here yet, so BERT-base is assumed" in table(before)
    folder = tmp_path / "weights" / "sentence-transformers--all-MiniLM-L6-v2"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 384, "num_hidden_layers": 6}')
    after = estimate(config, CLUSTER, amounts(1000))
    assert after.assumed == ()
    settings = config.settings("pretrain", variant="mlip")
    small, base = (
        operations.parameters(operations.with_text_shape(settings, each)) for each in (tmp_path, tmp_path / "no")
    )
    embeddings = (28_996 + 512 + 512) * (768 - 384)  # word pieces and places; the projection onto 512
    assert base - small == 12 * (768**2 * 12 - 384**2 * 6) + embeddings
    assert stage(after, "pretrain").gpu_hours.typical < stage(before, "pretrain").gpu_hours.typical
