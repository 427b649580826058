"""Creates 10,000 threads, which are Aegra's sessions, through the API. Prints the requests to measure."""

import json
import sys

from sessions_api import SessionsApi

port, version, start = sys.argv[1:]
headers = {"Authorization": "Bearer bench-token"}
body = {"metadata": {"title": "Fix the build", "tags": ["tag-3", "team-1"], "agent": "builder"}}
call = SessionsApi(port, headers).call
for _ in range(10_000):
    thread = call("POST", "/threads", body)
search = {"limit": 20, "offset": 0}
if len(call("POST", "/threads/search", search)) != 20:
    sys.exit("a page has not 20 threads")
print(json.dumps({"version": version, "start": start, "requests": {
    "list": {"method": "POST", "path": "/threads/search", "headers": headers, "body": search},
    "get": {"method": "GET", "path": f"/threads/{thread['thread_id']}", "headers": headers},
    "create": {"method": "POST", "path": "/threads", "headers": headers, "body": body},
}}))
