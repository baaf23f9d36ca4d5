"""Reference models: what is kept, which stand beside a measurement, and that nothing of a user's is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from commands import call, refused
from report_factory import full_measurement

from infoplane.analysis.references import reference_files
from infoplane.analysis.references.reference import Reference
from infoplane.analysis.references.reference_files import add_references, known_references, remove_reference
from infoplane.analysis.references.reference_standing import MANY, comparable, standing
from infoplane.analysis.surveys.record import Survey, Surveyed
from infoplane.errors import ResultError
from infoplane.measurement.results import Measurement
from infoplane.report.measurement import planes, reference_marks
from infoplane.report.measurement.view import View
from infoplane.report.measurement.writing import render_report


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without references, and a package without any."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(reference_files, "shipped_folder", lambda: tmp_path / "shipped")
    return tmp_path / "home" / "infoplane" / "references"


def of(name: str, move: float = 0.0, layers: tuple[str, ...] = ("block.0", "block.1", "model"), **more: Any) -> Any:
    """A measurement of a model called `name`, whose figures are moved; `more` are parts of its provenance."""
    full = full_measurement(model=name)
    rows = [
        dataclasses.replace(
            row,
            value=row.value + move,
            interval=None if row.interval is None else (row.interval[0] + move, row.interval[1] + move),
        )
        for row in full
        if row.layer in layers
    ]
    provenance = {
        **full.provenance,
        "model": {"source": name, "file_sha256": name * 3, **more.pop("model", {})},
        "text": {"source": "c4-sample", "sha256": "t1"},
        "windows": {"token_budget": 32_768, "context": 512, "seed": 0, "tokenizer": {"name": "bpe", "hash": "k1"}},
        "settings": {**full.provenance["settings"], "corrected": "null-curve", "unit": "efficiency"},
        "protocol": {"name": "standard", "version": 1, "changed": []},
        **more,
    }
    return Measurement(tuple(rows), provenance)


def test_what_is_kept_is_the_whole_model_and_what_decides_it() -> None:
    measured = of("a", run_id="secret", wall_time={"total_s": 3.0})
    kept = Reference.of(measured, "A")
    assert kept.measurement.layers == () and {row.layer for row in kept.measurement} == {"model"}
    assert not any(row.replicates or row.points for row in kept.measurement)
    assert "wall_time" not in kept.measurement.provenance and "run_id" not in kept.measurement.provenance
    again = Reference.from_dict(json.loads(json.dumps(kept.to_dict())))
    assert again == kept
    for quantity in ("complexity", "expressivity"):
        own, row = measured.get(quantity, order=1), again.measurement.get(quantity, order=1)
        assert (row.value, row.interval, row.n) == (own.value, own.interval, own.n)


@pytest.mark.parametrize(
    ("measurement", "says"),
    [
        (of("a", difference=True), "difference of two models"),
        (of("a", protocol=None), "by which protocol"),
        (of("a", text={"source": "x"}), "by which text"),
        (of("a", layers=("block.0",)), "no complexity of the whole model"),
    ],
)
def test_what_has_no_place_is_refused(measurement: Measurement, says: str) -> None:
    with pytest.raises(ResultError, match=says):
        Reference.of(measurement, "A")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"text": {"source": "mine", "sha256": "t2"}}, "another text, c4-sample"),
        ({"protocol": {"name": "paper", "version": 1, "changed": []}}, "by the protocol standard 1, and this by"),
        ({"protocol": {"name": "standard", "version": 2, "changed": []}}, "standard 2"),
        ({"protocol": {"name": "standard", "version": 1, "changed": ["shared_points"]}}, "with other shared_points"),
        ({"windows": {"token_budget": 8192, "seed": 0}}, "tokens = 32768, and this with 8192"),
        ({"windows": {"token_budget": 32_768, "seed": 1}}, "seed = 0"),
        ({"points": {"m": 50}}, "m = 100"),
        ({"settings": {"unit": "bits"}}, "unit = efficiency"),
        ({"difference": True}, "no place on the plane"),
    ],
)
def test_of_another_protocol_or_text_it_says_why(more: dict[str, Any], says: str) -> None:
    reference, other = Reference.of(of("a"), "A"), of("b", **more)
    why = reference.why_apart(other)
    assert why is not None and says in why
    assert comparable(other, [reference]) == ([], [(reference, why)])
    assert reference.why_apart(of("b")) is None


def test_codes_and_weights_that_are_added_change_nothing() -> None:
    more = {"name": "standard", "version": 1, "changed": ["code", "weights"]}
    assert Reference.of(of("a"), "A").why_apart(of("b", protocol=more)) is None


def test_figures_of_a_fitted_code_compare_where_each_has_its_own() -> None:
    def fitted(name: str, capacity: float, kept: str | None = None) -> Measurement:
        found = of(
            name, points={"code": "fitted", "m": 100, "capacity": capacity, "kept": {"of": kept} if kept else {}}
        )
        return dataclasses.replace(
            found, estimates=tuple(dataclasses.replace(row, code="fitted") for row in found.estimates)
        )

    mine = fitted("b", 0.5)
    row = mine.get("complexity", order=1)
    assert Reference.of(fitted("a", 0.5), "A").row(row, mine.origin) is not None
    assert Reference.of(fitted("a", 0.4), "A").row(row, mine.origin) is None
    kept = fitted("b", 0.5, kept="c")
    assert Reference.of(fitted("a", 0.5), "A").row(row, kept.origin) is None


def test_the_model_is_not_its_own_reference() -> None:
    reference = Reference.of(of("a"), "A")
    assert reference.is_of(of("a")) and not reference.is_of(of("b"))
    assert not reference.is_of(of("a", model={"random_init": True}))
    assert comparable(of("a"), [reference]) == ([], [])
    unnamed = of("a", model={"file_sha256": None})
    assert not Reference.of(unnamed, "A").is_of(unnamed)  # of a module nothing vouches for its weights


# ---------------------------------------------------------------------- where they are kept


def test_they_are_added_listed_and_removed(home: Path, tmp_path: Path) -> None:
    of("a").save(tmp_path / "infoplane-a")
    assert call("references", tmp_path / "infoplane-a").exit_code == 0
    assert call("references", f"Other name={tmp_path / 'infoplane-a'}").exit_code == 0
    assert sorted(path.name for path in home.iterdir()) == ["a.json", "other-name.json"]
    listed = call("references").output
    assert "a " in listed and "Other name" in listed and "32,768" in listed
    of("b", text={"source": "mine", "sha256": "t2"}).save(tmp_path / "b")
    assert "no: measured on another text" in " ".join(call("references", "--beside", tmp_path / "b").output.split())
    assert "it is this model" in call("references", "--beside", tmp_path / "infoplane-a").output
    assert call("references", "--remove", "OTHER name").exit_code == 0
    assert [path.name for path in home.iterdir()] == ["a.json"]


def test_a_survey_gives_all_that_it_measured(home: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        of(name).save(tmp_path / name)
    models = [Surveyed(name, f"org/{name}", None, measurement=of(name)) for name in ("one", "two")]
    Survey((*models, Surveyed("three", "org/three", None, error="ModelError", message="no"))).save(tmp_path)
    assert call("references", tmp_path).exit_code == 0
    assert sorted(path.name for path in home.iterdir()) == ["one.json", "two.json"]


def test_nothing_is_overwritten_or_half_added(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_references([Reference.of(of("a"), "A")])
    before = (home / "a.json").read_bytes()
    of("b").save(tmp_path / "b")
    code, said = refused(capsys, "references", f"new={tmp_path / 'b'}", f"a={tmp_path / 'b'}")
    assert code == 2 and "there is a reference model 'a'" in said
    assert [path.name for path in home.iterdir()] == ["a.json"] and (home / "a.json").read_bytes() == before
    code, said = refused(capsys, "references", f"x={tmp_path / 'b'}", f"X={tmp_path / 'b'}")
    assert code == 2 and "two of the models are called 'X'" in said
    assert call("references", f"a={tmp_path / 'b'}", "--force").exit_code == 0
    assert (home / "a.json").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--remove", "nothing"], "no reference model 'nothing' was added; those that were: A"),
        (["--remove", "shipped one"], "comes with infoplane and stays"),
        (["--force"], "--force is for a measurement that is added"),
        (["--remove", "A", "--beside", "x"], "two requests"),
        (["nowhere"], "no measurement at"),
        (["{long}={b}"], "expected up to 60 characters"),
        (["\u001b[31m={b}"], "that can be shown"),
        (["mine={survey}"], "is a survey, whose models have names"),
        (["{empty}"], "has measured no model yet"),
        (["shipped one={b}"], "comes with infoplane: choose another name"),
    ],
)
def test_refusals(words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_references([Reference.of(of("a"), "A")])
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "shipped-one.json").write_text("{}")
    of("b").save(tmp_path / "b")
    of("c").save(tmp_path / "survey" / "c")
    Survey((Surveyed("c", "org/c", None, measurement=of("c")),)).save(tmp_path / "survey")
    Survey((Surveyed("c", "org/c", None, error="ModelError", message="no"),)).save(tmp_path / "empty")
    places = {name: tmp_path / name for name in ("b", "survey", "empty")}
    code, said = refused(capsys, "references", *(word.format(long="x" * 61, **places) for word in words))
    assert code == 2 and says in said


def test_names_of_any_script_have_files_of_their_own(home: Path) -> None:
    names = ["t", "té", "tü", "模型", "été 模型", "été t"]
    add_references([Reference.of(of("a"), name) for name in names])
    assert len([*home.iterdir()]) == len(names)
    assert {reference.name for reference in known_references()[0]} == {*names}
    remove_reference("tü")
    assert {reference.name for reference in known_references()[0]} == {*names} - {"tü"}


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: record["provenance"].update(other_codes=[5]),
        lambda record: record["provenance"]["windows"].update(token_budget="abc"),
        lambda record: record["provenance"]["settings"].update(orders=5),
        lambda record: record["provenance"]["settings"].update(orders=[9]),
        lambda record: record["provenance"]["text"].update(source=5),
        lambda record: record["provenance"].update(model=5),
        lambda record: record["estimates"][0].update(value="x"),
        lambda record: record.update(name=5),
    ],
)
def test_a_record_whose_types_are_wrong_is_left_out(harm: Any, home: Path) -> None:
    add_references([Reference.of(of("a"), "A"), Reference.of(of("b"), "B")])
    record = json.loads((home / "a.json").read_text("utf-8"))
    harm(record)
    del record["sha256"]
    (home / "a.json").write_text(json.dumps(record), "utf-8")
    found, unreadable = known_references()
    assert [reference.name for reference in found] == ["B"] and "a.json is not a reference model" in unreadable[0]
    listed = call("references")
    assert listed.exit_code == 0 and "Left out" in listed.output
    assert "A reference model is left out" in render_report(of("c"))


@pytest.mark.parametrize("harm", [b"", b"{}", b"nothing", None])
def test_a_damaged_one_is_named_and_the_others_go_on(harm: bytes | None, home: Path) -> None:
    add_references([Reference.of(of("a"), "A"), Reference.of(of("b"), "B")])
    content = (home / "a.json").read_bytes()
    (home / "a.json").write_bytes(content.replace(b"0.", b"0.0", 1) if harm is None else harm)
    found, unreadable = known_references()
    assert [reference.name for reference in found] == ["B"]
    assert len(unreadable) == 1 and "a.json" in unreadable[0]
    assert call("references").exit_code == 0
    render_report(of("c"))  # a page is drawn all the same
    remove_reference("A")
    assert known_references()[1] == []


# ---------------------------------------------------------------------- on the page


def references(n: int, move: float = 0.0) -> list[Reference]:
    return [Reference.of(of(f"m{i}", move), f"Model {i}") for i in range(n)]


def test_marks_lie_where_the_models_do_and_the_page_names_them() -> None:
    twin = Reference.of(of("u", 0.1, model={"random_init": True}), "Model 0, untrained")
    other = Reference.of(of("o", windows={"token_budget": 32_768, "seed": 0, "tokenizer": {"hash": "k2"}}), "Other")
    mine = of("mine")
    view = View.of(mine, [*references(1, 0.02), twin, other])
    marks = {mark["name"]: mark for mark in reference_marks.marks_of(view, "complexity")}
    for name, move in (("Model 0", 0.02), ("Model 0, untrained", 0.1), ("Other", 0.0)):
        for axis, quantity in (("x", "complexity"), ("y", "expressivity")):
            assert marks[name][axis] == pytest.approx(mine.get(quantity, order=1).value + move)  # type: ignore[literal-required]
    said = list(reference_marks.sentences(view))
    assert said == [
        "Reference models, measured in the same way on the same text: rings are Model 0 and Other; the "
        "cross is untrained: Model 0, untrained.",
        "Other has another tokenizer, whose tokens are other pieces of text: read the distance to them as rough.",
    ]
    page = render_report(mine, [*references(1, 0.02), twin, other])
    assert said[0] in page and page.count("Model 0, untrained") > 2
    assert "Reference models" not in render_report(mine, [])


def test_a_model_far_from_the_layers_is_said_and_not_drawn() -> None:
    mine = of("mine")
    far = Reference.of(of("f", 2.0), "Far")
    view = View.of(mine, [*references(1), far])
    near, beyond = reference_marks.in_sight(view, "complexity", reference_marks.marks_of(view, "complexity"))
    assert ([mark["name"] for mark in near], [mark["name"] for mark in beyond]) == (["Model 0"], ["Far"])
    x, y = (100 * (mine.get(quantity, order=1).value + 2.0) for quantity in ("complexity", "expressivity"))
    assert list(reference_marks.sentences(view))[:2] == [
        f"Too far from these layers to be drawn with them: Far (complexity {x:.2f} %, expressivity {y:.2f} %).",
        "Reference models, measured in the same way on the same text: the ring is Model 0.",
    ]
    alone = planes.information_plane(View.of(mine, references(1)))
    both = planes.information_plane(view)
    assert alone is not None and both is not None and _domain(both) == _domain(alone)


def _domain(chart: Any) -> Any:
    layer = chart.to_dict()["layer"][0]
    return layer["encoding"]["x"]["scale"]["domain"], layer["encoding"]["y"]["scale"]["domain"]


def test_names_with_markup_are_text() -> None:
    evil = "<script>alert(1)</script>"
    page = render_report(of("mine"), [Reference.of(of("a"), evil)])
    assert evil not in page and "&lt;script&gt;alert(1)" in page


def test_those_that_do_not_compare_are_not_drawn_and_named_with_why() -> None:
    view = View.of(of("mine", text={"source": "x", "sha256": "t2"}), references(2))
    assert reference_marks.marks_of(view, "complexity") == []
    assert list(reference_marks.sentences(view)) == [
        "Not shown: Model 0 and Model 1 (measured on another text, c4-sample)."
    ]


def test_fewer_than_ten_models_say_nothing_of_high_or_low() -> None:
    mine = of("mine")
    row = mine.get("complexity", order=1)
    half = (row.interval[1] - row.interval[0]) / 2
    assert standing(mine, row, references(MANY - 1)) is None
    twins = [Reference.of(of(f"u{i}", model={"random_init": True}), f"U {i}") for i in range(MANY)]
    assert standing(mine, row, twins) is None
    many = [*references(4, 3 * half), *(r for r in references(MANY, -3 * half)[4:9]), *references(MANY + 1)[9:]]
    found = standing(mine, row, many)
    assert found is not None and (found.models, found.above, found.below, found.like) == (11, 4, 5, 2)
    assert not [s for s in reference_marks.sentences(View.of(mine, references(MANY - 1))) if "higher" in s]
    said = [s for s in reference_marks.sentences(View.of(mine, many)) if "higher complexity" in s]
    assert said == [
        "Of 11 trained reference models, 4 have a higher complexity, 5 a lower one, and 2 cannot be told apart from "
        "this model."
    ]
