"""Layouts that are read as distributed: the names of their index files and where to get them.

Imports no table library, because the workflow reads the names from here to declare its inputs.
"""

from typing import Literal

Layout = Literal["mimic_cxr", "rsna", "siim", "folder"]

MIMIC_RECORDS = "cxr-record-list.csv.gz"
MIMIC_STUDIES = "cxr-study-list.csv.gz"
MIMIC_METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
MIMIC_SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
RSNA_LABELS = "stage_2_train_labels.csv"
SIIM_RUN_LENGTHS = "train-rle.csv"
CHECKSUMS = "SHA256SUMS.txt"  # of PhysioNet's distributions; of your own data if you write one (sha256sum)

WHERE_TO_GET: dict[Layout, str] = {
    "mimic_cxr": "it comes with MIMIC-CXR or MIMIC-CXR-JPG from PhysioNet (physionet.org/content/mimic-cxr)",
    "rsna": "it comes with the RSNA Pneumonia Detection Challenge from Kaggle (rsna-pneumonia-detection-challenge)",
    "siim": "it comes with the SIIM-ACR Pneumothorax Segmentation from Kaggle (siim-acr-pneumothorax-segmentation)",
    "folder": "correct `table` of the data set, or its root",
}
