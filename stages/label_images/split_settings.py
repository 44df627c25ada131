"""Settings of how labelled images are split; a part of the contract, as light as that."""

from pydantic import Field, model_validator

from ..common.settings import Settings


class SplitShares(Settings):
    """Shares of patients (of images where patients are unknown) in each part."""

    train: float = Field(0.70, ge=0, le=1, description="share for training (GLoRIA, MGCA: 70/15/15)")
    validation: float = Field(0.15, ge=0, le=1, description="share for thresholds, prompts and early stopping")
    test: float = Field(0.15, ge=0, le=1, description="share for the reported scores")

    @model_validator(mode="after")
    def _sums_to_one(self) -> "SplitShares":
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {self.train + self.validation + self.test:g}: make it 1")
        return self


class SplitLists(Settings):
    """A split of your own: one list per part, or one CSV with a column that names the part of each row.

    A list is a CSV, or a .txt with one id a line. A list of test images alone is a split, too, for evaluations that
    learn and choose nothing. Rows that repeat an image are one image; one that is in two parts stays in both, and
    audit_splits decides.
    """

    train: str | None = Field(None, description="CSV of training images, relative to the root or absolute")
    validation: str | None = Field(None, description="CSV of validation images; null: drawn from the training list")
    validation_share: float = Field(
        0, ge=0, lt=1, description="share of the patients of the training list that are for validation, without a list"
    )
    test: str | None = Field(None, description="CSV of test images")
    table: str | None = Field(None, description="one CSV of all images instead of three")
    image_id: str = Field("image_id", description="column of the image ids, as distributed (RSNA: patientId)")
    split: str = Field("split", description="column of `table` that names the part: train, validation (or val), test")

    @model_validator(mode="after")
    def _one_form(self) -> "SplitLists":
        drawn = self.validation_share > 0
        each = [self.train, self.validation, self.test]
        needed = [self.train, self.test] if drawn else each
        if (each.count(None) < 3) if self.table else (None in needed and not self.test_alone):
            raise ValueError(
                "name either `table`, or all of `train`, `validation` (or its share) and `test`, or `test` alone"
            )
        if drawn and (self.validation is not None or self.table is not None or self.test_alone):
            raise ValueError("`validation_share` draws from the list `train`, where there is no list `validation`")
        return self

    @property
    def test_alone(self) -> bool:
        """Return whether there is a list of test images and no other."""
        return self.test is not None and self.train is None and self.validation is None

    def files(self) -> list[str]:
        """Return the names of the CSV files."""
        return [name for name in (self.table, self.train, self.validation, self.test) if name is not None]
