"""What judges a candidate: verifiers guide a search, evaluators are held out of it."""

if __name__ == "verifiers":
    raise ImportError("import noise_search.verifiers")
