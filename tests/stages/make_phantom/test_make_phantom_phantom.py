"""The phantom as a whole: reproducible, reconciled with its manifest, safe to write again."""

import hashlib
from pathlib import Path

import pytest

from stages.common.command_line import run_stage
from stages.common.errors import InputError
from stages.common.files.atomic_files import read_json
from stages.common.records import parse_record, read_record
from stages.make_phantom.__main__ import WORK
from stages.make_phantom.contract import FINDINGS, MakePhantomSettings, PhantomManifest, Truth
from stages.make_phantom.file_tree import MARKER
from stages.make_phantom.patients import images_of_patients
from stages.make_phantom.phantom import make_phantom

TINY = MakePhantomSettings(mimic_patients=5, rsna_images=4, siim_images=4, bad_inputs=4, workers=1)
FOLDERS = ("mimic_cxr", "rsna", "siim", "truth")


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_same_seed_same_bytes_whatever_the_number_of_workers(tmp_path):
    first = make_phantom(TINY, tmp_path / "one")
    second = make_phantom(TINY.model_copy(update={"workers": 2}), tmp_path / "two")
    assert first == second
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_another_seed_gives_another_tree(tmp_path):
    few = MakePhantomSettings(mimic_patients=1, rsna_images=1, siim_images=1, bad_inputs=0, workers=1)
    digests = {make_phantom(few.model_copy(update={"seed": seed}), tmp_path / str(seed)).tree_digest for seed in (0, 1)}
    assert len(digests) == 2


def test_more_patients_leave_the_first_ones_as_they_were(tmp_path):
    few = MakePhantomSettings(mimic_patients=2, rsna_images=2, siim_images=2, bad_inputs=0, workers=1)
    make_phantom(few, tmp_path / "few")
    make_phantom(TINY.model_copy(update={"bad_inputs": 0}), tmp_path / "more")
    images = {
        name: data for name, data in _files(tmp_path / "few").items() if name.endswith(".dcm") or "/files/" in name
    }
    more = _files(tmp_path / "more")
    assert images
    assert all(more[name] == data for name, data in images.items())


def test_tree_digest_is_that_of_the_files_on_disk(small_phantom):
    root, manifest = small_phantom
    assert read_record(root / "manifest.json", PhantomManifest) == manifest
    files = {name: data for name, data in _files(root).items() if name.startswith(FOLDERS)}
    lines = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(files.items()))
    assert manifest.files == len(files)
    assert manifest.tree_digest == hashlib.sha256(lines.encode()).hexdigest()


def test_manifest_counts_what_is_on_disk(small_phantom, small_settings):
    root, manifest = small_phantom
    counts = manifest.datasets
    bad = manifest.bad_inputs
    on_disk = len(list((root / "mimic_cxr").rglob("*.dcm")))
    assert on_disk == counts["mimic_cxr"].images + bad["not_an_image"]
    assert len(list((root / "mimic_cxr" / "files").rglob("*.txt"))) == manifest.reports
    for name in ("rsna", "siim"):
        assert len(list((root / name).rglob("*.dcm"))) == counts[name].images == 60
    assert sum(bad.values()) == small_settings.bad_inputs
    assert set(counts["siim"].prevalence) == set(FINDINGS)


def test_patients_of_the_data_sets_are_disjoint_and_some_recur(small_phantom):
    root, _ = small_phantom
    patients = {}
    for name in ("mimic_cxr", "rsna", "siim"):
        images = parse_record(root / "truth" / f"{name}.json", Truth).images
        assert len({image.image_id for image in images}) == len(images)
        patients[name] = [image.patient_id for image in images]
        assert len(set(patients[name])) < len(patients[name])
    sets = [set(ids) for ids in patients.values()]
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_recurring_patients_are_a_few_percent_and_add_up():
    settings = MakePhantomSettings()
    for dataset in ("rsna", "siim"):
        counts = images_of_patients(settings, dataset, 1200)
        assert sum(counts) == 1200
        assert set(counts) == {1, 2}
        assert 0.02 < counts.count(2) / len(counts) < 0.06


def test_a_folder_of_someone_else_is_refused_and_an_earlier_phantom_replaced(tmp_path):
    (tmp_path / "rsna").mkdir()
    (tmp_path / "rsna" / "precious.dcm").write_bytes(b"real")
    with pytest.raises(InputError, match="new folder"):
        make_phantom(TINY, tmp_path)
    assert (tmp_path / "rsna" / "precious.dcm").exists()
    (tmp_path / MARKER).write_text("left by an interrupted run")
    manifest = make_phantom(TINY, tmp_path)
    assert not (tmp_path / "rsna" / "precious.dcm").exists()
    assert manifest.datasets["rsna"].images == 4


def test_command_line_writes_journal_and_names_wrong_settings(tmp_path):
    options = ["--journal", str(tmp_path / "journal.json"), "--output", str(tmp_path / "phantom")]
    run_stage(WORK, [*options, "--settings", TINY.model_dump_json()])
    journal = read_json(tmp_path / "journal.json")
    assert journal["status"] == "FINISHED"
    assert journal["artifacts"][0]["path"] == "phantom/manifest.json"
    with pytest.raises(InputError, match=r"siim_side: .*64.*; .*mimic_patient: unknown key"):
        MakePhantomSettings.from_text("{siim_side: 7, mimic_patient: 3}")
    with pytest.raises(InputError, match="opacity_radius: give"):
        MakePhantomSettings.from_text("{opacity_radius: [0.3, 0.1]}")


def test_result_digest_ignores_workers_alone():
    digest = MakePhantomSettings().result_digest()
    assert MakePhantomSettings(workers=3).result_digest() == digest
    assert MakePhantomSettings(seed=3).result_digest() != digest
