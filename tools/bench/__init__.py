"""What is claimed in figures, measured: `make bench` writes build/bench.json, one flat object."""
