"""The part of mobilecli's on-device agent that the fake phone needs.

mobilecli starts its agent through adb and speaks JSON-RPC over HTTP with it. This one lists the installed apps and knows no other
method; mobilecli then uses adb instead. It writes its port to the file given as its argument.
"""

import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

APPS = [{"packageName": "com.example.app", "appName": "Example", "version": "1.2.3", "versionCode": 10203}]


class Agent(BaseHTTPRequestHandler):
    """Answers one JSON-RPC request per POST."""

    def do_POST(self):
        """Lists the apps, or reports that the method is unknown."""
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
        """No log: the calls that reach the phone are in adb's log."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Agent)
    port_file = pathlib.Path(sys.argv[1])
    port_file.with_suffix(".new").write_text(str(server.server_port))
    port_file.with_suffix(".new").rename(port_file)
    server.serve_forever()
