"""Models whose fields are described by the docstrings below them."""

from __future__ import annotations

from pydantic import ConfigDict, Field, create_model

from ncengine.documented_model import DocumentedModel


class Part(DocumentedModel):
    size: int = 1
    """The size,
    in pixels."""
    colour: str = "red"


class Whole(Part):
    model_config = ConfigDict(validate_by_name=True)

    class Inner(DocumentedModel):
        depth: int
        """How deep it is."""

    part: Part
    """A part of the whole."""
    inner: Inner
    count: int = Field(validation_alias="number", serialization_alias="number")
    """How many."""
    named: int = Field(default=0, description="its own description")
    """Not shown: the field has a description."""


def test_docstrings_below_fields_are_their_descriptions():
    schema = Whole.model_json_schema()
    descriptions = {name: field.get("description") for name, field in schema["properties"].items()}
    assert descriptions == {
        "size": "The size,\nin pixels.",
        "colour": None,
        "part": "A part of the whole.",
        "inner": None,
        "number": "How many.",
        "named": "its own description",
    }
    assert schema["$defs"]["Inner"]["properties"]["depth"]["description"] == "How deep it is."
    assert schema["$defs"]["Part"]["properties"]["size"]["description"] == "The size,\nin pixels."


def test_a_model_without_source_has_no_descriptions_of_its_own():
    made = create_model("Made", __base__=Part, extra=(int, 1))
    properties = made.model_json_schema()["properties"]
    assert "description" not in properties["extra"]
    assert properties["size"]["description"] == "The size,\nin pixels."
