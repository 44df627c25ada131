"""The folder `stages` is the package `mlip` where it is installed: a mapping that pyproject.toml cannot express."""

from setuptools import find_packages, setup

setup(packages=["mlip", *(f"mlip.{name}" for name in find_packages("stages"))], package_dir={"mlip": "stages"})
