"""OLCF's Secure Scientific Service Mesh, in front of the facility's scheduler."""
