"""Whole files between this machine and a facility."""
