"""The version that package, extension and model bundles share."""

__version__ = "0.6.0"
