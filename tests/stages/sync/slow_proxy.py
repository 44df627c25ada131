"""A proxy before an MLflow server: what is asked is done at once, and the answer comes late, or it wants a token."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def slow_proxy(
    uri: str, seconds: Callable[[str], float], knows: Callable[[str], bool] = lambda _: True
) -> Iterator[str]:
    """Address of the proxy; `seconds` says by the request's path how late the answer comes.

    `knows` says by the header `Authorization` whether a request is let through; others get 401, with JSON.
    """

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            if not knows(self.headers.get("Authorization", "")):
                self.answer(401, b'{"error": "the token has expired"}')
                return
            kept = {name: value for name, value in self.headers.items() if name in ("Content-Type", "Accept")}
            request = urllib.request.Request(uri + self.path, body, kept, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, content = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, content = error.code, error.read()
            time.sleep(seconds(self.path))
            self.answer(status, content)

        def answer(self, status: int, content: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # nobody waited for it

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.forward)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
