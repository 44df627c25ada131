"""Settings and outputs of pre-training.

Defaults of schedule, AdamW, masking and grey values are those of a related method, MaCo; where its public code does
otherwise, config.yaml has all of its settings (variants.maco_settings).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..common.contract import Job, device_option, option, product, source
from ..common.encoders.settings import AugmentationSettings, DualEncoderSettings, EncoderRecord, ImageEncoderSettings
from ..common.records import Count, Record
from ..common.settings import Settings
from .learning_curve import CURVE

IntegrityKind = Literal["softplus", "share", "none"]
ScoreKind = Literal["entropic", "transport", "attention"]

_SMALLEST_EPSILON_OF_POT = 0.003  # exp(-2 / 0.003) is still a normal float64


class ContrastiveSettings(Settings):
    """The masked contrastive loss with semantic integrity."""

    integrity: IntegrityKind = Field("softplus", description="form of the integrity s_i (docs/method.md)")
    integrity_learning_rate_factor: float = Field(0.1, gt=0, description="learning rate of phi / learning_rate")
    integrity_decay: bool = Field(
        False,
        exclude_if=lambda value: not value,  # trainings from before there was a choice keep their digest
        description="apply optimisation.weight_decay to phi, as MaCo does",
    )
    temperature: float = Field(0.07, gt=0, description="initial tau; learned")


class LocalSettings(Settings):
    """The matching of patches and sentences, by optimal transport or by attention as its baseline."""

    weight: float = Field(1.0, ge=0, description="lambda_l; 0: no local loss")
    score: ScoreKind = Field(
        "entropic",
        description="entropic: 1 - the minimum; transport: sum T (1 - C) with the plan T detached; "
        "attention: sentences attend to patches, as in GLoRIA (patches, epsilon, rho, solver, tolerance and "
        "max_iterations are unused)",
    )
    solver: Literal["batched", "pot"] = Field(
        "batched",
        description="transport solver. batched: all pairs at once, compared with POT at every logged step; "
        "pot: POT, pair by pair in double precision, a slow reference (tolerance and max_iterations are unused)",
    )
    attention_temperature: float = Field(
        0.25, gt=0, description="attention: temperature of the softmax over patches (GLoRIA)"
    )
    sentence_temperature: float = Field(
        0.2, gt=0, description="attention: temperature of the sum over sentences (GLoRIA)"
    )
    patches: Literal["uniform", "integrity"] = Field(
        "uniform", description="mu, the patch marginal; integrity: softmax(phi), detached"
    )
    sentences: Literal["uniform", "idf"] = Field(
        "idf", description="nu, the sentence marginal; idf: rare sentences weigh more"
    )
    epsilon: float = Field(0.1, gt=0, description="entropic regularisation, in units of 1 - cosine")
    rho: Literal["balanced"] | Annotated[float, Field(ge=0)] = Field(
        "balanced",
        description="strength of the constraint mu; balanced: a hard constraint (our reading of the paper); "
        "0: closed form",
    )
    tolerance: float = Field(1e-2, gt=0, description="marginal error (L1) at which the solver stops")
    max_iterations: int = Field(50, gt=0, description="maximum iterations of the solver")
    temperature: float = Field(0.07, ge=0.01, description="initial tau_l; learned, at least .01")
    group: int = Field(
        256, gt=1, description="pairs compared with each other in the local loss, whatever the batch size"
    )

    @model_validator(mode="after")
    def _pot_can_solve_it(self) -> "LocalSettings":
        if self.solver == "pot" and not self.suits_pot:
            raise ValueError(
                f"solver: pot underflows for epsilon {self.epsilon} with a finite rho; raise epsilon to at least "
                f"{_SMALLEST_EPSILON_OF_POT}, or set rho: balanced"
            )
        return self

    @property
    def suits_pot(self) -> bool:
        """Return whether POT can solve it.

        With a finite rho its kernel exp(-C / epsilon) must not underflow, for C up to 2.
        """
        return self.rho == "balanced" or self.epsilon >= _SMALLEST_EPSILON_OF_POT

    @property
    def patch_strength(self) -> float:
        """Return rho as a number; infinity is balanced transport."""
        return math.inf if self.rho == "balanced" else self.rho


class SentenceSettings(Settings):
    """Sentences of a report that a step reads; by default all of them."""

    keep: Annotated[int, Field(gt=0)] | Literal["random"] | None = Field(
        None,
        description="sentences drawn at random from each longer report, anew at each step; random: of a report of n "
        "sentences 1 to n, every number as likely, as in MaCo; null: all",
    )
    shuffle: bool = Field(False, description="shuffle the sentences (has an effect with context: report)")


class ReconstructionSettings(Settings):
    """Masked image prediction."""

    weight: float = Field(1.0, ge=0, description="lambda_m; 0: no reconstruction")
    normalise: bool = Field(True, description="standardise each patch before comparison (MAE's norm_pix_loss)")
    target_size: int | None = Field(
        None,
        gt=0,
        exclude_if=lambda value: value is None,  # trainings from before there was a choice keep their digest
        description="side of the image whose patches are predicted, pixels: a multiple of the patches along a side; "
        "the encoder sees it reduced to model.image.input_size. MaCo: 448. null: the input itself",
    )
    width: int = Field(512, gt=0, description="channels of the decoder")
    depth: int = Field(4, gt=0, description="blocks of the decoder")
    heads: int = Field(16, gt=0, description="attention heads of the decoder")


class OptimisationSettings(Settings):
    """Optimiser, schedule, batch and precision."""

    epochs: int = Field(51, ge=0, description="passes over the training studies; 0 keeps the initial weights")
    warmup_epochs: float = Field(2, ge=0, description="linear warm-up of the learning rate, then cosine decay")
    batch_size: int = Field(256, gt=1, description="pairs per step over all GPUs; a multiple of the number of GPUs")
    accumulate: int = Field(
        1,
        gt=0,
        exclude_if=lambda value: value == 1,  # trainings from before there was a choice keep their digest
        description="batches per update (step) of the weights, by the mean of their gradients. Each is compared within "
        "itself, so negatives do not grow, unlike with a larger batch_size; logged numbers are means over them",
    )
    micro_batch: int | None = Field(
        None,
        gt=0,
        description="pairs whose activations a GPU holds at once (of text, about as many); null: all of its pairs. "
        "The losses still see the whole batch (GradCache, Gao et al. 2021), at the cost of a second forward pass of "
        "the encoders",
    )
    recompute: bool = Field(
        False,
        description="keep only the input of each layer for the backward pass, which runs the layers again: about a "
        "quarter more time by count, a third of the memory",
    )
    learning_rate: float = Field(2.5e-4, gt=0, description="peak learning rate, AdamW")
    image_rate_factor: float = Field(1.0, gt=0, description="learning rate of the image encoder / learning_rate")
    text_rate_factor: float = Field(1.0, gt=0, description="learning rate of the text encoder / learning_rate")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="learning rate of a layer / that of the layer above, in both encoders; 1: equal rates",
    )
    frozen_text_layers: int = Field(
        0, ge=0, description="number of lowest text encoder layers to freeze; above 0 the embeddings are frozen, too"
    )
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW")
    weight_decay: float = Field(
        0.05,
        ge=0,
        description="AdamW; not applied to biases, norms, position embeddings, temperatures and, without "
        "contrastive.integrity_decay, phi",
    )
    clip_norm: float | None = Field(1.0, gt=0, description="gradient clipping norm; null: gradients are not clipped")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs under autocast; transport stays fp32")
    compiled: Literal["auto"] | bool = Field(
        "auto",
        description="torch.compile of the image encoder and the decoder (constant shapes). auto: on a GPU, where it "
        "works (Triton, a C compiler) and deterministic is false; true: also on a CPU, refused where it does not work",
    )
    deterministic: bool = Field(
        False, description="bitwise reproducible runs on the same hardware (always so on a CPU); slower on a GPU"
    )
    candidates: int = Field(
        5, gt=0, description="number of candidates kept for select_checkpoint, evenly spaced over the training"
    )


class PretrainSettings(Settings):
    """Settings of pre-training one variant."""

    seed: int = Field(0, description="seed of weights, batches, masks and augmentation")
    resume_from: str | None = Field(
        None,
        description="state to resume from (state/pretrain/<variant>/<digest>/step_<n>.pt), whatever its settings, "
        "data and code; recorded in the journal. null: only a state of exactly these settings, data and code",
    )
    data_share: float = Field(
        1.0,
        gt=0,
        le=1,
        exclude_if=lambda value: value == 1,  # trainings from before there was a choice keep their digest
        description="share of the training patients whose studies are read: whole patients, the same for every seed; "
        "smaller shares lie within larger ones. Validation, tokenizer and normalisation are those of all. An epoch is "
        "a pass over the share, so steps shrink with it",
    )
    model: DualEncoderSettings = DualEncoderSettings()
    normalisation: Literal["dataset", "given"] = Field(
        "dataset",
        description="how grey values are standardised. dataset: mean and standard deviation of the training pixels "
        "(fingerprint.json); given: model.image.mean and .standard_deviation, which some initial weights need",
    )
    mask_ratio: float = Field(0.5, ge=0, lt=1, description="r, share of hidden patches")
    unmasked_epochs: int = Field(
        0,
        ge=0,
        exclude_if=lambda value: value == 0,  # trainings from before there was a choice keep their digest
        description="last epochs in which nothing is hidden, as FLIP tunes (Li et al., CVPR 2023): no reconstruction; "
        "decoder and phi stay as they are. A step then needs more memory and time: with mask_ratio .5, twice the image "
        "encoder's (docs/method.md)",
    )
    contrastive: ContrastiveSettings = ContrastiveSettings()
    local: LocalSettings = LocalSettings()
    reconstruction: ReconstructionSettings = ReconstructionSettings()
    sentences: SentenceSettings = SentenceSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    optimisation: OptimisationSettings = OptimisationSettings()

    @model_validator(mode="after")
    def _no_number_is_given_in_vain(self) -> "PretrainSettings":
        default, image = ImageEncoderSettings(), self.model.image
        given = (image.mean, image.standard_deviation) != (default.mean, default.standard_deviation)
        if given and self.normalisation == "dataset":
            raise ValueError("model.image.mean or .standard_deviation is given: set `normalisation: given` to use it")
        return self

    @model_validator(mode="after")
    def _patches_are_left_and_masked(self) -> "PretrainSettings":
        patches = self.model.image.patches
        visible = round((1 - self.mask_ratio) * patches)
        if not visible:
            most = math.floor(1000 * (1 - 1 / patches)) / 1000
            raise ValueError(f"mask_ratio {self.mask_ratio} leaves none of {patches} patches; give at most {most}")
        target, grid = self.reconstruction.target_size, self.model.image.grid
        if target is not None and (target % grid or target < self.model.image.input_size):
            raise ValueError(
                f"reconstruction.target_size {target} must be a multiple of the {grid} patches along a side, and at "
                f"least model.image.input_size {self.model.image.input_size}"
            )
        if self.reconstruction.weight and visible == patches:
            raise ValueError(
                f"reconstruction.weight > 0, but mask_ratio {self.mask_ratio} masks none of {patches} patches: nothing "
                "would be reconstructed; raise mask_ratio, or set reconstruction.weight: 0"
            )
        if self.optimisation.epochs and self.unmasked_epochs:  # 0 epochs train nothing, masked or not
            self._masking_ends(visible == patches)
        return self

    def _masking_ends(self, nothing_is_masked: bool) -> None:
        epochs = self.optimisation.epochs
        if self.unmasked_epochs > epochs:
            raise ValueError(
                f"unmasked_epochs {self.unmasked_epochs} exceeds optimisation.epochs {epochs}; set it to at most that"
            )
        if nothing_is_masked:
            raise ValueError(
                f"unmasked_epochs {self.unmasked_epochs} has no effect, since mask_ratio {self.mask_ratio} masks "
                "nothing in any epoch; set unmasked_epochs: 0"
            )

    @property
    def drawn_size(self) -> int:
        """Return the side at which training images are drawn, pixels: that of what is predicted, else of the input."""
        target = self.reconstruction.target_size if self.reconstruction.weight else None
        return target or self.model.image.input_size


RECOVERED = "recovered"  # begins the tag of an alarm that is over


class Candidate(Record):
    """The weights of the encoders after one step; `path` is relative to candidates.json."""

    step: Count
    path: str
    sha256: str


class Provenance(Record):
    """Origin of a training: weights, data, settings and code."""

    starting_weights: dict[str, str] = Field(description="per encoder: id, revision, license")
    digests: dict[str, str] = Field(description="digests of settings, data, code and image")
    studies: Count
    fingerprint: str = Field(description="sha256 of fingerprint.json")
    resumed_from: str | None
    seed: int


class Candidates(Record):
    """Contents of candidates.json: the candidates of a finished training."""

    steps: Count
    mask_ratio: float = Field(description="share of patches that training hides, in its masked epochs")
    validated_mask_ratio: float = Field(
        description="share that the validation loss hides, for every candidate alike: that of training, or 0 where "
        "training ends without masks"
    )
    provenance: Provenance
    lost: list[int] = Field(description="steps whose candidates were found damaged and left out")
    encoder: EncoderRecord
    candidates: list[Candidate]


@dataclass(frozen=True, kw_only=True)
class PretrainJob(Job):
    """Pre-train one variant with the objective of MLIP.

    The training state is kept in `--state`, in a folder named by the digest of settings, data, code and image: the same
    digest resumes. It stays until a workflow has ended well (stages/common/training/served_states.py). Pre-trained
    weights that the settings name are local files: nothing is downloaded.
    """

    stage = "pretrain"
    place = "{variant}"
    is_kept = False  # several processes; it resumes from its own states
    over = "variant"

    settings: PretrainSettings
    pairs: Path = source("pair_images_reports", "pairs.arrow")
    sentences: Path = source("split_reports", "sentences.arrow")
    tokenizer: Path = source("split_reports", "tokenizer", stands="tokenizer.json")
    images: Path = source("dicom_to_arrow", "manifest.json")
    fingerprint: Path = source("pair_images_reports", "fingerprint.json", help="normalisation")
    image_weights: Path | None = source(
        optional=True, tracked=False, help="local file or folder of model.image.weights"
    )
    text_weights: Path | None = source(optional=True, tracked=False, help="local file or folder of model.text.weights")
    state: Path = option("folder of the states from which a killed job resumes")
    save_minutes: float = option("time between two saves of the state", default=10.0, ge=0)
    candidates: Path = product("candidates.json", record=Candidates, help="index of the candidates")
    weights: Path = product("candidates", stands="*", tracked=False, help="folder of weights-only candidates")
    curve: Path = product("learning_curve.csv", columns=CURVE, publish=True, summary=True)
    profile: int = option("write the profile of N steps (profile/)", default=0, ge=0)
    processes: int = option("on this node, one per GPU; more than one: started by torchrun", default=1, ge=1)
    nodes: int = option("nodes of this training, each of which calls the stage", default=1, ge=1)
    node_index: int = option("number of this node, from 0", default=0, ge=0)
    rendezvous: str = option("HOST:PORT of node 0, which several nodes need", default="")
    device: str = device_option()
