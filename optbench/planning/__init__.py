"""What a run or sweep would do, and how long it would take, before it does it."""
