"""Peak rates of GPUs by name, from which the share of the peak and estimates of hours are computed."""

import re

# Dense peak rates in FLOP/s by part of the device's name: bf16 and fp32 (vendors' data sheets; no sparsity, TF32 off).
_PEAKS = {
    "B200": (2250e12, 80e12),
    "H200": (989e12, 67e12),
    "H100 PCIe": (756e12, 51e12),
    "H100 NVL": (835e12, 60e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "V100": (125e12, 15.7e12),  # tensor cores in fp16: it has no bf16
    "L40S": (362e12, 91.6e12),
    "A40": (149.7e12, 37.4e12),
    "RTX A6000": (154.8e12, 38.7e12),
    "RTX 4090": (165.2e12, 82.6e12),
    "RTX 3090": (71e12, 35.6e12),
}


def peak_of(device_name: str, precision: str) -> float | None:
    """Return the peak of a device in FLOP/s, or None for an unknown device, for which no MFU is stated."""
    for part, (bf16, fp32) in _PEAKS.items():  # more specific names come first
        if re.search(rf"\b{part}\b(?!.*Laptop)", device_name):
            return bf16 if precision == "bf16" else fp32
    return None
