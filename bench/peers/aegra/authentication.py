"""A token for each user, as in the guide of Aegra."""

from langgraph_sdk import Auth

auth = Auth()
USERS = {"bench-token": "user-7"}


@auth.authenticate
async def authenticate(headers: dict) -> dict:
    header = headers.get("authorization") or headers.get(b"authorization") or ""
    header = header.decode() if isinstance(header, bytes) else header
    user = USERS.get(header.removeprefix("Bearer "))
    if user is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail="unknown token")
    return {"identity": user, "is_authenticated": True}
