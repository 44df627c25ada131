"""Fabricated results of the stages before pre-training, in their own records. The numbers are those of no data set."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from evaluation_results import SIZE

from stages.common.data.manifest import Manifest
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.records import write_record
from stages.label_images.contract import Card, CardFinding, CardPart, CardRemainder, CardSplit
from stages.pair_images_reports.contract import Audit, Fingerprint, PairSplit, RecurringTexts, SeveralImages
from stages.pair_images_reports.fingerprint import Intensity, report_statistics
from stages.split_reports.contract import (
    Bins,
    Boilerplate,
    Quality,
    QualityReports,
    QualitySentences,
    QualityWords,
    WorstSentence,
)
from stages.summarize.results_tree import ResultsTree


def write_images(layout: ResultsTree, dataset: str, images: int, reasons: Mapping[str, int]) -> None:
    """Manifest and rejects of a data set; what is evaluated alone has no reports."""
    folder, rejects = layout.folder("dicom_to_arrow", dataset), sum(reasons.values())
    _write_rejects(folder / "rejects.arrow", dataset, reasons)
    manifest = Manifest(dataset=dataset, size=SIZE, indexed=images + rejects, images=images, rejects=rejects,
                        pictures=images, shards=[])  # fmt: skip
    write_record(folder / "manifest.json", manifest)
    if dataset != layout.pretrain_on:
        write_rows(layout.folder("index_inputs", dataset) / "reports.arrow", schemas.REPORTS, [])


def write_duplicates(layout: ResultsTree) -> None:
    """Two copies by UID within mimic_cxr, three by pixels over mimic_cxr and rsna, two groups of two within rsna."""
    groups = [("instance", "1.2", ["mimic_cxr"] * 2), ("pixels", "aa", ["mimic_cxr", "mimic_cxr", "rsna"]),
              ("pixels", "bb", ["rsna"] * 2), ("pixels", "cc", ["rsna"] * 2)]  # fmt: skip
    rows = [
        {"kind": kind, "value": value, "dataset": dataset, "image_id": f"{value}{n}"}
        for kind, value, datasets in groups
        for n, dataset in enumerate(datasets)
    ]
    write_rows(layout.folder("dicom_to_arrow") / "duplicates.arrow", schemas.DUPLICATES, rows)


def write_reports(layout: ResultsTree) -> None:
    """1,502 reports, of which 1,500 have three sentences each."""
    dataset = layout.pretrain_on
    reports = [{"study_id": f"s{n}", "patient_id": f"p{n}", "distributed_split": None, "path": f"{n}.txt",
                "text": None} for n in range(1502)]  # fmt: skip
    write_rows(layout.folder("index_inputs", dataset) / "reports.arrow", schemas.REPORTS, reports)
    folder = layout.folder("split_reports", dataset)
    sentence = {"section": "findings", "position": 0, "start": 0, "end": 9, "text": "No change", "token_ids": [1]}
    rows = [{"study_id": f"s{n // 3}"} | sentence for n in range(4500)]
    write_rows(folder / "sentences.arrow", schemas.SENTENCES, rows)
    _write_rejects(folder / "rejects.arrow", dataset, {"no_sentence": 2})
    write_record(folder / "quality.json", _quality())


def _quality() -> Quality:
    """Three kinds of worst sentences, without their text."""
    edges = [1, 2, 3, 5, 8, 12, 16, 24]
    return Quality(
        reports=QualityReports(total=1502, split=1500, rejected={"no_sentence": 2}, by_fallback=31, encodings={}),
        sections={"findings": 3300, "impression": 1200},
        sentences=QualitySentences(total=4500, unique=1700, over_long=3, max_pieces=254),
        words=QualityWords(
            in_reports=90_000, kept=36_000, boilerplate=400, share_of_reports=0.4, share_of_sections=36_000 / 36_400
        ),
        sentences_a_report=Bins(edges=edges, counts=[100, 200, 900, 200, 100, 0, 0, 0]),
        words_a_sentence=Bins(edges=edges, counts=[10, 90, 600, 1900, 1300, 500, 100, 0]),
        pieces_a_sentence=Bins(edges=edges, counts=[0, 50, 400, 1800, 1400, 700, 100, 50]),
        boilerplate=[Boilerplate(kind="signed by", sentences=120, words=400)],
        worst=[
            WorstSentence(kind=kind, study_id=f"s{n}", position=n % 5, number=60 - n, occurrences=1)
            for kind in ("longest", "shortest", "most_digits")
            for n in range(50)
        ],
    )


def write_pairs(layout: ResultsTree) -> None:
    """Audit, rejects and fingerprint of 1,997 pairs."""
    dataset, folder = layout.pretrain_on, layout.folder("pair_images_reports", layout.pretrain_on)
    rejects = {"image_without_report": 3, "report_without_image": 1, "duplicate_pixels_across_splits": 0}
    _write_rejects(folder / "rejects.arrow", dataset, rejects)
    splits = {
        part: PairSplit(pairs=n, studies=n - 9, patients=n // 2, copies_of_pixels=2, copies_of_text=7)
        for part, n in {"train": 1800, "validation": 157, "test": 40}.items()
    }
    audit = Audit(
        dataset=dataset,
        images=2000,
        reports=1500,
        pairs=1997,
        rejects=rejects,
        split_by="patient",
        images_with_distributed_split=0,
        splits=splits,
        studies_with_several_images=SeveralImages(count=300, share=0.2, most_images=3),
        patients_in_several_splits=0,
        pixels_in_several_splits=0,
        pixels_of_several_patients=0,
        report_texts_in_several_splits=RecurringTexts(texts=17, reports_also_in_train={"validation": 12, "test": 5}),
        pairs_digest="fe" * 32,
    )
    write_record(folder / "audit.json", audit)
    write_record(folder / "fingerprint.json", _fingerprint(audit))


def _fingerprint(audit: Audit) -> Fingerprint:
    draw = np.random.default_rng(0)
    levels = np.clip(128 + 60 * draw.normal(size=20_000), 0, 255).astype(np.uint8)
    lengths = draw.poisson(5, 1400) + 1
    texts = [f"Sentence {'abcdefghij'[min(n, 9)]} of {n}." for n in draw.geometric(0.2, lengths.sum())]
    spoken = pl.DataFrame({"study_id": np.repeat(np.arange(1400), lengths).astype(str), "text": texts,
                           "pieces": draw.integers(3, 40, lengths.sum())})  # fmt: skip
    return Fingerprint(
        dataset=audit.dataset,
        pairs_digest=audit.pairs_digest,
        splits=audit.splits,
        views={"train": {"PA": 1100, "AP": 688, "unknown": 12}, "validation": {"AP": 157}, "test": {"PA": 40}},
        intensity=Intensity(1800, np.bincount(levels, minlength=256)).record(),
        reports=report_statistics(spoken, publish_samples=False),
        rejects={},
    )


def write_card(layout: ResultsTree, dataset: str, finding: str) -> None:
    """Card of 720 labelled images in three equal parts."""
    part = CardSplit(images=240, patients=200, positives=96, prevalence=0.4, sha256="ab" * 32)
    rejects = {"label_without_image": 0, "image_without_label": 1, "lung_mask_without_image": 0}
    card = Card(
        dataset=dataset,
        findings={
            finding: CardFinding(
                labelled=60,
                positives=24,
                uncertain=0,
                uncertain_as="ignore",
                boxes=0,
                masks=0,
                splits=dict.fromkeys(("train", "validation", "test"), CardPart(images=20, positives=8)),
                subsets={},
            )
        },
        license="for research",
        how_to_get="from its owner",
        images=721,
        labelled=720,
        positives=288,
        boxes=310,
        boxes_beyond_the_edge=0,
        masks=0,
        masks_of_overlapping_regions=0,
        lung_masks=720,
        split_by="patient",
        seed=0,
        shares=None,
        splits=dict.fromkeys(("train", "validation", "test"), part),
        subsets={100: part},
        pixels_in_several_splits=0,
        rejects={reason: CardRemainder(count=n, first=["secret-id"][:n]) for reason, n in rejects.items()},
    )
    write_record(layout.folder("label_images", dataset) / "card.json", card)


def _write_rejects(path: Path, dataset: str, reasons: Mapping[str, int]) -> None:
    rows = [
        {"dataset": dataset, "source_id": f"{reason}{number}", "reason": reason, "message": "-"}
        for reason, count in reasons.items()
        for number in range(count)
    ]
    write_rows(path, schemas.REJECTS, rows)
