"""Programs of a site, played by scripts on a PATH of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

Programs = Callable[..., None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """`program(name, script)` puts a shell script on PATH, where nothing else is but the shell's own tools."""
    folder = tmp_path / "site_programs"
    folder.mkdir()
    for tool in ("sh", "cat", "env", "sleep", "df", "test", "tail"):
        path = next(place / tool for place in (Path("/usr/bin"), Path("/bin")) if (place / tool).exists())
        (folder / tool).symlink_to(path)
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put
