"""The commands: parse, check, call, print. Heavy modules are imported where they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from noise_search.cli import options as o
from noise_search.errors import UserError, nearest

EPILOG = "Specs have the form name:target#part(key=value). noise-search list shows their names."


class Commands(TyperGroup):
    """A group that names the nearest command when there is none of that name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names."""
        if args and self.get_command(ctx, args[0]) is None:
            raise UserError(f"unknown command {args[0]!r}{nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from noise_search import __version__

        typer.echo(f"noise-search {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, metavar=" ", help="Show the version."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", metavar=" ", help="Show where an unexpected error comes from."),
    ] = False,
) -> None:
    """Spend inference-time compute well: search noise, and the texts of language models."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=EPILOG)
def generate(
    prompt: o.Text = None,
    prompts: o.Prompts = None,
    prompt_column: o.PromptColumn = None,
    answer_column: o.AnswerColumn = None,
    model: o.Model = None,
    pipeline: o.Pipeline = None,
    search: o.Search = None,
    verifier: o.Verifier = None,
    evaluate: o.Evaluate = None,
    budget: o.Budget = None,
    seed: o.Seed = None,
    top_k: o.TopK = None,
    steps: o.Steps = None,
    search_steps: o.SearchSteps = None,
    guidance_scale: o.GuidanceScale = None,
    eta: o.Eta = None,
    preview: o.Preview = None,
    fps: o.Fps = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    max_tokens: o.MaxTokens = None,
    step_tokens: o.StepTokens = None,
    split: o.Split = None,
    answers: o.Answers = None,
    system: o.System = None,
    batch: o.Batch = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    offload: o.Offload = None,
    trust_remote_code: o.TrustRemoteCode = False,
    threads: o.Threads = None,
    workers: o.Workers = None,
    fast: o.Fast = None,
    metadata: o.Metadata = None,
    cache: o.Cache = None,
    download: o.Download = False,
    config: o.Config = None,
    out: o.Out = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
) -> None:
    """Search for the best picture, or answer, of each prompt that its budget can buy."""
    given = _settings_of(locals())
    from noise_search.cli.commands import run_generate

    code = run_generate(given, config, download=download, dry_run=dry_run, quiet=quiet)
    raise typer.Exit(code)


@app.command(epilog=EPILOG)
def compare(
    prompt: o.Text = None,
    prompts: o.Prompts = None,
    prompt_column: o.PromptColumn = None,
    answer_column: o.AnswerColumn = None,
    model: o.Model = None,
    pipeline: o.Pipeline = None,
    searches: o.Searches = None,
    budgets: o.Budgets = None,
    seeds: o.Seeds = None,
    seed: o.Seed = None,
    verifier: o.Verifier = None,
    evaluate: o.Evaluate = None,
    steps: o.Steps = None,
    search_steps: o.SearchSteps = None,
    guidance_scale: o.GuidanceScale = None,
    eta: o.Eta = None,
    preview: o.Preview = None,
    fps: o.Fps = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    max_tokens: o.MaxTokens = None,
    step_tokens: o.StepTokens = None,
    split: o.Split = None,
    answers: o.Answers = None,
    system: o.System = None,
    batch: o.Batch = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    offload: o.Offload = None,
    trust_remote_code: o.TrustRemoteCode = False,
    threads: o.Threads = None,
    workers: o.Workers = None,
    fast: o.Fast = None,
    metadata: o.Metadata = None,
    cache: o.Cache = None,
    download: o.Download = False,
    config: o.Config = None,
    out: o.Out = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
) -> None:
    """Run several searches at equal budgets, and draw what each makes of them."""
    given = _settings_of(locals())
    from noise_search.cli.commands import run_compare

    run_compare(given, config, download=download, dry_run=dry_run, quiet=quiet)


@app.command("train-prm", epilog=EPILOG)
def train_prm(
    prompts: o.Prompts = None,
    prompt_column: o.PromptColumn = None,
    answer_column: o.AnswerColumn = None,
    model: o.Model = None,
    evaluate: o.Evaluate = None,
    samples: o.Samples = None,
    rollouts: o.Rollouts = None,
    base: o.Base = None,
    epochs: o.Epochs = None,
    lr: o.Lr = None,
    train_batch: o.TrainBatch = None,
    freeze: o.Freeze = None,
    tails: o.Tails = None,
    likelihood: o.Likelihood = None,
    seed: o.Seed = None,
    steps: o.Steps = None,
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    max_tokens: o.MaxTokens = None,
    step_tokens: o.StepTokens = None,
    split: o.Split = None,
    answers: o.Answers = None,
    system: o.System = None,
    batch: o.Batch = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    threads: o.Threads = None,
    workers: o.Workers = None,
    fast: o.Fast = None,
    out: o.Out = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a process reward model from rollouts of a language model, for --verifier prm:DIR."""
    given = _settings_of(locals())
    from noise_search.cli.training import run_train_prm

    run_train_prm(given, dry_run=dry_run, quiet=quiet)


@app.command()
def prefetch(specs: o.Specs, revision: o.Revision = None) -> None:
    """Fetch models and verifiers from the hub: a run itself never downloads."""
    from noise_search.cli.prefetch import run_prefetch

    run_prefetch(specs, revision)


@app.command()
def demo(out: o.Out = None, workers: o.Workers = None, quiet: o.Quiet = False) -> None:
    """See what a search is good for, in at most 90 seconds on two cores."""
    from noise_search.cli.commands import run_demo

    run_demo({"out": out, "workers": workers}, quiet=quiet)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    workers: o.Workers = None,
    cache: o.Cache = None,
    trust_remote_code: o.TrustRemoteCode = False,
    quiet: o.Quiet = False,
) -> None:
    """Go on with a run that was stopped. Nothing is made twice."""
    from noise_search.cli.commands import run_resume

    how = {"trust": trust_remote_code, "cache": cache is not False, "quiet": quiet}
    raise typer.Exit(run_resume(run, {"workers": workers}, **how))


@app.command()
def reproduce(
    source: Annotated[
        Path, typer.Argument(metavar="PNG|DIR", help="A picture of a run, or the run's folder.")
    ],
    candidate: Annotated[
        str | None,
        typer.Option("--candidate", metavar="ID", help="Which one of a run. Default: its best."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write the picture made again."),
    ] = None,
    trust_remote_code: o.TrustRemoteCode = False,
) -> None:
    """Make a picture or text again from its record: exit code 1 if anything differs."""
    from noise_search.cli.commands import run_reproduce

    raise typer.Exit(run_reproduce(source, candidate, out, trust=trust_remote_code))


@app.command(epilog=EPILOG)
def score(
    verifier: o.Judge,
    images: o.Images,
    prompt: o.Shown = None,
    prompts: o.Prompts = None,
    prompt_column: o.PromptColumn = None,
    device: o.Device = None,
    cache: o.Cache = None,
    as_json: o.Json = False,
) -> None:
    """Judge pictures of any origin: a line each, with its scores or why there are none."""
    from noise_search.cli.scoring import Asked, run_score

    asked = Asked(prompt, prompts, prompt_column)
    code = run_score(verifier, images, asked, device=device, cache=cache, as_json=as_json)
    raise typer.Exit(code)


@app.command("list")
def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="searches, verifiers, models or measures. Default: all."
        ),
    ] = None,
) -> None:
    """Show the searches, verifiers and models there are, with their options."""
    from noise_search.cli.listing import print_names

    print_names(kind)


def _settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """A command's arguments, less those that say how to run and not what."""
    how = ("config", "download", "dry_run", "quiet")
    return {k: v for k, v in arguments.items() if k not in how}
