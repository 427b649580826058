"""Creates 10,000 sessions through the API, and prints the requests to measure."""

import http.client
import json
import sys

port, version, start = sys.argv[1:]
headers = {"Authorization": "Bearer bench-security-key"}
body = {"session_name": "Fix the build", "agent_id": "builder", "user_id": "user-7", "metadata": {"tags": ["tag-3", "team-1"]}}
connection = http.client.HTTPConnection("127.0.0.1", int(port))


def call(method, path, body=None):
    sent = {**headers, "Content-Type": "application/json"} if body else headers
    connection.request(method, path, json.dumps(body) if body else None, sent)
    response = connection.getresponse()
    text = response.read()
    if response.status >= 300:
        sys.exit(f"{response.status} for {method} {path}: {text[:200]}")
    return json.loads(text)


for number in range(10_000):
    session = call("POST", "/sessions?type=agent", {**body, "session_name": f"Fix the build ({number})"})
path = "/sessions?type=agent&limit=20&page=1"
if len(call("GET", path)["data"]) != 20:
    sys.exit("a page has not 20 sessions")
get = f"/sessions/{session['session_id']}?type=agent"
print(json.dumps({"version": version, "start": start, "requests": {
    "list": {"method": "GET", "path": path, "headers": headers},
    "get": {"method": "GET", "path": get, "headers": headers},
    "create": {"method": "POST", "path": "/sessions?type=agent", "headers": headers, "body": body},
}}))
