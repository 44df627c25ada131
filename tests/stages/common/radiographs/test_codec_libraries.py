"""Of the fifty libraries in the wheel of imagecodecs, a reader's process holds two, both under BSD-like licences."""

import json
import subprocess
import sys

import pytest

_DECODE = """
import json, pathlib, re, numpy as np
from random_dicom import drawn
from stages.common.radiographs.readers import read_dicom
from stages.dicom_to_arrow.contract import DicomToArrowSettings
syntaxes = set()
for seed in range(60):
    case = drawn(np.random.default_rng(seed))
    read_dicom(case.data, None, DicomToArrowSettings())
    syntaxes.update(re.findall("JPEG Lossless|JPEG-LS|JPEG 2000|High-Throughput|RLE", case.description))
maps = pathlib.Path("/proc/self/maps").read_text()
libraries = re.findall(r"/imagecodecs(?:\\.libs)?/([a-z0-9_]+)[-.]\\S+", maps)
print(json.dumps([sorted(syntaxes), sorted(set(libraries))]))
"""
# libjpeg-turbo: IJG and BSD-3-Clause; CharLS: BSD-3-Clause; the others are parts of imagecodecs, BSD-3-Clause.
_ENCODER = {"_htj2k", "libopenjph"}  # BSD-2-Clause, for the test's own files
_LIBRARIES = {"libjpeg", "libcharls", "_jpeg8", "_jpegls", "_shared", "_shared_cython"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/maps")
def test_only_two_bundled_libraries_are_loaded():
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"  # where the tests' helpers lie
    done = subprocess.run([sys.executable, "-c", path + _DECODE], capture_output=True, text=True, check=True)
    syntaxes, libraries = json.loads(done.stdout.splitlines()[-1])
    assert len(syntaxes) == 5, syntaxes
    assert {"libjpeg", "libcharls"} <= set(libraries) - _ENCODER <= _LIBRARIES
