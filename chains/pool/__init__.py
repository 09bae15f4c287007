"""How upstream providers are asked: limited, ordered by priority, broken off when sick, never trusted alone."""
