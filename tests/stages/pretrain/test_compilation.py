"""Check what torch.compile may take, where it is used, and that it changes no loss and no gradient."""

import copy
import shutil

import pytest
import torch
from planted_pairs import VOCABULARY, data, deep, small, with_optimisation

from stages.common.errors import InputError
from stages.common.journal.tracking import Run
from stages.pretrain import throughput as hardware
from stages.pretrain import training
from stages.pretrain.objective import Objective
from stages.pretrain.ranks import ALONE
from stages.pretrain.training import Place, build


def test_what_is_compiled_has_static_shapes(monkeypatch) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part, **options: compiled.append((part, options)))
    model = build(deep(), VOCABULARY)
    hardware.compile_static_parts(model)
    blocks = [*model.encoder.image.vit.blocks, *model.decoder.blocks]
    assert [part for part, _ in compiled] == blocks
    assert all(options == {"dynamic": False} for _, options in compiled)
    without = build(small(reconstruction={"weight": 0}), VOCABULARY)
    hardware.compile_static_parts(without)
    assert [part for part, _ in compiled[len(blocks) :]] == [*without.encoder.image.vit.blocks]


CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_auto_compiles_on_a_gpu_alone_and_leaves_bitwise_runs_as_they_are(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(hardware, "_compiler_failure", lambda device: asked.append(device))

    def reason(device: torch.device, **changes) -> str | None:
        return hardware.reason_not_to_compile(with_optimisation(**changes).optimisation, device)

    assert "this is a cpu" in reason(CPU)
    assert "deterministic" in reason(GPU, deterministic=True)
    assert reason(GPU, compiled=False) == reason(CPU, compiled=False) == "switched off"
    assert asked == []
    assert reason(GPU) is None
    assert reason(GPU, compiled=True, deterministic=True) is None
    assert reason(CPU, compiled=True) is None
    assert asked == [GPU, GPU, CPU]


@pytest.mark.parametrize(("reason", "recorded"), [(None, "yes"), ("no Triton", "no: no Triton")])
def test_the_journal_says_whether_it_was_compiled_and_a_gpu_job_its_log(
    monkeypatch, tmp_path, capsys, reason, recorded
) -> None:
    monkeypatch.setattr(training, "hardware_tags", lambda _: {})
    for device in (CPU, GPU):
        run = Run(tmp_path / f"{device}.json", {"metrics": [], "tags": {}})
        training._log_start(run, small(), [], Place(tmp_path, 1.0, device, not_compiled=reason), ALONE)
        assert run.record["tags"]["compiled"] == recorded
    assert capsys.readouterr().err == f"compiled: {recorded}\n"


@pytest.fixture
def fresh_compiler(monkeypatch, tmp_path):
    """Nothing compiled before counts, on disk or in memory, and what a test sets is put back."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with (
        torch._dynamo.config.patch(),
        torch._functorch.config.patch(),
        torch._inductor.config.patch(force_disable_caches=True),
    ):
        yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.usefixtures("fresh_compiler")
def test_without_a_compiler_true_is_refused_and_auto_says_why(monkeypatch) -> None:
    optimisation = with_optimisation(compiled=True).optimisation
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(
            InputError, match=r"compiled: torch.compile does not work here: .*no-such-compiler.*auto or false"
        ),
    ):
        hardware.reason_not_to_compile(optimisation, CPU)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: 1 / 0)
    assert hardware.reason_not_to_compile(with_optimisation().optimisation, GPU) == "division by zero"


needs_compiler = pytest.mark.skipif(
    not shutil.which("g++"), reason="torch.compile for the CPU needs g++, which is not installed"
)


@needs_compiler
@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_compiled_blocks_give_the_losses_and_gradients_of_the_others(micro_batch: int | None) -> None:
    settings = deep(micro_batch=micro_batch)
    plain, compiled, batch = build(settings, VOCABULARY), build(settings, VOCABULARY), data(settings).draw(0)
    compiled.load_state_dict(plain.state_dict())
    assert hardware.reason_not_to_compile(with_optimisation(compiled=True).optimisation, CPU) is None
    torch._dynamo.utils.counters.clear()
    hardware.compile_static_parts(compiled)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    losses = [model(batch).total for model in (plain, compiled)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(*losses)
    equal_gradients(plain, compiled)
    # one graph for the blocks of the image encoder, one for those of the decoder, and none was given up
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    # where masking ends, the image encoder's see a second shape
    whole = with_optimisation(epochs=1)
    unmasked = data(whole.model_copy(update={"unmasked_epochs": 1})).draw(0)
    torch.testing.assert_close(*(model(unmasked).total for model in (plain, compiled)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3
    assert not torch._dynamo.utils.counters["graph_break"]


def equal_gradients(plain: Objective, compiled: Objective) -> None:
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4, msg=lambda told, name=name: name + told)


def _refuses_backward_passes(graph: torch.fx.Graph) -> None:
    if any("tangents" in node.name for node in graph.nodes):
        raise RuntimeError("no backward pass")


@needs_compiler
@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.usefixtures("fresh_compiler")
def test_a_backward_pass_that_cannot_be_compiled_ends_no_training_of_auto() -> None:
    with torch._inductor.config.patch(post_grad_custom_pre_pass=_refuses_backward_passes):
        plain, batch = build(small(), VOCABULARY), data(small()).draw(0)
        refused, forgiven = copy.deepcopy(plain), copy.deepcopy(plain)
        hardware.compile_static_parts(refused)
        with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="no backward pass"):
            refused(batch).total.backward()
        torch._dynamo.reset()
        hardware.compile_static_parts(forgiven, or_run_uncompiled=True)
        for model in (plain, forgiven):
            model(batch).total.backward()
        equal_gradients(plain, forgiven)
