"""The agent that mobilecli runs on an Android device, as far as the fake phone needs one.

mobilecli starts its agent through adb and speaks JSON-RPC over HTTP with it. This one knows the
installed apps, and says of all else that it has no such method: mobilecli then asks adb instead.
It writes the port it listens on to the file named by its one argument.
"""

import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

APPS = [{"packageName": "com.example.app", "appName": "Example", "version": "1.2.3", "versionCode": 10203}]


class Agent(BaseHTTPRequestHandler):
    """Answers one JSON-RPC request a POST."""

    def do_POST(self):
        """Lists the apps, or answers that there is no such method."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"jsonrpc": "2.0", "id": asked.get("id")}
        if asked.get("method") == "device.apps.list":
            answer["result"] = APPS
        else:
            answer["error"] = {"code": -32601, "message": f"no method {asked.get('method')}"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: what reaches the phone stands in adb's log."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Agent)
    port_file = pathlib.Path(sys.argv[1])
    port_file.with_suffix(".new").write_text(str(server.server_port))
    port_file.with_suffix(".new").rename(port_file)
    server.serve_forever()
