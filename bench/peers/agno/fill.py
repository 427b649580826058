"""Creates 10,000 sessions through the API, and prints the requests to measure."""

import json
import sys

from sessions_api import SessionsApi

port, version, start = sys.argv[1:]
headers = {"Authorization": "Bearer bench-security-key"}
body = {"session_name": "Fix the build", "agent_id": "builder", "user_id": "user-7", "metadata": {"tags": ["tag-3", "team-1"]}}
call = SessionsApi(port, headers).call
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
