"""Definition files for Apptainer say what the Dockerfile says; what they cannot say is refused."""

import subprocess
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.images.definition import definition

ROOT = Path(__file__).resolve().parents[3]

DOCKERFILE = """# a comment
ARG BASE=docker.io/library/python:3.11.9-slim@sha256:01
FROM ${BASE} AS dependencies

ARG HASHES=required
ARG INDEX
ENV A=1
COPY docker/a.sh docker/b.sh /opt/x/
COPY c.lock /opt/c.lock
RUN bash /opt/x/a.sh "${HASHES}" \\
    # in between
    && /opt/venv/bin/python -c "import a" \\
    && cd /tmp
RUN echo one
ENV PATH=/opt/venv/bin:${PATH} \\
    B="two words" C=${HASHES}
LABEL title="MLIP: report" \\
      licence=Apache-2.0
USER 10001:10001
WORKDIR /work
CMD ["bash", "-l"]

FROM dependencies AS release
ADD more /opt
"""

DEFINITION = """Bootstrap: docker
From: docker.io/library/python@sha256:01

%files
    docker/a.sh /opt/x/a.sh
    docker/b.sh /opt/x/b.sh
    c.lock /opt/c.lock

%post
    set -e
    export HASHES=none
    export INDEX='https://a b'
    export A="1"
    (bash /opt/x/a.sh "${HASHES}" \\
        && /opt/venv/bin/python -c "import a" \\
        && cd /tmp)
    (echo one)
    export PATH="/opt/venv/bin:${PATH}"
    export B="two words"
    export C="none"
    mkdir -p /work
    cd /work

%environment
    export A="1"
    export PATH="/opt/venv/bin:${PATH}"
    export B="two words"
    export C="none"

%labels
    title MLIP: report
    licence Apache-2.0
    version 0.2.0

%runscript
    [ "$#" -gt 0 ] || set -- bash -l
    exec "$@"

%test
    set -e
    unset PYTHONPATH PYTHONHOME  # of the machine that builds
    bash -c '/opt/venv/bin/python -c "import a"'
"""


def translated(tmp_path: Path, text: str, **arguments: str) -> str:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return definition(path, arguments, {"version": "0.2.0"})


def test_each_instruction_has_its_section(tmp_path: Path) -> None:
    assert translated(tmp_path, DOCKERFILE, HASHES="none", INDEX="https://a b", UNUSED="1") == DEFINITION


@pytest.mark.parametrize("name", ["preprocess", "report", "torch"])
def test_every_dockerfile_is_translated_and_tested_by_its_own_imports(name: str) -> None:
    text = definition(ROOT / "docker" / name / "Dockerfile", {}, {})
    test = text.partition("%test")[2]
    assert test.count("import ") == 1
    assert f"envs/{name}.lock /opt/mlip/{name}.lock" in text
    for line in test.splitlines()[1:]:
        subprocess.run(["sh", "-n", "-c", line], check=True)
    subprocess.run(["sh", "-n", "-c", text.partition("%post\n")[2].partition("\n%")[0]], check=True)


def test_values_reach_the_environment_as_docker_would_set_them(tmp_path: Path) -> None:
    values = "ENV A='a\"b' B='c`d' C=$ D=5$ E=${A}x\n"
    text = translated(tmp_path, f"FROM x AS dependencies\n{values}")
    script = text.partition("%environment\n")[2].partition("\n\n")[0] + '\nprintf "%s|" "$A" "$B" "$C" "$D" "$E"'
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == 'a"b|c`d|$|5$|a"bx|'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD a /b", "line 2: ADD cannot be translated"),
        ("ENTRYPOINT [\"x\"]", "line 2: ENTRYPOINT cannot"),
        ("RUN --mount=type=cache,target=/x y", "line 2: RUN --mount=type=cache,target=/x y cannot"),
        ("RUN <<END\nx\nEND", "line 2: RUN <<END cannot"),
        ("COPY --from=other /a /b", "line 2: COPY --from=other /a /b cannot"),
        ("COPY a b", "line 2: COPY a b cannot"),
        ("RUN x\nCOPY a /b", "line 3: COPY a /b after a RUN cannot"),
        ("USER 1\nRUN x", "line 3: RUN x after USER cannot"),
        ("ENV A b", "line 2: ENV A cannot"),
        ("ENV A='b", "line 2: ENV A='b cannot"),
        ("CMD bash", "line 2: CMD bash cannot"),
        ("FROM y", "line 2: FROM y cannot"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_in_one_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        translated(tmp_path, f"FROM x AS base\n{line}\nFROM base AS dependencies\n")
    assert str(raised.value).startswith(f"{tmp_path}/Dockerfile, {said}")
    assert "build with Docker, Podman or buildah" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_dockerfile_without_the_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no stage dependencies"):
        translated(tmp_path, "FROM x AS other\n")
