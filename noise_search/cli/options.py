"""The flags, as types of parameters. Values stay texts here: `Settings` knows what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

WHAT, SEARCH, SAMPLER, RUN = "What to make", "Search", "Sampler", "Run"
WRITING, LEARNING = "Text", "Training"


def _flag(names: str, metavar: str, panel: str, text: str) -> Any:
    return typer.Option(*names.split(), metavar=metavar, rich_help_panel=panel, help=text)


Text = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT", show_default=False, help="What to draw, or the question to answer."
    ),
]
Prompts = Annotated[
    Path | None,
    _flag(
        "--prompts",
        "FILE",
        WHAT,
        "Prompts: .txt one a line; .csv, .tsv or .jsonl with a column 'prompt'.",
    ),
]
PromptColumn = Annotated[
    str | None, _flag("--prompt-column", "NAME", WHAT, "Another column for the prompts.")
]
AnswerColumn = Annotated[
    str | None,
    _flag("--answer-column", "NAME", WHAT, "The column of the right answers, for --evaluate."),
]
Model = Annotated[
    str | None,
    _flag(
        "--model",
        "SPEC",
        WHAT,
        "What generates: shapes (default), arithmetic, or a folder of diffusers or transformers.",
    ),
]
Pipeline = Annotated[
    list[str] | None,
    _flag(
        "--set",
        "KEY=VALUE",
        WHAT,
        "An argument of the pipeline's call, as in pipeline.height=768; may be repeated.",
    ),
]
Judge = Annotated[
    str,
    typer.Argument(metavar="VERIFIER", show_default=False, help="What judges, as in aesthetic."),
]
Images = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE...", help="PNG, JPEG and WEBP files, and folders of them."),
]
Shown = Annotated[
    str | None, _flag("--prompt", "TEXT", WHAT, "What the pictures were asked to show.")
]
Json = Annotated[bool, _flag("--json", " ", RUN, "A line of JSON for each picture.")]
Specs = Annotated[
    list[str],
    typer.Argument(metavar="SPEC...", help="Models (ORG/NAME) and verifiers (image-reward)."),
]
Revision = Annotated[
    str | None, _flag("--revision", "NAME", RUN, "A commit, tag or branch; a commit pins it.")
]
Search = Annotated[
    str | None,
    _flag(
        "--search",
        "SPEC",
        SEARCH,
        "How to search, as in 'prune(at=0.25+0.5)'. Default: random (best of N).",
    ),
]
Verifier = Annotated[
    str | None,
    _flag("--verifier", "SPEC", SEARCH, "What guides the search. Default: the model's own."),
]
Evaluate = Annotated[
    str | None,
    _flag(
        "--evaluate",
        "SPEC",
        SEARCH,
        "What judges the winners, held out of the search; several with commas, 'none' for nothing.",
    ),
]
Budget = Annotated[
    str | None,
    _flag(
        "--budget",
        "LIMITS",
        SEARCH,
        "What each prompt may spend: 640nfe+90s, 2ktok, 100jcalls+5usd. Default: the model's own.",
    ),
]
Seed = Annotated[
    str | None, _flag("--seed", "N", SEARCH, "Root of all random numbers. Default: 0.")
]
TopK = Annotated[
    str | None,
    _flag("--top-k", "N", SEARCH, "How many samples are kept for each prompt. Default: 1."),
]
Searches = Annotated[
    str | None,
    _flag(
        "--searches",
        "SPECS",
        SEARCH,
        "Searches, with commas between. Default: the usual ones for the model.",
    ),
]
Budgets = Annotated[
    str | None,
    _flag(
        "--budgets",
        "LIMITS",
        SEARCH,
        "Budgets of a prompt, with commas between. Default: the model's own.",
    ),
]
Seeds = Annotated[
    str | None,
    _flag("--seeds", "N", SEARCH, "Repetitions, with seeds from --seed on. Default: 3."),
]
Steps = Annotated[
    str | None,
    _flag(
        "--steps",
        "N",
        SAMPLER,
        "Denoising steps of a picture; most reasoning steps of a text.",
    ),
]
SearchSteps = Annotated[
    str | None,
    _flag(
        "--search-steps",
        "N",
        SAMPLER,
        "Steps while searching; winners are made again with --steps.",
    ),
]
GuidanceScale = Annotated[
    str | None,
    _flag("--guidance-scale", "X", SAMPLER, "Classifier-free guidance. Default: the model's own."),
]
Eta = Annotated[
    str | None,
    _flag("--eta", "X", SAMPLER, "Noise of a DDIM step, 0 (none) to 1 (DDPM). Default: 0."),
]
Temperature = Annotated[
    str | None,
    _flag("--temperature", "X", WRITING, "Of the tokens; 0 is greedy. Default: 1."),
]
TopP = Annotated[
    str | None, _flag("--top-p", "X", WRITING, "Draw from the likeliest tokens of such a mass.")
]
MaxTokens = Annotated[
    str | None, _flag("--max-tokens", "N", WRITING, "Of a whole text. Default: the model's own.")
]
StepTokens = Annotated[
    str | None, _flag("--step-tokens", "N", WRITING, "Of a reasoning step; longer ones are cut.")
]
Split = Annotated[
    str | None,
    _flag(
        "--split",
        "RULE",
        WRITING,
        "Where a step ends: newline, blank-line, 'regex:...' or tokens:64.",
    ),
]
Answers = Annotated[
    str | None,
    _flag(
        "--answers",
        "RULE",
        WRITING,
        "How an answer is found: auto, boxed, gsm8k, answer or number.",
    ),
]
System = Annotated[str | None, _flag("--system", "TEXT", WRITING, "The system's line of a chat.")]
Batch = Annotated[
    str | None,
    _flag(
        "--batch",
        "N",
        RUN,
        "Samples in a batch; part of what makes bits equal.",
    ),
]
Dtype = Annotated[str | None, _flag("--dtype", "TYPE", RUN, "float32, bfloat16 or float16.")]
Device = Annotated[
    str | None, _flag("--device", "NAME", RUN, "cpu, cuda, cuda:1 or mps. Default: cpu.")
]
Offload = Annotated[
    str | None,
    _flag("--offload", "WHAT", RUN, "What leaves the device while idle: model or sequential."),
]
Preview = Annotated[
    str | None,
    _flag(
        "--preview",
        "HOW",
        SAMPLER,
        "Show partial samples cheaply: half, quarter, taesd or taesd:DIR.",
    ),
]
Fps = Annotated[
    str | None,
    _flag("--fps", "X", SAMPLER, "Frames a second of videos. Default: the pipeline's own, or 16."),
]
TrustRemoteCode = Annotated[
    bool,
    _flag("--trust-remote-code", " ", RUN, "Let code that lies with the model run."),
]
Threads = Annotated[str | None, _flag("--threads", "N", RUN, "Threads of one process. Default: 1.")]
Workers = Annotated[
    str | None,
    _flag("--workers", "N", RUN, "Processes; results do not depend on it. Default: 1."),
]
Fast = Annotated[
    bool | None,
    _flag("--fast/--no-fast", " ", RUN, "Leave short batches short: quicker, no longer bit-exact."),
]
Metadata = Annotated[
    bool | None,
    _flag("--metadata/--no-metadata", " ", RUN, "Whether each PNG holds its recipe (it does)."),
]
Cache = Annotated[
    bool | None,
    _flag("--cache/--no-cache", " ", RUN, "Keep scores of costly verifiers (it does)."),
]
Download = Annotated[
    bool, _flag("--download", " ", RUN, "First fetch what the model and verifiers need.")
]
Config = Annotated[
    Path | None,
    _flag("--config", "FILE", RUN, "YAML file of these settings (search_steps: 8); flags win."),
]
Out = Annotated[
    Path | None,
    _flag("--out", "DIR", RUN, "The run's folder. Default: one in runs/ named after the request."),
]
DryRun = Annotated[bool, _flag("--dry-run", " ", RUN, "Say what it would cost, and stop.")]
Quiet = Annotated[bool, _flag("--quiet -q", " ", RUN, "Show no progress.")]
Samples = Annotated[
    str | None,
    _flag("--samples", "N", LEARNING, "Solutions of each question. Default: 16."),
]
Rollouts = Annotated[
    str | None,
    _flag("--rollouts", "N", LEARNING, "Texts that go on from each step. Default: 16."),
]
Base = Annotated[
    str | None,
    _flag("--base", "DIR", LEARNING, "The weights to begin with. Default: those of --model."),
]
Epochs = Annotated[
    str | None,
    _flag("--epochs", "N", LEARNING, "Passes over the solutions, at most. Default: 10."),
]
Lr = Annotated[
    str | None,
    _flag("--lr", "X", LEARNING, "Highest rate. Default: 3e-5, more for a width below 4,096."),
]
TrainBatch = Annotated[
    str | None,
    _flag("--train-batch", "N", LEARNING, "Solutions of a training step. Default: 128."),
]
Freeze = Annotated[
    bool | None,
    _flag("--freeze/--no-freeze", " ", LEARNING, "Train the head alone."),
]
Likelihood = Annotated[
    bool | None,
    _flag(
        "--likelihood/--no-likelihood",
        " ",
        LEARNING,
        "Learn a head alone, on the base's hidden states and log-probabilities.",
    ),
]
Tails = Annotated[
    bool | None,
    _flag("--tails/--no-tails", " ", LEARNING, "Learn from the rollouts' own steps too."),
]
