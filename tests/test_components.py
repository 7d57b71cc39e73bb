"""The config tree: every part is found, every problem is told with its full key."""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

import pytest

from optbench.components import (
    Component,
    check,
    collect_problems,
    component_name,
    register,
    walk,
)
from optbench.errors import ConfigError


@dataclass
class Leaf(Component):
    size: int = 1

    def problems(self):
        return [] if self.size > 0 else [f"size must be > 0, got {self.size}"]


@dataclass
class Branch(Component):
    leaf: Leaf = field(default_factory=Leaf)
    many: list[Leaf] = field(default_factory=list)
    named: dict[str, Leaf] = field(default_factory=dict)

    def problems(self):
        return ["many is too long"] if len(self.many) > 2 else []


def test_a_sound_tree_has_no_problems():
    tree = Branch(Leaf(), [Leaf()], {"a": Leaf()})
    assert collect_problems(tree) == []
    check(tree)


def test_problems_are_collected_from_fields_lists_and_dicts_with_their_keys():
    tree = Branch(Leaf(0), [Leaf(), Leaf(-1), Leaf()], {"a": Leaf(-2)})
    assert collect_problems(tree) == [
        "many is too long",
        "leaf.size must be > 0, got 0",
        "many.1.size must be > 0, got -1",
        "named.a.size must be > 0, got -2",
    ]
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert len(caught.value.problems) == 4


def test_the_walk_gives_parents_first():
    assert [path for path, _ in walk(Branch(Leaf(), [Leaf()]))] == ["", "leaf", "many.0"]


def test_a_registered_component_knows_its_name():
    @register("test_group", "leafy")
    @dataclass
    class Registered(Leaf):
        pass

    assert component_name(Registered()) == "leafy"
    assert component_name(Leaf()) == "Leaf"


class Speed(Enum):
    usual = "usual"
    extra = "very fast"


def test_a_label_tells_what_is_not_as_usual():
    @register("test_group", "labelled")
    @dataclass
    class Labelled(Component):
        speed: Speed = Speed.usual
        careful: bool = False
        width: bool | None = None
        silent: int = 0

        label_fields: ClassVar = {"speed": "{}", "careful": "careful", "width": "width={}"}

    assert Labelled(silent=3).label() == "labelled"
    changed = Labelled(Speed.extra, careful=True, width=False)
    assert changed.label() == "labelled very fast careful width=false"
