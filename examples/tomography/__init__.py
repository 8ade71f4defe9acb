"""From beamline to picture: the science of the example workflow, free of any workflow engine.

``plan`` says which jobs run where, ``beamline`` takes the projections, ``jobs/`` holds the programs that run
at the facility, ``picture`` shows what came back. Only ``plan`` is light enough to import in a DAG file.
"""
