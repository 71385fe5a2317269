"""What people get wrong: command lines and files, with the word that the error line must hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """A command line that must be refused.

    Attributes:
        argv: the words.
        key: what the error line has to name.
        files: what lies in the folder it is called in.
    """

    argv: tuple[str, ...]
    key: str
    files: Mapping[str, bytes] = {}


MODEL = ("--model", "gaussian(dim=4)")
GENERATE = ("generate", "hello", *MODEL)
COMPARE = ("compare", "hello", *MODEL)

# option -> values that it must refuse
VALUES: Mapping[str, tuple[str, ...]] = {
    "--seed": (
        "abc", "-1", "1.5", "nan", "inf", "", " ", "true", "1e3", "0x10", "[1]", "🔥",
        "9223372036854775808", "9" * 5000,
    ),
    "--set": ("x=1", "height=3", "pipeline=3", "pipeline.a b=1", "pipeline.height", "", "=", "."),
    "--steps": ("0", "-3", "10001", "1001", "2.5", "x", "", "nan", "None"),
    "--search-steps": ("0", "-1", "9", "99999", "abc", "1.1", ""),
    "--guidance-scale": ("-1", "101", "nan", "inf", "-inf", "x", "", "1e309"),
    "--eta": ("-0.1", "1.1", "nan", "inf", "x", ""),
    "--batch": ("0", "-8", "4097", "1.5", "x", ""),
    "--top-k": ("0", "-1", "1001", "x"),
    "--threads": ("0", "-1", "1025", "x"),
    "--workers": ("0", "-1", "1025", "x", "1.5"),
    "--dtype": ("float", "fp32", "FLOAT32", "", "int8", "float16"),
    "--device": ("cud", "cuda:", "cuda:x", "", "gpu", "cpu:-1", "cuda:0:1", "cuda:99999"),
    "--budget": (
        "", "64", "nfe", "64nf", "-64nfe", "0nfe", "64nfe+", "64nfe+64nfe", "1.5nfe", "4nfe",
        "1e3nfe", "nannfe", "64ktok", "9999999999999999nfe", "64nfe,128nfe", "0s", "∞nfe", "0calls",
        "64nfe+4forwards", "64 nfe 2",
    ),
    "--search": (
        "rndom", "zero_order", "", "prune(", "prune)", "prune(at)", "prune(at=)", "prune(at=2)",
        "prune(at=0)", "prune(at=0.25+)", "prune(keep=0)", "prune(kep=0.5)", "prune(at=.5,at=.2)",
        "random(batch=0)", "random(batch=x)", "random:target", "random(8)", "(batch=8)", "🔥",
        "zero-order(cosine=2)", "zero-order(cosine=nan)", "zero-order(neighbors=0)",
        "zero-order(neighbors=1000001)", "zero-order(elitist=maybe)", "paths(start=1)",
        "paths(start=nan)", "paths(width=-1)", "steps(a=1)", "random()x", "random(batch=8))",
        "\x1b[31mrandom", "a" * 5000,
    ),
    "--model": (
        "gausian", "gaussian(dim=0)", "gaussian(dim=x)", "gaussian(dims=4)", "gaussian(scale=-1)",
        "gaussian(scale=nan)", "gaussian(path=lin)", "mixture(weight=2)", "shaps", "", "shapes(",
        "../x", "gaussian(dim=1000001)",
    ),
    "--verifier": ("reward2", "rewrd", "reward(slope=x)", "reward(slop=1)", "", "reward(slope=)"),
    "--evaluate": ("shape", "rewrd", "reward(slope=x)", "reward(slop=1)", "", "Reward"),
    "--out": ("", ".", "here.txt", "here.txt/run", "/dev/null/run", "a\0b", "n" * 300),
}  # fmt: skip

COMPARED: Mapping[str, tuple[str, ...]] = {
    "--searches": ("", ",", "random,", "random,random", "random,rndom", "random,prune(at=2)"),
    "--budgets": ("", "64nfe,4nfe", "64nfe,64nfe", "64nfe,x", "64nfe;128nfe"),
    "--seeds": ("0", "-1", "x", "1001", "1.5", ""),
}

# name of a prompts file -> its contents, and what the error line has to name
PROMPTS: Mapping[str, tuple[bytes, str]] = {
    "empty.txt": (b"", "no prompt"),
    "comments.txt": (b"# one\n\n   \n# two\n", "no prompt"),
    "latin.txt": (b"caf\xe9\n", "UTF-8"),
    "wide.txt": ("two circles".encode("utf-16"), "UTF-8"),
    "long.txt": (b"a" * 20_001, "line 1"),
    "prompts.docx": (b"hello", ".docx"),
    "prompts": (b"hello", "prompts"),
    "column.csv": (b"text,seed\nhello,1\n", "'prompt'"),
    "ragged.csv": (b"prompt,seed\nhello\n", "line 2"),
    "comma.csv": (b"prompt\nhello, world\n", "line 2"),
    "quote.csv": (b'prompt\n"hello" world\n', "line 2"),
    "open.csv": (b'prompt\n"hello\n', "line"),
    "twice.csv": (b"prompt,prompt\na,b\n", "'prompt'"),
    "header.csv": (b"prompt\n", "no prompt"),
    "blank.csv": (b"prompt,seed\n ,1\n", "prompt is empty"),
    "seed.csv": (b"prompt,seed\nhello,x\n", "seed=x"),
    "ragged.tsv": (b"Prompt\tCategory\nhello\n", "line 2"),
    "column.tsv": (b"Text\tCategory\nhello\tx\n", "'prompt'"),
    "broken.jsonl": (b'{"prompt": "hello"\n', "line 1"),
    "array.jsonl": (b'["hello"]\n', "line 1"),
    "number.jsonl": (b'{"prompt": 5}\n', "prompt=5"),
    "null.jsonl": (b'{"prompt": null}\n', "prompt is empty"),
    "blank.jsonl": (b'{"prompt": ""}\n', "prompt is empty"),
    "negative.jsonl": (b'{"prompt": "a", "negative_prompt": [1]}\n', "negative_prompt"),
    "seed1.jsonl": (b'{"prompt": "a", "seed": -1}\n', "seed=-1"),
    "seed2.jsonl": (b'{"prompt": "a", "seed": 1.5}\n', "seed=1.5"),
    "seed3.jsonl": (b'{"prompt": "a", "seed": true}\n', "seed=True"),
    "seed4.jsonl": (b'{"prompt": "a", "seed": 9223372036854775808}\n', "seed=9223372036854775808"),
    "seed5.jsonl": (b'{"prompt": "a", "seed": NaN}\n', "seed=nan"),
    "surrogate.jsonl": (b'{"prompt": "\\ud800"}\n', "surrogate"),
    "deep.jsonl": (b"[" * 200_000 + b"\n", "line 1"),
    "digits.jsonl": (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}\n", "line 1"),
    "second.jsonl": (b'{"prompt": "a"}\n{"text": "b"}\n', "line 2"),
}

# a configuration file -> what the error line has to name
CONFIGS: tuple[tuple[bytes, str], ...] = (
    (b"", "mapping"),
    (b"- a\n- b\n", "mapping"),
    (b"hello", "mapping"),
    (b"serch: random\n", "'search'"),
    (b"searchsteps: 4\n", "'search_steps'"),
    (b"xyzzy: 4\n", "xyzzy"),
    (b"5: 4\n", "'5'"),
    (b"seed: abc\n", "seed=abc"),
    (b"seed: true\n", "seed=True"),
    (b"seed: -1\n", "seed=-1"),
    (b"seed: .nan\n", "seed"),
    (b"seed: null\n", "seed"),
    (b"seed: 99999999999999999999\n", "seed"),
    (b"seed: " + b"9" * 5000 + b"\n", "config"),
    (b"seed: 0x" + b"f" * 9000 + b"\n", "seed"),
    (b"seed: 2024-13-45\n", "config"),
    (b"eta: .inf\n", "eta=inf"),
    (b"batch: [8]\n", "batch"),
    (b"batch: {a: 8}\n", "batch"),
    (b"search: {prune: 1}\n", "search"),
    (b"search: 5\n", "search=5"),
    (b"metadata: 3\n", "metadata=3"),
    (b"fast: perhaps\n", "fast=perhaps"),
    (b"out: 5\n", "out=5"),
    (b"workers: false\n", "workers"),
    (b"prompt: 5\n", "prompt"),
    (b"prompt: [1]\n", "prompt"),
    (b"prompt: []\n", "prompt"),
    (b"prompt: ''\n", "prompt"),
    (b"prompt: a\nprompts: b.txt\n", "prompt"),
    (b"prompts: missing.txt\n", "missing.txt"),
    (b"prompt: a\nprompt_column: text\n", "prompt_column"),
    (b"prompt: a\nanswer_column: text\n", "answer_column"),
    (b"searches: random\n", "'search'"),
    (b"seed: 1\nseed: 2\n", "'seed'"),
    (b"seed: &a 1\nbatch: *a\n", "aliases"),
    (b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", "aliases"),
    (b"<<: {seed: 1}\n<<: {seed: 2}\n", "config"),
    (b"seed: !!python/object/apply:os.system ['touch owned']\n", "line 1"),
    (b"!!python/object:os.System {}\n", "line 1"),
    (b"seed: !unknown 1\n", "line 1"),
    (b"seed: 'open\n", "line"),
    (b"seed: 1\n\tbatch: 2\n", "line"),
    (b"seed: [1\n", "line"),
    (b"a: b: c\n", "line 1"),
    (b"? [a]\n: b\n", "line 1"),
    (b"seed: 1\n---\nseed: 2\n", "line"),
    (b"seed: \x00\n", "config"),
    (b"\xff\xfe\x00seed", "UTF-8"),
    (b"[" * 5_000, "config"),
    (b"x: [" + b"a," * 20_000 + b"]", "too long"),
    (b"#" * ((1 << 20) + 1), "1 MiB"),
)

OTHERS: tuple[Case, ...] = (
    Case(("genrate", "hello"), "'generate'"),
    Case(("",), "command"),
    Case(("xyzzy",), "xyzzy"),
    Case(("--vers",), "'--version'"),
    Case(("generate",), "prompt"),
    Case(("generate", "", *MODEL), "prompt"),
    Case(("generate", "   ", *MODEL), "prompt"),
    Case(("generate", "\udc80", *MODEL), "prompt"),
    Case(("generate", "a" * 20_001, *MODEL), "prompt"),
    Case((*GENERATE, "again"), "again"),
    Case((*GENERATE, "--prompts", "here.txt"), "prompts"),
    Case((*GENERATE, "--prompt-column", "text"), "prompt_column"),
    Case((*GENERATE, "--answer-column", "text"), "answer_column"),
    Case((*GENERATE, "--sede", "3"), "'--seed'"),
    Case((*GENERATE, "--budgets", "64nfe"), "'--budget'"),
    Case((*GENERATE, "--xyzzy"), "--xyzzy"),
    Case((*GENERATE, "-z"), "-z"),
    Case((*GENERATE, "--seed"), "--seed"),
    Case((*GENERATE, "--config"), "--config"),
    Case((*GENERATE, "--fast=yes"), "--fast"),
    Case((*GENERATE, "--config", "missing.yaml"), "missing.yaml"),
    Case((*GENERATE, "--config", "."), "config"),
    Case((*GENERATE, "--config", "a\0b"), "config"),
    Case(("generate", *MODEL, "--prompts", "missing.txt"), "missing.txt"),
    Case(("generate", *MODEL, "--prompts", "folder.txt"), "folder.txt", {"folder.txt/x": b""}),
    Case(("generate", *MODEL, "--prompts", "a\0b.txt"), "prompts"),
    Case(("generate", *MODEL, "--prompts", "/dev/zero"), "prompts"),
    Case(
        ("generate", *MODEL, "--prompts", "p.csv", "--prompt-column", "text"),
        "among prompt",
        {"p.csv": b"prompt\nhello\n"},
    ),
    Case(
        ("generate", *MODEL, "--prompts", "p.txt", "--prompt-column", "text"),
        "prompt_column",
        {"p.txt": b"hello\n"},
    ),
    Case(
        ("generate", *MODEL, "--prompts", "p.csv", "--answer-column", "key"),
        "'key' among prompt",
        {"p.csv": b"prompt\nhello\n"},
    ),
    Case(
        ("generate", *MODEL, "--prompts", "p.txt", "--answer-column", "key"),
        "answer_column",
        {"p.txt": b"hello\n"},
    ),
    Case(("generate", "two red dogs"), "dogs"),
    Case(("generate", "a photograph of an astronaut riding a horse"), "--model"),
    Case((*GENERATE, "--out", "other"), "run.json", {"other/run.json": b"{}"}),
    Case((*GENERATE, "--out", "other"), "line 1", {"other/journal": b"damaged\n"}),
    Case((*GENERATE, "--steps", "4", "--search-steps", "8"), "search_steps=8"),
    Case((*GENERATE, "--search-steps", "4", "--budget", "8nfe"), "budget"),
    Case((*GENERATE, "--search", "paths", "--search-steps", "4"), "search_steps"),
    Case((*GENERATE, "--search", "prune", "--budget", "90s"), "prune"),
    Case((*COMPARE, "--search", "random"), "'--searches'"),
    Case((*COMPARE, "--top-k", "2"), "--top-k"),
    Case((*COMPARE, "--config", "c.yaml"), "top_k", {"c.yaml": b"top_k: 2\n"}),
    Case((*COMPARE, "--searches", "single,random"), "single"),
    Case((*COMPARE, "--config", "c.yaml"), "'budgets'", {"c.yaml": b"budget: 64nfe\n"}),
    Case(("list", "search"), "'searches'"),
    Case(("list", "models", "more"), "more"),
    Case(("resume",), "DIR"),
    Case(("resume", "missing"), "missing"),
    Case(("resume", "here.txt"), "here.txt"),
    Case(("resume", "other"), "other", {"other/x": b""}),
    Case(("resume", "other"), "journal", {"other/journal": b"damaged\n"}),
    Case(("resume", "other", "--workers", "0"), "workers", {"other/x": b""}),
    Case(("reproduce",), "PNG|DIR"),
    Case(("reproduce", "missing.png"), "missing.png"),
    Case(("reproduce", "other"), "other", {"other/x": b""}),
    Case(("reproduce", "here.txt", "--candidate", "abc"), "candidate"),
    Case(("demo", "--steps", "3"), "--steps"),
    Case(("demo", "--workers", "x"), "workers=x"),
    Case(("demo", "--out", "here.txt"), "here.txt"),
)


TEXT = ("generate", "3 + 4 * 2", "--model", "arithmetic", "--verifier", "prm-random")

# option -> values that a model that writes must refuse
WRITING: Mapping[str, tuple[str, ...]] = {
    "--split": (
        "newlin", "lines", "", "regex", "regex:", "regex:(", "regex:a*", "tokens", "tokens:",
        "tokens:0", "tokens:-1", "tokens:x", "newline:1", "blank-line:", "regex:" + "a" * 600,
    ),
    "--temperature": ("-1", "101", "nan", "inf", "x", "", "true"),
    "--top-p": ("0", "1.1", "-0.5", "nan", "x"),
    "--max-tokens": ("0", "-1", "1000001", "1.5", "x"),
    "--step-tokens": ("0", "-1", "1000001", "x"),
    "--answers": ("boxd", "", "AUTO", "regex:x"),
    "--budget": ("64nfe", "0tok", "100tok", "1.5tok", "64forwards", "ktok", "2ktoken"),
    "--search": (
        "beam(draws=0)", "beam(width=x)", "beam(lookahead=-1)", "beam(final=worst)", "beams",
        "revise(sequential=0)", "revise(parallel=-2)", "diverse", "diverse(groups=2)",
        "diverse(beem,groups=2)", "diverse(beam,groups=0)", "diverse(beam,random)",
        "diverse(beam(draws=0))", "random(final=weightd)", "steps",
    ),
    "--verifier": ("prn", "prm(aggregate=max)", "prm(flip=2)", "clip:ViT-L-14/openai", "shapes"),
    "--evaluate": ("exact", "math", "shapes", "exat"),
    "--guidance-scale": ("2",),
    "--eta": ("0.5",),
    "--search-steps": ("4",),
    "--steps": ("0", "10001"),
}  # fmt: skip

TEXTS: tuple[Case, ...] = (
    Case(("generate", "two red circles", "--model", "arithmetic"), "two red circles"),
    Case(("generate", "3 / 4", "--model", "arithmetic"), "'/'"),
    Case(("generate", "3 +", "--model", "arithmetic"), "prompt"),
    Case(("generate", "3 + 4", "--model", "hf:./m"), "verifier"),
    Case((*GENERATE, "--temperature", "1"), "temperature"),
    Case((*GENERATE, "--split", "newline"), "split"),
    Case((*GENERATE, "--max-tokens", "8"), "max_tokens"),
    Case((*GENERATE, "--search", "random(final=majority)"), "final=majority"),
    Case((*GENERATE, "--verifier", "prm"), "prm judges texts"),
    Case(("generate", "a red circle", "--evaluate", "exact"), "exact judges texts"),
)


def cases() -> Iterator[Case]:
    """All of them."""
    for option, values in VALUES.items():
        command = ("generate", "hello") if option == "--model" else GENERATE
        for value in values:
            yield Case((*command, option, value), option[2:].replace("-", "_"))
    for option, values in COMPARED.items():
        key = "budget" if option == "--budgets" else "search" if option == "--searches" else "seeds"
        for value in values:
            yield Case((*COMPARE, option, value), key)
    for name, (content, key) in PROMPTS.items():
        yield Case(("generate", *MODEL, "--prompts", name), key, {name: content})
    for content, key in CONFIGS:
        yield Case(("generate", *MODEL, "--config", "c.yaml"), key, {"c.yaml": content})
    yield from OTHERS
    for option, values in WRITING.items():
        for value in values:
            yield Case((*TEXT, option, value), option[2:].replace("-", "_"))
    yield from TEXTS


def put(folder: Path, case: Case) -> None:
    """Put a case's files into the folder it is called in."""
    for name, content in {"here.txt": b"a file", **case.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
