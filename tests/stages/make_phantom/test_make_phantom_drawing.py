"""What is drawn is what the truth says: by drawing each patient with and without a finding."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stages.make_phantom.anatomy import sample_anatomy, zone_of
from stages.make_phantom.canvas import bounding_box, sample_canvas, sample_exposure
from stages.make_phantom.contract import FINDINGS, Contrast, MakePhantomSettings, Prevalence
from stages.make_phantom.findings import Cardiomegaly, Effusion, Nodule, Opacity, Pneumothorax, sample_findings
from stages.make_phantom.patients import rng_of, sample_study
from stages.make_phantom.render import draw_frontal

SETTINGS = MakePhantomSettings()
RADIUS = SETTINGS.opacity_radius


def only(*findings: str) -> Prevalence:
    return Prevalence(**{name: float(name in findings) for name in FINDINGS})


class Scene:
    """One patient, to be drawn with any of its findings; noise does not change."""

    def __init__(self, seed: int, prevalence: Prevalence, side: int = 256) -> None:
        rng = rng_of(seed, "scene")
        self.normal = sample_anatomy(rng)
        self.anatomy, self.findings = sample_findings(rng, self.normal, prevalence, RADIUS)
        self.canvas = sample_canvas(rng, side, side, "PA")
        self.exposure = replace(sample_exposure(rng, "PA"), marker=False, collimated=(0.0, 0.0, 0.0, 0.0))

    def draw(self, findings=None, anatomy=None, contrast=SETTINGS.contrast):
        findings = self.findings if findings is None else findings
        return draw_frontal(anatomy or self.anatomy, findings, self.canvas, self.exposure, contrast)


@pytest.mark.parametrize("finding", ["lung_opacity", "pneumothorax", "pleural_effusion", "nodule", "support_device"])
def test_a_finding_changes_the_image_inside_its_box_and_hardly_outside(finding):
    for seed in range(8):
        scene = Scene(seed, only(finding))
        whole = scene.draw()
        for rank, item in enumerate(scene.findings):
            without = scene.draw([other for other in scene.findings if other is not item])
            change = np.abs(whole.display - without.display)
            x, y, width, height = bounding_box(whole.masks[rank])
            inside = change[y : y + height, x : x + width].sum()
            assert inside > 0.9 * change.sum(), (seed, item)
            assert change[whole.masks[rank]].mean() > 0.008, (seed, item)  # it can be seen


def test_cardiomegaly_is_a_wider_heart_within_its_box():
    for seed in range(5):
        scene = Scene(seed, only("cardiomegaly"))
        whole, normal = scene.draw(), scene.draw([], scene.normal)
        change = np.abs(whole.display - normal.display)
        x, y, width, height = bounding_box(whole.masks[0])
        assert change[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2].sum() > 0.9 * change.sum()
        thorax = 2 * scene.anatomy.half_width * scene.canvas.unit
        assert 0.5 < width / thorax < 0.75
        assert not Scene(seed, only()).findings


def test_direction_of_the_change():
    """Gas darkens and takes the markings away; fluid, consolidation, nodules and metal brighten."""
    for seed in range(6):
        for finding, sign in (("pneumothorax", -1), ("pleural_effusion", 1), ("lung_opacity", 1), ("nodule", 1)):
            scene = Scene(seed, only(finding))
            whole, normal = scene.draw(), scene.draw([])
            mask = np.logical_or.reduce(whole.masks)
            assert sign * (whole.display - normal.display)[mask].mean() > 0.01, (seed, finding)


def test_the_patients_right_is_on_the_left_of_the_image():
    sides = set()
    for seed in range(12):
        scene = Scene(seed, only("lung_opacity", "pneumothorax", "pleural_effusion", "nodule"))
        drawn = scene.draw()
        middle = scene.canvas.matrix[0, 2]  # column of the midline at mid height
        for item, mask in zip(scene.findings, drawn.masks, strict=True):
            columns = np.flatnonzero(mask.any(axis=0))
            assert (columns.mean() < middle) == (item.side == "right"), (seed, item)
            sides.add((item.finding, item.side))
    assert len(sides) == 8


def test_the_heart_points_to_the_patients_left():
    scene = Scene(0, only("cardiomegaly"))
    heart = scene.draw().masks[0]
    assert np.flatnonzero(heart.any(axis=0)).mean() > scene.canvas.matrix[0, 2]


def test_zones_are_ordered_from_top_to_bottom():
    rows = {"upper": [], "mid": [], "lower": []}
    for seed in range(25):
        scene = Scene(seed, only("lung_opacity"), side=96)
        for item, mask in zip(scene.findings, scene.draw().masks, strict=True):
            rows[item.zone].append(np.flatnonzero(mask.any(axis=1)).mean() / 96)
            assert item.zone == zone_of(scene.anatomy, item.centre[1])
    assert np.mean(rows["upper"]) + 0.1 < np.mean(rows["mid"]) < np.mean(rows["lower"]) - 0.1


def test_findings_lie_in_the_lungs_and_regions_differ():
    for seed in range(10):
        scene = Scene(seed, only(*FINDINGS))
        drawn = scene.draw()
        regions = [(i.side, i.zone) for i in scene.findings if isinstance(i, Opacity)]
        assert len(set(regions)) == len(regions)
        for item, mask in zip(scene.findings, drawn.masks, strict=True):
            assert mask.any(), (seed, item)
            if isinstance(item, Opacity | Nodule | Pneumothorax):
                assert (mask & drawn.lungs).sum() > 0.9 * mask.sum(), (seed, item)


def test_sizes_are_as_designed():
    """Pneumothorax: share of its lung; opacity: half-width in lung widths; nodule: centimetres."""
    shares: dict[str, list[float]] = {"small": [], "moderate": [], "large": []}
    for seed in range(30):
        scene = Scene(seed, only("pneumothorax"), side=128)
        drawn = scene.draw()
        x = scene.canvas.coordinates[0]
        for item, mask in zip(scene.findings, drawn.masks, strict=True):
            lung = drawn.lungs & ((x < 0) == (item.side == "right"))
            shares[item.size].append((mask & lung).sum() / lung.sum())
    assert min(shares["small"]) > 0.10
    assert np.mean(shares["small"]) < np.mean(shares["moderate"]) < np.mean(shares["large"]) < 0.7
    for seed in range(60):
        scene = Scene(seed, only("lung_opacity", "nodule"), side=64)
        for item in scene.findings:
            if isinstance(item, Opacity):
                assert 0.3 * RADIUS[0] < item.semi_axes[0] / scene.anatomy.lung_width <= RADIUS[1]
            else:
                assert math.isclose(2 * item.radius * scene.anatomy.millimetres / 10, item.diameter_cm)


def test_contrast_makes_findings_fainter_and_leaves_the_truth():
    half = Contrast(**dict.fromkeys(FINDINGS, 0.5))
    none = Contrast(**dict.fromkeys(FINDINGS, 0.0))
    scene = Scene(3, only("lung_opacity", "pneumothorax", "pleural_effusion", "nodule", "support_device"))
    full, faint, invisible, empty = scene.draw(), scene.draw(contrast=half), scene.draw(contrast=none), scene.draw([])
    for one, other in zip(full.masks, faint.masks, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(invisible.display, empty.display, atol=1e-6)
    changed = [np.abs(drawn.display - empty.display).sum() for drawn in (faint, full)]
    assert 0 < changed[0] < 0.75 * changed[1]


def test_everything_at_once_finds_room():
    """A chest with all findings, over many patients: placement never fails, nothing is lost."""
    every = Prevalence(**dict.fromkeys(FINDINGS, 1.0))
    for seed in range(250):
        _, findings = sample_findings(rng_of(seed, "room"), sample_anatomy(rng_of(seed, "chest")), every, RADIUS)
        assert {item.finding for item in findings} == set(FINDINGS)
        effusions = [item.depth for item in findings if isinstance(item, Effusion)]
        assert all(depth > 0 for depth in effusions)
        assert sum(isinstance(item, Cardiomegaly) for item in findings) == 1


@pytest.mark.parametrize("dataset", ["mimic_cxr", "rsna", "siim"])
def test_prevalence_within_binomial_bounds(dataset):
    count = 600
    studies = [sample_study(SETTINGS, dataset, patient, 0) for patient in range(count)]
    for name in FINDINGS:
        expected = getattr(SETTINGS.prevalence(dataset), name)
        found = sum(any(item.finding == name for item in study.findings) for study in studies)
        assert abs(found - count * expected) < 3.9 * math.sqrt(count * expected * (1 - expected)), name


def test_studies_of_a_patient_share_the_anatomy_alone():
    first, second = (sample_study(SETTINGS, "mimic_cxr", 7, number) for number in (0, 1))
    assert first.anatomy.seed == second.anatomy.seed
    assert first.anatomy.dome_right == second.anatomy.dome_right
    assert first.day < second.day
