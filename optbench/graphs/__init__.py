"""How far a runtime rewrites the graph."""
