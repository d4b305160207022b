"""The Django project: settings, switches, ASGI stack, `up`, embedded servers, admin pages."""

__version__ = "0.1.0"
"""The only place of the version: package metadata, `--version`, OpenAPI and /healthz read it."""
