"""SAP's `$metadata`, also when it is something else: read in a moment, whatever it is."""

from time import process_time

import pytest

from connectors.erp.sap.values import Property, properties

SOUND = f"""<Schema><EntityType Name="Other"><Property Name="A" Type="Edm.Int32"/></EntityType>
<EntityType Name="MaintenanceOrder" sap:label="x"><Property Name="MaintenanceOrder" Type="Edm.String" MaxLength="12"/>
<Property Name="Text" Type="Edm.String" MaxLength="Max"/><Property Name="Long" MaxLength="{"9" * 900}"/>
</EntityType></Schema>"""
_SIZE = 1 << 20


def test_a_length_that_nothing_reaches_is_none() -> None:
    assert properties(SOUND, "MaintenanceOrder") == {
        "MaintenanceOrder": Property("Edm.String", 12),
        "Text": Property("Edm.String"),
        "Long": Property("Edm.String"),
    }
    assert properties(SOUND, "Nothing") == {}


@pytest.mark.parametrize(
    "piece",
    ["<EntityType a='b'>", "<EntityType ", '<EntityType Name="X">', "<Property ", "a", 'a="', "a ", "<", '"'],
)
@pytest.mark.parametrize("before", ["", '<EntityType Name="X">', "<EntityType "])
def test_a_mebibyte_that_is_no_description_is_read_in_a_moment(before: str, piece: str) -> None:
    document = before + piece * (_SIZE // len(piece))
    began = process_time()
    assert properties(document, "X") == {}
    assert properties(f"{document}></EntityType>", "X") == {}
    assert process_time() - began < 3
