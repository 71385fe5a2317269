"""Keys and values of what a model has read or written, kept by token sequence.

A tree: the root of a prompt holds what was read, every node below it a stretch of what was
written. Siblings share the nodes above them, a rewind is a slice of a longer stretch, and the
longest known beginning of a text is found by walking down once. Different prompts share nothing,
because the last bits of what is read depend on how much is read at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Past", "Prefixes", "cut", "length"]

Past = tuple[Tensor, ...]
"""Keys and values of one stretch of tokens; positions are the last dimension but one."""

Cutter = Callable[[int, int], Past]


def cut(past: Past, begin: int, end: int) -> Past:
    """The positions from `begin` up to `end`, as views."""
    return tuple(part[..., begin:end, :] for part in past)


def length(past: Past) -> int:
    """How many positions it has."""
    return past[0].shape[-2]


@dataclass(eq=False, slots=True)
class _Node:
    """A stretch of tokens; `tokens` and `past` have equal lengths."""

    tokens: tuple[int, ...]
    past: Past
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(part.numel() * part.element_size() for part in self.past)


class Prefixes:
    """The tree, limited in bytes: what was not used for longest goes first.

    Args:
        keep: bytes of keys and values that may be kept.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.size = 0
        self._roots: dict[tuple[int, ...], _Node] = {}
        # Least recently used first. Whoever touches a node touches its ancestors after it, so the
        # first is always a leaf.
        self._nodes: OrderedDict[_Node, tuple[int, ...]] = OrderedDict()

    def find(self, context: tuple[int, ...], written: Sequence[int]) -> list[Past] | None:
        """The longest known beginning.

        Args:
            context: the tokens of the prompt.
            written: tokens that were fed after what was read of the prompt.

        Returns:
            What was read and what is known of `written`, in pieces to be joined; None if the
            prompt is not known.
        """
        root = self._roots.get(context)
        if root is None:
            return None
        node, pieces, at = root, [root.past], 0
        while at < len(written) and (child := node.children.get(written[at])) is not None:
            same = _common(child.tokens, written, at)
            pieces.append(cut(child.past, 0, same))
            node, at = child, at + same
            if same < len(child.tokens):
                break
        self._touch(node)
        return pieces

    def put(self, context: tuple[int, ...], written: Sequence[int], cutter: Cutter) -> None:
        """Keep a sequence; what is known of it already is kept once.

        Args:
            context: the tokens of the prompt.
            written: tokens that were fed after what was read of the prompt.
            cutter: gives the keys and values from one position of the whole sequence up to
                another; position `len(context) - 1` is the first of `written`.
        """
        read = len(context) - 1
        if (root := self._roots.get(context)) is None:
            root = self._roots[context] = self._add((), cutter(0, read), None, context)
        node, at = root, 0
        while at < len(written) and (child := node.children.get(written[at])) is not None:
            same = _common(child.tokens, written, at)
            node, at = self._split(child, same, context), at + same
        if at < len(written):
            past = cutter(read + at, read + len(written))
            node = self._add(tuple(written[at:]), past, node, context)
        self._touch(node)
        while self.size > self.keep:
            self._drop()

    def _add(
        self, tokens: tuple[int, ...], past: Past, parent: _Node | None, context: tuple[int, ...]
    ) -> _Node:
        node = _Node(tokens, tuple(part.clone() for part in past), parent)
        if parent is not None:
            parent.children[tokens[0]] = node
        self._nodes[node] = context
        self.size += node.size
        return node

    def _split(self, node: _Node, at: int, context: tuple[int, ...]) -> _Node:
        """Part a node into two; the upper one, which ends at `at`."""
        if at == len(node.tokens):
            return node
        self.size -= node.size
        upper = self._add(node.tokens[:at], cut(node.past, 0, at), node.parent, context)
        rest = cut(node.past, at, len(node.tokens))
        node.tokens, node.past = node.tokens[at:], tuple(part.clone() for part in rest)
        node.parent = upper
        upper.children[node.tokens[0]] = node
        self.size += node.size
        return upper

    def _touch(self, node: _Node | None) -> None:
        while node is not None:
            self._nodes.move_to_end(node)
            node = node.parent

    def _drop(self) -> None:
        node, context = self._nodes.popitem(last=False)
        self.size -= node.size
        if node.parent is None:
            del self._roots[context]
        else:
            del node.parent.children[node.tokens[0]]


def _common(tokens: tuple[int, ...], written: Sequence[int], at: int) -> int:
    """How many of `tokens` stand in `written` from `at` on."""
    most = min(len(tokens), len(written) - at)
    return next((i for i in range(most) if tokens[i] != written[at + i]), most)
