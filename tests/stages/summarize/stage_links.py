"""Paths of inputs as `track` keeps them in the journals: by them the page knows what each stage read."""

READ = {  # what a stage reads of which others
    "index_inputs": ("make_phantom",), "dicom_to_arrow": ("index_inputs",), "split_reports": ("index_inputs",),
    "pair_images_reports": ("dicom_to_arrow", "split_reports"), "label_images": ("dicom_to_arrow",),
    "audit_splits": ("pair_images_reports", "label_images"), "pretrain": ("pair_images_reports", "split_reports"),
    "select_checkpoint": ("pretrain", "pair_images_reports"), "extract_features": ("select_checkpoint", "audit_splits"),
    "zero_shot_classification": ("extract_features",), "multi_class_classification": ("extract_features",),
    "few_shot_classification": ("extract_features",),
    "few_shot_segmentation": ("select_checkpoint",), "phrase_grounding": ("select_checkpoint",),
    "retrieval": ("select_checkpoint",),
}  # fmt: skip


def input_paths_of(stage: str) -> dict[str, str]:
    """By role, relative to where snakemake was called."""
    return {
        read: "runs/x/phantom/rsna/a.csv" if read == "make_phantom" else f"runs/x/results/{read}/rsna/a.arrow"
        for read in READ.get(stage, ())
    }
