"""A graph that does nothing: only its sessions are measured."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    text: str


builder = StateGraph(State)
builder.add_node("done", lambda state: state)
builder.add_edge(START, "done")
builder.add_edge("done", END)
graph = builder.compile()
