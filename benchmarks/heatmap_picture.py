"""Draw the README's picture: a synthetic radiograph of the demo, a phrase, and the heatmap of the demo's checkpoint.

python -m benchmarks.heatmap_picture --run runs/demo --image IMAGE_ID --phrase "There is ..." --output docs/heatmap.jpg
"""

import argparse
import json
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

import stages as mlip

matplotlib.use("Agg")
FINDING = "lung_opacity"
_TOP = 0.5  # the contour is drawn at this share of the highest value


def true_boxes(run: Path, image_id: str) -> tuple[int, list[list[int]]]:
    """Return the side of a radiograph of the RSNA layout and the boxes of its findings, in its pixels."""
    truth = json.loads((run / "phantom" / "truth" / "rsna.json").read_text())
    [image] = [each for each in truth["images"] if each["image_id"] == image_id]
    return image["rows"], [each["box"] for each in image["findings"] if each["finding"] == FINDING and each["box"]]


def draw(heatmap: mlip.Heatmap, side: int, boxes: list[list[int]]) -> pyplot.Figure:
    """Return the radiograph beside its heatmap, with the true boxes and a colour bar."""
    grey = cv2.resize(heatmap.radiograph.pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    values = cv2.resize(heatmap.values.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    scale = Normalize(0, float(values.max()))
    figure, (plain, overlaid) = pyplot.subplots(1, 2, figsize=(8.4, 4.3), layout="constrained")
    for axes in (plain, overlaid):
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
    plain.set_title("synthetic radiograph", fontsize=10)
    drawn = overlaid.imshow(values, cmap="inferno", norm=scale, alpha=np.clip(scale(values), 0, 1) ** 1.5 * 0.6)
    overlaid.contour(values, [_TOP * values.max()], colors="white", linewidths=1.2)
    for x, y, width, height in boxes:
        overlaid.add_patch(
            Rectangle((x, y), width, height, fill=False, edgecolor="cyan", linestyle="--", linewidth=1.4)
        )
    overlaid.set_title(f"“{heatmap.phrase}”", fontsize=10)
    bar = figure.colorbar(drawn, ax=overlaid, fraction=0.045, pad=0.02)
    bar.set_label("cosine of patch and phrase, less the mean patch's", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    return figure


def main() -> None:
    """Write the picture."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--run", type=Path, required=True, help="workspace of a finished demo")
    options.add_argument("--image", required=True, help="id of an image of the RSNA layout")
    options.add_argument("--phrase", required=True)
    options.add_argument("--output", type=Path, required=True, help="JPEG to write")
    given = options.parse_args()
    model = mlip.load(given.run / "results" / "select_checkpoint" / "mlip" / "checkpoint", device="cpu")
    file = given.run / "phantom" / "rsna" / "stage_2_train_images" / f"{given.image}.dcm"
    figure = draw(model.heatmap(file, given.phrase), *true_boxes(given.run, given.image))
    figure.savefig(given.output, dpi=130, bbox_inches="tight", pad_inches=0.05, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
