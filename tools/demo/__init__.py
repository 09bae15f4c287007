"""`make demo`: the main job told as a story, on two local chains, with the real processes and exact accounts."""
