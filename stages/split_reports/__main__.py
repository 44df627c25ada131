"""Report text -> sections -> sentences with character offsets -> word pieces.

Settings: sections, sections_fallback, max_pieces, publish_samples, tokenizer, patient_split (see contract.py).
Inputs:   --reports (REPORTS of index_inputs), the text files under --root that it names, tokenizer.weights.
Outputs:  --sentences (SENTENCES), --rejects (REJECTS), --quality (JSON, see quality.py), --tokenizer (a folder that
          BertTokenizer.from_pretrained reads).
Every report ends in at least one sentence or in exactly one reject.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.private_sources import reveal
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.arrow_tables import read_table, write_rows, write_table
from ..common.files.atomic_files import write_record
from ..common.journal.tracking import track
from .contract import SplitReportsSettings
from .quality import quality_of
from .reports import piece_counts, sentence_batches, split_all, training_sentences
from .tokenizer import read_tokenizer, token_ids_of, train_tokenizer, weights_file, write_tokenizer


def main(arguments: Namespace) -> None:
    settings, chosen = arguments.settings, arguments.settings.tokenizer
    if not arguments.root.is_dir():
        raise InputError(f"--root {arguments.root}: no such folder", remedy="name the data set's root")
    source = weights_file(chosen.weights, arguments.tokenizer_weights)
    inputs = {"reports": arguments.reports} | ({"tokenizer": source} if source else {})
    reports = reveal(read_table(arguments.reports, schemas.REPORTS), arguments.private)
    with track("split_reports", arguments.name, journal=arguments.journal, settings=settings,
               inputs=inputs, image=arguments.image) as run:  # fmt: skip
        result = split_all(reports, arguments.root, arguments.dataset or arguments.name, settings)
        run.log_metrics(result.counts)
        write_rows(arguments.rejects, schemas.REJECTS, result.rejects)
        if not result.texts:
            raise InputError(
                f"{arguments.reports}: no report has a sentence", remedy=f"{arguments.rejects} says why for each"
            )
        if source:
            tokenizer = read_tokenizer(source, chosen.do_lower_case)
        else:
            tokenizer = train_tokenizer(training_sentences(result), chosen.vocabulary_size, chosen.do_lower_case)
        write_tokenizer(arguments.tokenizer, tokenizer, chosen)
        token_ids = token_ids_of(tokenizer, list(result.texts))
        write_table(arguments.sentences, schemas.SENTENCES, sentence_batches(result, token_ids))
        quality = quality_of(result, token_ids, settings)
        write_record(arguments.quality, quality)
        run.log_metrics(piece_counts(result, token_ids, tokenizer) | {"over_long": quality["sentences"]["over_long"]})
        tables = (arguments.sentences, arguments.rejects, arguments.quality)
        for output in (*tables, arguments.tokenizer / "tokenizer.json"):
            run.log_artifact(output)


def parser() -> ArgumentParser:
    stage = stage_parser("split_reports", __doc__, SplitReportsSettings)
    stage.add_argument("--root", type=Path, required=True, help="folder of the data set, as distributed")
    stage.add_argument("--dataset", default="", help="name of the data set in the rejects; default: --name")
    stage.add_argument("--reports", type=Path, required=True, help="Arrow table of reports, of index_inputs")
    stage.add_argument("--private", type=Path, help="folder of the key; needed where identifiers are keyed")
    stage.add_argument("--tokenizer-weights", type=Path, help="folder that tokenizer.weights names")
    stage.add_argument("--sentences", type=Path, required=True, help="output: Arrow table of sentences")
    stage.add_argument("--rejects", type=Path, required=True, help="output: Arrow table of rejected reports")
    stage.add_argument("--quality", type=Path, required=True, help="output: counts and the worst sentences, as JSON")
    stage.add_argument("--tokenizer", type=Path, required=True, help="output: folder of the tokenizer")
    return stage


if __name__ == "__main__":
    run_stage(main, parser())
