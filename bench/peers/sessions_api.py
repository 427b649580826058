"""A client of a peer's HTTP API, for the scripts that fill peers."""

import http.client
import json
import sys


class SessionsApi:
    def __init__(self, port, headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", int(port))
        self.headers = headers

    def call(self, method, path, body=None):
        """Returns the JSON of a response. Ends the script when it is not a success."""
        sent = {**self.headers, "Content-Type": "application/json"} if body else self.headers
        self.connection.request(method, path, json.dumps(body) if body else None, sent)
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 300:
            sys.exit(f"{response.status} for {method} {path}: {text[:200]}")
        return json.loads(text)
