"""Apptainer definition files, generated from the Dockerfiles, for machines without a container engine.

The Dockerfile stays the only source. An instruction without a counterpart is refused, never dropped. Two are dropped
on purpose: Apptainer runs as the calling user (USER), in the caller's folder (WORKDIR, which is created).
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from stages.common.errors import InputError
from workflow.images.recipes import TARGET

_ARCHIVES = ("oci-archive:", "docker-archive:")
_CHECK = re.compile(r'^\S*python -c "[^"]*"$')


def definition(dockerfile: Path, arguments: Mapping[str, str], labels: Mapping[str, str], target: str = TARGET) -> str:
    """Return the definition file of the stage `target`.

    `arguments` are values of ARGs, `labels` are added to those of the Dockerfile. Sources of COPY stay relative: build
    in the folder that is the context. Raises InputError with the line of an instruction that cannot be translated.
    """
    return _Translation(dockerfile, arguments, labels).of(target)


def archive_of(base: str) -> Path | None:
    """Return the file of a base that is named as an archive (oci-archive:FILE, docker-archive:FILE), else None."""
    return Path(base.partition(":")[2]) if base.startswith(_ARCHIVES) else None


class _Translation:
    """Sections of a definition file, filled instruction by instruction."""

    def __init__(self, path: Path, arguments: Mapping[str, str], labels: Mapping[str, str]) -> None:
        self.path, self.line = path, 0
        self.given, self.arguments = arguments, dict[str, str]()
        self.header: list[str] = []
        self.files: list[str] = []
        self.post = ["set -e"]
        self.environment: list[str] = []
        self.labels: list[str] = []
        self.added = labels
        self.runscript: list[str] = []
        self.test = ["set -e", "unset PYTHONPATH PYTHONHOME  # of the machine that builds"]
        self.ran = self.user = False

    def of(self, target: str) -> str:
        """Return the text, from the instructions up to the end of `target`."""
        stage = ""
        for number, instruction, rest in self._instructions():
            self.line = number
            method = getattr(self, f"_{instruction.lower()}", None)
            if instruction == "FROM":
                if stage == target:
                    break
                stage = self._from(rest)
            elif method is None:
                raise self._refused(instruction)
            else:
                try:
                    method(rest)
                except ValueError:  # quotes or JSON that do not end
                    raise self._refused(f"{instruction} {rest}") from None
        self.labels += [f"{key} {value}" for key, value in self.added.items()]
        if stage != target:
            raise InputError(f"{self.path}: no stage {target}", remedy=f"name it: `FROM ... AS {target}`")
        return "\n\n".join(["\n".join(self.header), *self._sections()]) + "\n"

    def _sections(self) -> Iterator[str]:
        for name in ("files", "post", "environment", "labels", "runscript", "test"):
            if lines := getattr(self, name):
                yield "\n".join([f"%{name}", *(f"    {line}" for line in lines)])

    def _instructions(self) -> Iterator[tuple[int, str, str]]:
        """Yield line number, name and rest of each instruction; continued lines keep their ends."""
        kept: list[str] = []
        begin = 0
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.lstrip().startswith("#") or not line.strip():
                continue  # also within an instruction, as in Docker
            begin = begin if kept else number
            kept.append(line.rstrip())
            if not kept[-1].endswith("\\"):
                name, _, rest = "\n".join(kept).lstrip().partition(" ")
                yield begin, name.upper(), rest.strip()
                kept = []

    def _refused(self, what: str) -> InputError:
        return InputError(
            f"{self.path}, line {self.line}: {' '.join(what.split())} cannot be translated for Apptainer",
            remedy="build with Docker, Podman or buildah (--builder), or write it another way",
        )

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        value = self.given.get(name, default)
        self.arguments[name] = value
        if self.header and value:  # one before FROM is of FROM alone
            self.post.append(f"export {name}={shlex.quote(value)}")

    def _with_arguments(self, text: str) -> str:
        return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: self.arguments.get(found[1] or found[2], found[0]), text)

    def _known(self, instruction: str, text: str) -> str:
        """Return a text without variables. Raises InputError for one that has no value here."""
        if "$" in (whole := self._with_arguments(text)):
            raise self._refused(f"{instruction} {text}")
        return whole

    def _from(self, rest: str) -> str:
        image, _, stage = rest.partition(" AS ")
        if self.header or not stage:
            raise self._refused(f"FROM {rest}")
        base = self._known("FROM", image)
        if archive_of(base):
            kind, _, source = base.partition(":")
        else:  # a reference with tag and digest is refused; the digest decides
            kind, source = "docker", re.sub(r":[^:/@]+@", "@", base)
        self.header = [f"Bootstrap: {kind}", f"From: {source}"]
        return stage.strip()

    def _copy(self, rest: str) -> None:
        *sources, folder = shlex.split(self._known("COPY", rest))
        if self.ran or rest.startswith("--") or not folder.startswith("/"):  # %files comes before all of %post
            raise self._refused(f"COPY {rest}" + (" after a RUN" if self.ran else ""))
        for source in sources:
            into = str(PurePosixPath(folder) / PurePosixPath(source).name) if folder.endswith("/") else folder
            self.files.append(f"{source} {into}")

    def _run(self, rest: str) -> None:
        if self.user or rest.startswith("--") or "<<" in rest:
            raise self._refused(f"RUN {rest.splitlines()[0]}" + (" after USER" if self.user else ""))
        if rest.startswith("["):
            rest = shlex.join(json.loads(rest))
        self.ran = True
        commands = rest.splitlines()
        self.post += [f"({commands[0]}", *commands[1:]] if len(commands) > 1 else [f"({rest}"]
        self.post[-1] += ")"  # a subshell: one RUN leaves neither folder nor variables to the next
        parts = (part.strip() for part in rest.replace("\\\n", " ").split("&&"))
        self.test += [shlex.join(["bash", "-c", part]) for part in parts if _CHECK.match(part)]  # as jobs start

    def _env(self, rest: str) -> None:
        for key, value in self._pairs("ENV", rest):
            value = self._with_arguments(value)
            escaped = re.sub(r'(["\\`]|\$(?!\w|\{\w+\}))', r"\\\1", value)
            self.environment.append(f'export {key}="{escaped}"')
            self.post.append(self.environment[-1])

    def _label(self, rest: str) -> None:
        self.labels += [f"{key} {value}" for key, value in self._pairs("LABEL", self._known("LABEL", rest))]

    def _pairs(self, instruction: str, rest: str) -> Iterator[tuple[str, str]]:
        for word in shlex.split(rest.replace("\\\n", " ")):
            key, equals, value = word.partition("=")
            if not equals:
                raise self._refused(f"{instruction} {word}")
            yield key, value

    def _user(self, _: str) -> None:
        self.user = True

    def _workdir(self, rest: str) -> None:
        self.post += [f"mkdir -p {shlex.quote(rest)}", f"cd {shlex.quote(rest)}"]

    def _cmd(self, rest: str) -> None:
        if not rest.startswith("["):
            raise self._refused(f"CMD {rest}")
        self.runscript = ['[ "$#" -gt 0 ] || set -- ' + shlex.join(json.loads(rest)), 'exec "$@"']
