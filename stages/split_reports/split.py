"""From the table of reports to sentences, rejects, quality and tokenizer."""

import sys
from pathlib import Path

from tokenizers import Tokenizer

from ..common.data.identifiers import ids_to_split_by
from ..common.data.private_sources import how_to_name, reveal
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.arrow_tables import read_table, write_rows, write_table
from ..common.files.rooted_files import check_folders
from ..common.journal.tracking import Run, track_job
from ..common.records import write_record
from .contract import SplitReportsJob, SplitReportsSettings
from .languages import better_language
from .quality import quality_of
from .reports import SplitReports, piece_counts, sentence_batches, split_all, training_sentences
from .tokenizer import read_tokenizer, token_ids_of, train_tokenizer, weights_file, write_tokenizer


def split_reports(job: SplitReportsJob) -> None:
    """Split all reports, read or train the word pieces, and write the results."""
    settings = job.settings
    check_folders(job.root, job.roots, job.private)
    weights = weights_file(settings.tokenizer.weights, job.tokenizer_weights)
    reports = reveal(read_table(job.reports, schemas.REPORTS), job.private)
    with track_job(job, more={"tokenizer": weights} if weights else None) as run:
        dataset = job.dataset or job.name
        split_by = ids_to_split_by(job.private, dataset, reports["patient_id"].to_pylist())
        result = split_all(reports, job.root, dataset, settings, job.roots, split_by)
        run.log_metrics(result.counts)
        write_rows(job.rejects, schemas.REJECTS, result.rejects)
        if not result.texts:
            raise InputError(f"{job.reports}: no report has a sentence", f"see the reasons in {job.rejects}")
        tokenizer = _tokenizer(job, weights, result)
        write_tokenizer(job.tokenizer, tokenizer, settings.tokenizer)
        token_ids = token_ids_of(tokenizer, list(result.texts))
        write_table(job.sentences, schemas.SENTENCES, sentence_batches(result, token_ids))
        quality = quality_of(result, token_ids, settings)
        write_record(job.quality, quality)
        run.log_metrics(piece_counts(result, token_ids, tokenizer) | {"over_long": quality.sentences.over_long})
        lengths = {"reports by sentences": quality.sentences_a_report, "sentences by words": quality.words_a_sentence,
                   "sentences by word pieces": quality.pieces_a_sentence}  # fmt: skip
        run.pictures.histograms("lengths.svg", {title: each.named for title, each in lengths.items()})
        rejected = quality.reports.rejected
        run.pictures.bars("sections.svg", {"sentences by section": quality.sections, "rejects by reason": rejected})
        _warn(job, result, run)


def _warn(job: SplitReportsJob, result: SplitReports, run: Run) -> None:
    """Say on the terminal and in the journal where headers seem to be unknown, and where text was lost."""
    counts, settings = result.counts, job.settings
    name, read = job.dataset or job.name, counts["reports_read"]
    if counts["rejects"]:
        how = how_to_name(job.rejects)
        _say(run, "warning_rejects", f"{name}: {counts['rejects']} of {counts['reports']} reports were rejected; "
             f"{f'`{how}` names each' if how else f'the reasons are in {job.rejects}'}")  # fmt: skip
    if warning := _about_headers(name, result, settings):
        _say(run, "warning_headers", warning)
    if counts["reports_losing_unheaded"]:
        _say(run, "warning_unheaded", f"{name}: {counts['reports_losing_unheaded']} of {read} reports lose text under "
             f"no header beside {', '.join(settings.sections)}, the first are named in {job.quality}; to keep it, set "
             "split_reports.keep_unheaded: true")  # fmt: skip


def _about_headers(name: str, result: SplitReports, settings: SplitReportsSettings) -> str | None:
    """Return the warning that headers are those of another language, or of none that is known."""
    without, read = result.counts["reports_without_header"], result.counts["reports_read"]
    if 2 * without > read:
        unknown = f"{name}: {without} of {read} reports have no header of {settings.language} reports; "
        fit = better_language(result.first_headerless, settings.language, settings.headers)
        if fit is None:
            return f"{unknown}set split_reports.language or split_reports.headers, unless they are plain text"
        which = f"{fit.looked_at} of them" if fit.looked_at == without else f"the first {fit.looked_at} of them"
        return (f"{unknown}`split_reports: {{language: {fit.language}}}` would find headers in {fit.reports} of "
                f"{which}")  # fmt: skip
    fit = better_language(result.first_texts, settings.language, settings.headers)
    if fit is None:
        return None
    which = "reports" if fit.looked_at == read else "reports looked at"
    return (f"{name}: in {fit.looked_at} {which}, headers of {fit.language} reports open clearly more sections than "
            f"those of {settings.language} reports, whose sections lack the text of the others; set "
            f"split_reports.language: {fit.language}")  # fmt: skip


def _say(run: Run, tag: str, warning: str) -> None:
    run.log_tag(tag, warning)
    print(f"warning: {warning}", file=sys.stderr)


def _tokenizer(job: SplitReportsJob, weights: Path | None, result: SplitReports) -> Tokenizer:
    """Read the tokenizer of the file `weights`, or train one on the reports of training patients."""
    chosen = job.settings.tokenizer
    if weights:
        return read_tokenizer(weights, chosen.do_lower_case)
    assert chosen.vocabulary_size is not None  # the settings' validator has checked it
    return train_tokenizer(training_sentences(result), chosen.vocabulary_size, chosen.do_lower_case)
