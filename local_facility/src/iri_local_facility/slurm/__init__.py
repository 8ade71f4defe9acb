"""slurmrestd, Slurm's REST daemon, in front of the facility's scheduler."""
