"""Offline: what anybody with a copy of the journal can prove, without asking the daemon and without writing a byte."""
