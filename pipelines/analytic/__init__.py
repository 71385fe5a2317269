"""Worlds with closed forms: exact denoisers on which every sampler and search can be checked."""
