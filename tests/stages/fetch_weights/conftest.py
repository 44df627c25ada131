"""A hub on loopback that speaks what huggingface_hub asks for, and an empty cache."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0])}


@dataclass
class Hub:
    """Models by id, each with its files; `requests` holds method and path of all that was asked."""

    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, identifier: str, changes: dict[str, bytes | None] | None = None) -> None:
        """A model in the layout of transformers, with `changes` to its files; None leaves a file out."""
        files = {
            "config.json": b'{"model_type": "bert"}',
            "vocab.txt": b"[PAD]\n",
            "README.md": b"---\nlicense: mit\n---\n# A model\n",
            "model.safetensors": save(TENSORS),
            "flax_model.msgpack": b"never wanted",
        }
        self.models[identifier] = {name: data for name, data in (files | (changes or {})).items() if data is not None}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *_):
        pass

    def _answer(self):
        self.hub.requests.append(f"{self.command} {self.path}")
        if self.path.startswith("/api/models/"):
            return self._describe(self.path.removeprefix("/api/models/"))
        identifier, _, rest = self.path[1:].partition("/resolve/")
        files = self.hub.models.get(identifier, {})
        name = rest.partition("/")[2]
        if name not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        digest = hashlib.sha256(files[name]).hexdigest()
        return self._send(200, files[name], {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT})

    def _describe(self, identifier):
        if identifier not in self.hub.models:
            return self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": name} for name in self.hub.models[identifier]]
        body = {"id": identifier, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
        return self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send(self, status, body, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def point_at(tmp_path, monkeypatch):
    """Sets the hub's address, with an empty cache: what HF_ENDPOINT does, which the package reads when imported."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def point(url: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return point


@pytest.fixture
def hub(point_at):
    found = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": found}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    point_at(found.url)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()
