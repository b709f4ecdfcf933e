"""The package's version, in a file of its own: whatever writes it down need not import the public interface."""

__version__ = "0.1.0"
"""The one place that says it: pyproject.toml reads it here, and a test compares CITATION.cff."""
