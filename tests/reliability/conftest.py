from tests.conformance.conftest import placed, scratch, site

__all__ = ["placed", "scratch", "site"]
