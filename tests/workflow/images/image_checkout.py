"""A copy of the checkout in which `python -m workflow.images` runs, with programs that stand in for real ones."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from docker_api import FakeEngine

from workflow.images.lock import Image, read_images_lock

# A SIF that names what it was made from: the text of the archive, the definition file or the layout, or the
# address.
APPTAINER = """#!/bin/bash
for source; do :; done
target=${@: -2:1}
case $source in
  docker-archive:*) cat "${source#docker-archive:}" >"$target" ;;
  *.def) cat "$source" >"$target" ;;
  oci:*) cat "${source#oci:}"/{index.json,blobs/sha256/*} >"$target" ;;
  *) echo "$source" >"$target" ;;
esac
"""


@dataclass
class Checkout:
    folder: Path
    engine: FakeEngine
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, status: int = 0, error: bool = False) -> str:
        """Standard output where it succeeds, standard error where it fails or `error` asks for it."""
        environment = {
            "PATH": f"{self.folder}/programs:/usr/bin:/bin",
            "DOCKER_HOST": self.engine.host,
            "HOME": str(self.folder),
            **self.environment,
        }
        command = [sys.executable, "-m", "workflow.images", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status or error else done.stdout

    def lock(self) -> dict[str, Image]:
        return read_images_lock(self.folder / "docker" / "images.lock.yaml")

    def program(self, name: str, text: str) -> None:
        """Put a program on the PATH of the command."""
        path = self.folder / "programs" / name
        path.write_text(text)
        path.chmod(0o755)


# Keeps the words of a build as the image, and answers as buildah does.
BUILDAH = f"""#!{sys.executable}
import hashlib, json, os, pathlib, sys
command, *words = sys.argv[1:]
held = lambda tag: pathlib.Path(os.environ["HOME"], "store", tag.replace("/", "_"))
if command == "build":
    print("STEP 1")
    held(words[words.index("--tag") + 1]).parent.mkdir(exist_ok=True)
    held(words[words.index("--tag") + 1]).write_text(" ".join(words))
elif command == "inspect":
    if not held(words[2]).exists():
        sys.exit(1)
    manifest = json.dumps({{"layers": [{{"size": 70}}, {{"size": 7}}]}})
    print(json.dumps({{"FromImageID": hashlib.sha256(held(words[2]).read_bytes()).hexdigest(), "Manifest": manifest}}))
elif command == "push":
    _, digest, tag, destination = words
    if destination.startswith("docker://refused"):
        sys.exit("Error: denied")
    pathlib.Path(digest).write_text(f"sha256:{{5:064}}")
    if destination.startswith("docker-archive:"):
        pathlib.Path(destination.partition(":")[2]).write_text(held(tag).read_text())
    if destination.startswith("oci:"):
        _, folder, name = destination.split(":")
        folder = pathlib.Path(folder)
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        def blob(data):
            name = hashlib.sha256(data).hexdigest()
            (folder / "blobs" / "sha256" / name).write_bytes(data)
            return {{"digest": f"sha256:{{name}}", "size": len(data)}}
        layer = blob(held(tag).read_bytes())
        manifest = blob(json.dumps({{"config": blob(b"{{}}"), "layers": [layer]}}).encode())
        index = folder / "index.json"
        others = json.loads(index.read_text())["manifests"] if index.exists() else []
        manifest["annotations"] = {{"org.opencontainers.image.ref.name": name}}
        others = [each for each in others if each["annotations"] != manifest["annotations"]]
        (folder / "oci-layout").write_text("{{}}")
        index.write_text(json.dumps({{"manifests": [*others, manifest]}}))
        pathlib.Path(digest).write_text(manifest["digest"])
"""
