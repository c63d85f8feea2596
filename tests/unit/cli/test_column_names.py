"""What a column's name says about its row, or about a person."""

import pytest

from tranship.cli.heuristics import looks_personal, says_changed, says_made

CHANGED = [
    "ModifiedDate",
    "modified_at",
    "LastUpdatedUTC",
    "UpdatedOn",
    "LASTMODIFIED",
    "last_upd_ts",
    "RowChangedAt",
    "OrderModifiedDate",
    "dtUpdated",
    "ModDate",
]
NOT_THE_ROW = [
    "OrderDate",
    "PasswordChangedAt",
    "PriceChangeDate",
    "UpdatedByUser",
    "EmailUpdatedAt",
    "ShipDate",
    "ValidFrom",
    "CreatedAt",
]
PERSONAL = [
    "EmailAddress",
    "email",
    "emailaddress",
    "FirstName",
    "last_name",
    "Surname",
    "BirthDate",
    "DOB",
    "Phone",
    "mobile_no",
    "AddressLine1",
    "PostalCode",
    "NationalIDNumber",
    "SSN",
    "Gender",
    "MaritalStatus",
    "YearlyIncome",
    "Salary",
    "CreditCardNumber",
    "IBAN",
    "IPAddress",
    "PasswordHash",
    "TaxId",
    "PassportNumber",
]
NOT_PERSONAL = [
    "EnglishProductName",
    "AddressTypeID",
    "EmailPromotion",
    "AddressKey",
    "Color",
    "OrderDate",
    "SalesOrderNumber",
    "BusinessKey",
    "PhoneNumberTypeID",
    "ShipVia",
    "Zipped",
]


@pytest.mark.parametrize("name", CHANGED)
def test_a_name_that_says_when_a_row_was_changed_is_known(name: str):
    assert says_changed(name, "Orders")


@pytest.mark.parametrize("name", NOT_THE_ROW)
def test_a_change_of_something_else_than_the_row_is_no_such_name(name: str):
    assert not says_changed(name, "Orders")


@pytest.mark.parametrize("name", ["CreatedAt", "insert_date", "OrderCreatedUtc", "LoggedAt"])
def test_a_name_that_says_when_a_row_was_made_is_known(name: str):
    assert says_made(name, "Orders")


def test_when_something_else_was_made_says_nothing_of_the_row():
    assert not says_made("InvoiceCreatedUtc", "Orders")


@pytest.mark.parametrize("name", PERSONAL)
def test_a_name_that_looks_like_personal_data_is_pointed_out(name: str):
    assert looks_personal(name)


@pytest.mark.parametrize("name", NOT_PERSONAL)
def test_other_names_are_left_alone(name: str):
    assert not looks_personal(name)
