"""An engine that speaks as much of Docker's HTTP API as `make images` needs, and remembers what it was asked."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

MANIFEST = f"sha256:{'ab' * 32}"  # what the repository answers to a push


class FakeEngine:
    """Images by name; an image's id is the digest of the request that built it and of a count."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {"localhost/base:1": f"sha256:{'ba' * 32}"}
        self.builds: list[dict[str, str]] = []
        self.pushed: list[str] = []
        self.fails: str | None = None  # the name of an image whose build fails
        self.host = ""

    def build(self, query: dict[str, str]) -> list[dict]:
        self.builds.append(query)
        if self.fails and f"docker/{self.fails}/" in query["dockerfile"]:
            return [{"stream": "STEP 1\n"}, {"error": "pip: no such package"}]
        text = f"{json.dumps(query, sort_keys=True)} {len(self.builds)}"
        self.images[query["t"]] = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        return [{"stream": "STEP 1\n"}, {"aux": {"ID": self.images[query["t"]]}}]


@contextmanager
def running(engine: FakeEngine) -> Iterator[FakeEngine]:
    """Serve the engine on loopback; its `host` is a value for DOCKER_HOST."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).split("/", 2)[-1]  # without /v1.43
            if path == "_ping" or self.path == "/_ping":
                self.answer(b"OK")
            elif path == "version" or self.path == "/version":
                self.answer_json({"ApiVersion": "1.43", "Version": "0"})
            elif path.endswith("/json"):
                self.inspect(path.removeprefix("images/").removesuffix("/json"))
            else:  # images/<name>/get: an archive, here the image's id
                name = path.removeprefix("images/").removesuffix("/get")
                self.answer(engine.images.get(name, name).encode())

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            path, query = unquote(parts.path), {key: value[0] for key, value in parse_qs(parts.query).items()}
            self.read_body()
            if path.endswith("/build"):
                self.answer_lines(engine.build(query))
            elif path.endswith("/tag"):
                source = path.split("/images/")[1].removesuffix("/tag")
                name = next(tag for tag, digest in engine.images.items() if source in (tag, digest))
                engine.images[f"{query['repo']}:{query['tag']}"] = engine.images[name]
                self.answer(b"", 201)
            elif path.endswith("/push"):
                engine.pushed.append(f"{path.split('/images/')[1].removesuffix('/push')}:{query['tag']}")
                self.answer_lines([{"status": "Pushing"}, {"status": f"{query['tag']}: digest: {MANIFEST} size: 743"}])
            else:
                self.answer_json({"message": f"no {path}"}, 404)

        def inspect(self, name: str) -> None:
            found = engine.images.get(name) or (name if name in engine.images.values() else None)
            if found is None:
                self.answer_json({"message": f"No such image: {name}"}, 404)
            else:
                self.answer_json({"Id": found, "RepoTags": [name], "RepoDigests": [], "Size": 1_000_000})

        def read_body(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            else:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def answer_lines(self, lines: list[dict]) -> None:
            """A stream of JSON, a chunk a line, as engines send their progress."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in [json.dumps(line).encode() + b"\n" for line in lines] + [b""]:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

        def answer_json(self, value: object, status: int = 200) -> None:
            self.answer(json.dumps(value).encode(), status, "application/json")

        def answer(self, body: bytes, status: int = 200, kind: str = "application/octet-stream") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    engine.host = f"tcp://127.0.0.1:{server.server_port}"
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
