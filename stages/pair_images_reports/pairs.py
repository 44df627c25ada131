"""From images and sentences to pairs, rejects, audit and fingerprint."""

from ..common.data.identifiers import ids_to_split_by
from ..common.data.image_store import ImageStore
from ..common.files.arrow_tables import conform, read_table, write_frame, write_table
from ..common.files.schemas import FILES, PAIRS, REJECTS, SENTENCES
from ..common.journal.tracking import track_job
from ..common.records import write_record
from .contract import PairImagesReportsJob
from .fingerprint import fingerprint, reject_counts
from .leakage_audit import audit, audit_metrics, refuse_shared_patients
from .pairing import drop_duplicate_pixels, join_reports, keep_one_image, pair, read_images, read_sentences


def write_pairs(job: PairImagesReportsJob) -> None:
    """Pair images with reports, and refuse or count what could leak from one split into another."""
    settings = job.settings
    with track_job(job) as run:
        store = ImageStore(job.images)
        images = read_images(store, read_table(job.files, FILES), job.files)
        sentences = read_sentences(read_table(job.sentences, SENTENCES))
        reports = join_reports(sentences)
        split_by = ids_to_split_by(job.private, store.dataset, images["patient_id"])
        before = pair(images, reports, settings.patient_split, split_by)
        refuse_shared_patients(before.pairs)
        after = drop_duplicate_pixels(before)
        if settings.images_per_study == "one":
            after = keep_one_image(after)
        audited = audit(images, reports, before, after, settings.patient_split)
        rejects = conform(after.rejects, REJECTS)
        counts = reject_counts({
            "dicom_to_arrow": read_table(job.image_rejects, REJECTS),
            "split_reports": read_table(job.report_rejects, REJECTS),
            "pair_images_reports": rejects,
        })  # fmt: skip
        described = fingerprint(store, after.pairs, sentences, audited, counts, settings)
        write_frame(job.pairs, PAIRS, after.pairs)
        write_table(job.rejects, REJECTS, rejects)
        write_record(job.audit, audited)
        write_record(job.fingerprint, described)
        grey = described.intensity
        run.log_metrics(audit_metrics(audited) | {"mean": grey.mean, "standard_deviation": grey.standard_deviation})
        run.log_tag("pairs_digest", audited.pairs_digest)
        panels: dict[str, dict[str, int]] = {unit: {part: getattr(each, unit) for part, each in audited.splits.items()}
                                             for unit in ("patients", "studies", "pairs")}  # fmt: skip
        run.pictures.bars("splits.svg", panels | {"rejects by reason": audited.rejects})
