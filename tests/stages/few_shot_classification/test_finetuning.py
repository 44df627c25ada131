"""Fine-tuning on images that show their target: it learns, keeps the best weights and leaves the checkpoint alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from stages.common.data.image_store import ImageStore
from stages.common.data.label_matrix import read_label_matrix
from stages.common.encoders.dual import DualEncoder, load_checkpoint
from stages.common.errors import InputError
from stages.common.few_shot.parts import Parts, split_parts
from stages.common.training.prefetching import DrawnBatch, pack
from stages.common.training.state_files import ResumableState
from stages.few_shot_classification.contract import FinetuneJobSettings
from stages.few_shot_classification.evaluation import SeedScores
from stages.few_shot_classification.finetuning import Classifier, Finetuning


@pytest.fixture
def model(files) -> DualEncoder:
    return load_checkpoint(files.checkpoint, torch.device("cpu")).model


@pytest.fixture
def parts(files) -> Parts:
    return split_parts(read_label_matrix(files.labels), 100, files.labels)


def job(**changes) -> FinetuneJobSettings:
    given = {"steps": 30, "learning_rate": 0.1, "warmup_steps": 3, "batch_size": 32, "validations": 3}
    return FinetuneJobSettings.model_validate(given | changes)


@pytest.fixture
def run(files, model, parts, tmp_path) -> Callable[..., SeedScores]:
    def repeat(
        settings: FinetuneJobSettings,
        seed: int = 0,
        log=lambda _values, _step: None,
        state: ResumableState | None = None,
    ) -> SeedScores:
        state = state or ResumableState(tmp_path / str(len(list(tmp_path.iterdir()))), 1e9)
        return Finetuning(model, ImageStore(files.images), parts, settings).repeat(seed, log, state)

    return repeat


class KilledAt(ResumableState):
    """A state after whose save at one step the job is gone."""

    step = 0

    def save(self, step: int, state: dict) -> None:
        super().save(step, state)
        if step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("changes", [{}, {"head_norm": True, "encoder_rate": 0.1, "patience": 2, "epochs": 9}])
@pytest.mark.parametrize("at", [3, 7])  # before the first look, and between two
def test_a_killed_training_goes_on_to_the_same_scores(run, tmp_path, at: int, changes) -> None:
    settings, whole_log, log = job(steps=12, **changes), {}, {}
    whole = run(settings, log=lambda values, step: whole_log.update({step: values}))
    killed = KilledAt(tmp_path / "killed", -1.0)  # saves after every step
    killed.step = at
    with pytest.raises(KeyboardInterrupt):
        run(settings, state=killed)
    again = run(settings, log=lambda values, step: log.update({step: values}),
                state=ResumableState(tmp_path / "killed", 1e9))  # fmt: skip
    np.testing.assert_array_equal(again.test, whole.test)
    np.testing.assert_array_equal(again.validation, whole.validation)
    assert (again.kept_at, log) == (whole.kept_at, whole_log)


def test_it_learns_what_the_images_show(run, parts) -> None:
    seen = {}
    result = run(job(), log=lambda values, step: seen.update({step: values}))
    assert result.validation_auc == 1
    assert roc_auc_score(parts.test.targets[:, 0], result.test[:, 0]) == 1
    assert sorted(seen) == [10, 20, 30]  # the looks at validation
    assert result.kept_at in seen
    assert seen[30]["seed_0/loss"] < 0.69  # which is where it starts: ln 2


def test_a_seed_is_a_result_and_seeds_differ(run) -> None:
    one, same, other = (run(job(steps=4), seed).test for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_all_weights_move_and_those_of_the_checkpoint_stay(run, model, parts, files) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = run(job(steps=4)).test
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(run(job(steps=4)).test, first)
    classifier = Classifier(model)
    tuning = Finetuning(model, ImageStore(files.images), parts, job())
    tuning._step(classifier, torch.optim.SGD(classifier.parameters(), lr=1.0), tuning._draw(0, 0))
    frozen = [name for name, value in classifier.named_parameters() if not value.requires_grad or value.grad is None]
    assert not frozen


def test_the_kept_scores_are_those_of_the_best_look(run) -> None:
    """A learning rate of nearly nothing: no look is better than the first, so the first is kept."""
    assert run(job(learning_rate=1e-30)).kept_at == 10


def test_a_step_reads_nothing_back(model, parts, files) -> None:
    """Tensors of the device `meta` have no values: whatever reads one fails, as it would stop a GPU."""
    meta = torch.device("meta")
    tuning = Finetuning(model.to(meta), ImageStore(files.images), parts, job())
    tuning._targets[::3] = -1
    classifier = Classifier(model).to(meta)
    drawn = DrawnBatch(*pack(tuning._draw(0, 0), pin=False))
    loss = tuning._step(classifier, tuning._optimiser(classifier), drawn.to(meta))
    assert (loss.device, loss.shape) == (meta, ())


def test_reduced_precision_gives_nearly_the_same(run) -> None:
    full, half = (run(job(steps=4, precision=precision)) for precision in ("fp32", "bf16"))
    np.testing.assert_allclose(half.test, full.test, atol=0.02)


def test_a_loss_that_is_no_number_is_one_line(run) -> None:
    with pytest.raises(InputError, match=r"the loss is .*; lower the learning rate"):
        run(job(learning_rate=1e30, warmup_steps=0))


def test_patience_ends_a_training_and_an_ended_one_is_not_trained_again(run, tmp_path) -> None:
    """A learning rate of nearly nothing: no look is better than the first, so one look later it ends."""
    settings, seen, again = job(learning_rate=1e-30, patience=1), {}, {}
    rarely = ResumableState(tmp_path / "state", 1e9)  # what has ended is saved all the same
    first = run(settings, log=lambda values, step: seen.update({step: values}), state=rarely)
    assert (first.kept_at, sorted(seen)) == (10, [10, 20])
    state = ResumableState(tmp_path / "state", 1e9)
    assert state.newest()["step"] == 20
    np.testing.assert_array_equal(
        run(settings, log=lambda values, step: again.update({step: values}), state=state).test, first.test
    )
    assert again == seen


def test_epochs_end_a_training_whose_learning_rate_follows_the_steps(run, parts) -> None:
    batches = -(-len(parts.train.images) // 32)
    seen = {}
    run(job(steps=10 * batches, epochs=2), log=lambda values, step: seen.update({step: values}))
    assert max(seen) == 2 * batches
    whole = {}
    run(job(steps=10 * batches, validations=5), log=lambda values, step: whole.update({step: values}))
    assert seen[2 * batches]["seed_0/loss"] == whole[2 * batches]["seed_0/loss"]


def test_the_encoder_learns_at_its_share_of_the_rate(model, parts, files) -> None:
    """One step of SGD: an update is proportional to the rate, and the gradients do not depend on it."""

    def moved(share: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        classifier = Classifier(model)
        torch.nn.init.normal_(classifier.head.weight)
        before = {name: value.clone() for name, value in classifier.named_parameters()}
        tuning = Finetuning(model, ImageStore(files.images), parts, job(encoder_rate=share))
        tuning._step(classifier, tuning._optimiser(classifier), tuning._draw(0, 0))
        return {name: value.detach() - before[name] for name, value in classifier.named_parameters()}

    whole, tenth, none = moved(1.0), moved(0.1), moved(0.0)
    for name, change in whole.items():
        of_head = name.startswith("head")
        torch.testing.assert_close(tenth[name], change if of_head else 0.1 * change, rtol=1e-3, atol=1e-7)
        assert whole[name].any()
        assert of_head or not none[name].any()


def test_a_head_may_begin_with_a_norm(model) -> None:
    torch.manual_seed(0)
    classifier = Classifier(model, findings=3, head_norm=True)
    images = torch.rand(2, model.settings.image.input_size, model.settings.image.input_size)
    pooled = classifier.encoder.pool(classifier.encoder.tokens(classifier.encoder.normalise(images)))
    normed = (pooled - pooled.mean(1, keepdim=True)) / (pooled.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(classifier(images), normed @ classifier.head[1].weight.T)


def test_the_setting_gives_the_head_its_norm(run) -> None:
    plain, normed = (run(job(steps=4, head_norm=each)).test for each in (False, True))
    assert not np.allclose(plain, normed)
