"""The commands that make the files of ``BrainSSLAnomaly/Resources``."""
