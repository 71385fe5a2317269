"""What generates: diffusion pipelines, the built-in shapes model, analytic worlds."""

if __name__ == "pipelines":
    raise ImportError("import noise_search.pipelines")
