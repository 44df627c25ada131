"""Check what a run says of the code: the commit, and whether the code differs from it."""

import subprocess
from pathlib import Path

import pytest

from stages.common.journal import environment


@pytest.mark.parametrize(
    ("path", "changed"),
    [("ours.yaml", "false"), ("prompts/ours.yaml", "false"), ("stages/more.py", "true"), ("stages/one.py", "true"),
     ("config.yaml", "true")],
)  # fmt: skip
def test_settings_of_ones_own_in_the_checkout_are_no_change_of_the_code(tmp_path, monkeypatch, path, changed) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    for name in ("stages/one.py", "config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(environment, "ROOT", Path(tmp_path))
    for name in ("MLIP_GIT_COMMIT", "MLIP_GIT_DIRTY"):
        monkeypatch.delenv(name, raising=False)
    assert environment.git_state()["git_dirty"] == "false"
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("changed")
    assert environment.git_state()["git_dirty"] == changed
