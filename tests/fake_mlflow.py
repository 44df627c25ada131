"""A server that speaks the few calls of MLflow's REST API that live logging makes, and fails as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeMlflow:
    """`runs` by key: the body of runs/create with `metrics`, `params`, `ended`.

    `mode`: ok, 403, 500, seconds before each answer, or locked: as MLflow behind a locked SQLite, 500 after 5 s. `cut`:
    the connection ends within the answer; `noise`: the answer is no HTTP.
    """

    def __init__(self) -> None:
        self.mode: str | float = "ok"
        self.runs: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, str]]] = []

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        name = path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        if name == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "7"}}
        if name == "runs/search":
            key = body["filter"].partition("'")[2][:-1]
            return {"runs": [{"info": {"run_id": key, "lifecycle_stage": "active"}}] if key in self.runs else []}
        if name == "runs/create":
            key = next(tag["value"] for tag in body["tags"] if tag["key"] == "mlip.key")
            assert key not in self.runs, "a run twice"
            self.runs[key] = body | {"metrics": [], "params": [], "ended": None}
            return {"run": {"info": {"run_id": key}}}
        if name == "runs/log-batch":
            for part in ("metrics", "params"):
                held = self.runs[body["run_id"]][part]
                held += [each for each in body.get(part, []) if each not in held]
            return {}
        assert name == "runs/update", name
        self.runs[body["run_id"]]["ended"] = (body["status"], body["end_time"])
        return {}


@contextmanager
def serving(fake: FakeMlflow, port: int = 0) -> Iterator[str]:
    """The address of a server on loopback that answers as `fake` says, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            fake.calls.append((self.path, dict(self.headers)))
            status, mode = 200, fake.mode
            if mode == "locked":
                time.sleep(5.0)
                status = 500
            elif isinstance(mode, float):
                time.sleep(mode)
            elif mode == "noise":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                self.close_connection = True
                return
            elif mode not in ("ok", "cut"):
                status = int(mode)
            answer = fake.answer(self.path, body) if status == 200 and mode != "cut" else {}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) + 100 * (mode == "cut")))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client had no more patience
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
