"""A system of record that answers in pages, forms, texts and charsets: the standard library's server, not ours."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ITEMS = [{"number": f"MR-{n}", "reference": f"R{n}"} for n in range(7)]
SIZE = 3
POSTED = {}


class Office(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body, status=200, media="application/json", headers=()):
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        skip = int(query.get("skip", query.get("token", 0)) or 0)
        page = ITEMS[skip : skip + SIZE]
        more = skip + SIZE < len(ITEMS)
        path = url.path
        if path == "/next":
            self.answer({"value": page, "nextLink": f"/next?skip={skip + SIZE}" if more else None})
        elif path == "/link":
            # Two lines of one header, the second in upper case.
            links = [("Link", '</link?skip=0>; rel="first"')]
            if more:
                links.append(("Link", f"</link?skip={skip + SIZE}>; REL=Next; title=\"a, b\""))
            self.answer(page, headers=links)
        elif path == "/token":
            self.answer({"value": page, "token": skip + SIZE if more else ""})
        elif path == "/size":
            self.answer({"value": page})
        elif path == "/elsewhere":
            self.answer({"value": page, "nextLink": "http://127.0.0.1:1/next"})
        elif path == "/circle":
            self.answer({"value": page, "nextLink": self.path})
        elif path == "/endless":
            self.answer({"value": page, "nextLink": f"/endless?n={int(query.get('n', 0)) + 1}"})
        elif path == "/breaks":
            if skip:
                self.answer({"error": {"message": "the token s3cret-of-office is old"}}, status=500)
            else:
                self.answer({"value": page, "nextLink": "/breaks?skip=3&api_key=abc"})
        elif path == "/latin":
            self.answer('{"value": ["Prüfstand"]}'.encode("latin-1"), media="application/json; charset=ISO-8859-1")
        elif path == "/html":
            self.answer("<html><title>Sign in</title></html>", media="text/html")
        elif path == "/html-503":
            self.answer("<html><title>Down for maintenance</title></html>", status=503, media="text/html")
        elif path == "/text":
            self.answer("number=MR-9", media="text/plain")
        elif path == "/posted":
            self.answer(POSTED)
        else:
            self.answer({"message": "no such thing"}, status=404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        POSTED.clear()
        POSTED.update({"type": self.headers.get("Content-Type"), "body": body.decode()})
        if self.path == "/empty":
            self.send_response(201)
            self.send_header("Location", "/requests/MR-77")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer({"number": "MR-1"}, status=201)


server = ThreadingHTTPServer(("127.0.0.1", 0), Office)
print(server.server_address[1], flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
