"""What Postgres has and Redshift has not, inside statements that both know: refused, never answered as Postgres would.

https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html, -functions.html and
-datatypes.html. Some of these functions answer on a cluster's leader node where no table is named, and AWS says not to
count on it; here they are refused everywhere.
"""

from standins.redshift.errors import UNSUPPORTED, RedshiftError, syntax
from standins.redshift.statements import Statement

_UNDEFINED_TYPE = "42704"
_FUNCTIONS = {
    # aggregates
    "STRING_AGG", "ARRAY_AGG", "EVERY", "XMLAGG", "JSON_AGG", "JSONB_AGG", "JSON_OBJECT_AGG", "JSONB_OBJECT_AGG",
    "CORR", "COVAR_POP", "COVAR_SAMP", "REGR_AVGX", "REGR_AVGY", "REGR_COUNT", "REGR_INTERCEPT", "REGR_R2",
    "REGR_SLOPE", "REGR_SXX", "REGR_SXY", "REGR_SYY",
    # dates
    "CLOCK_TIMESTAMP", "JUSTIFY_DAYS", "JUSTIFY_HOURS", "JUSTIFY_INTERVAL", "PG_SLEEP", "TRANSACTION_TIMESTAMP",
    "MAKE_DATE", "MAKE_TIMESTAMP", "MAKE_INTERVAL",
    # numbers
    "DIV", "SETSEED", "WIDTH_BUCKET",
    # sets and arrays
    "GENERATE_SERIES", "GENERATE_SUBSCRIPTS", "UNNEST", "ARRAY_APPEND", "ARRAY_LENGTH", "ARRAY_TO_STRING",
    "STRING_TO_ARRAY", "ARRAY_POSITION", "ARRAY_REMOVE", "ARRAY_REPLACE", "CARDINALITY",
    # texts
    "BIT_LENGTH", "OVERLAY", "CONVERT_FROM", "CONVERT_TO", "ENCODE", "DECODE_BYTES", "FORMAT", "QUOTE_NULLABLE",
    "REGEXP_MATCHES", "REGEXP_SPLIT_TO_ARRAY", "REGEXP_SPLIT_TO_TABLE", "CONCAT_WS", "STARTS_WITH",
    # JSON that is not SUPER's
    "TO_JSON", "TO_JSONB", "ROW_TO_JSON", "JSON_BUILD_OBJECT", "JSONB_BUILD_OBJECT", "JSON_BUILD_ARRAY",
    "JSONB_BUILD_ARRAY", "JSONB_SET", "JSONB_EACH", "JSON_EACH", "JSONB_ARRAY_ELEMENTS", "JSON_ARRAY_ELEMENTS",
    "JSONB_TYPEOF", "JSONB_PRETTY",
    # sequences, locks, transactions, the server itself
    "NEXTVAL", "CURRVAL", "SETVAL", "LASTVAL", "PG_ADVISORY_LOCK", "PG_ADVISORY_XACT_LOCK", "PG_TRY_ADVISORY_LOCK",
    "PG_TRY_ADVISORY_XACT_LOCK", "PG_ADVISORY_UNLOCK", "TXID_CURRENT", "TXID_STATUS", "PG_CURRENT_XACT_ID",
    "CURRENT_QUERY", "INET_CLIENT_ADDR", "INET_CLIENT_PORT", "INET_SERVER_ADDR", "INET_SERVER_PORT",
    "PG_CONF_LOAD_TIME", "PG_IS_OTHER_TEMP_SCHEMA", "PG_LISTENING_CHANNELS", "PG_MY_TEMP_SCHEMA",
    "PG_POSTMASTER_START_TIME", "PG_TRIGGER_DEPTH", "PG_DATABASE_SIZE", "PG_TABLE_SIZE", "PG_RELATION_SIZE",
    "PG_TOTAL_RELATION_SIZE", "PG_READ_FILE", "PG_LS_DIR", "PG_EXPORT_SNAPSHOT", "PG_RELOAD_CONF",
    # full text and XML
    "TO_TSVECTOR", "TO_TSQUERY", "PLAINTO_TSQUERY", "TS_RANK", "XMLELEMENT", "XMLPARSE", "XPATH", "GEN_RANDOM_UUID",
}  # fmt: skip
_TYPES = {
    "UUID", "JSON", "JSONB", "XML", "HSTORE", "CITEXT", "BYTEA", "MONEY", "INET", "CIDR", "MACADDR", "TSVECTOR",
    "TSQUERY", "INT4RANGE", "INT8RANGE", "NUMRANGE", "DATERANGE", "TSRANGE", "TSTZRANGE", "TXID_SNAPSHOT", "POINT",
    "SERIAL", "BIGSERIAL",
}  # fmt: skip
#: After these a word with a parenthesis behind it is a table and its columns.
_NAMES_FOLLOW = {"INTO", "TABLE", "EXISTS", "REFERENCES", "VIEW", "PROCEDURE", "FUNCTION"}
#: Their options are words of other meanings.
_OTHER_GRAMMARS = {"COPY", "UNLOAD", "GRANT", "REVOKE", "SET", "SHOW", "RESET"}


def refuse_unsupported(statement: Statement) -> None:
    """Raise what Redshift says of syntax, functions and types that it does not have."""
    words = statement.words
    if words[0] in _OTHER_GRAMMARS:
        return
    if words[0] == "VALUES":
        raise syntax(statement.source(statement.tokens[0]))
    calls: list[str] = []
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        after = words[index + 1] if index + 1 < len(words) else ""
        if word == "(":
            calls.append(before)
        elif word == ")" and calls:
            calls.pop()
        _refuse_syntax(statement, index, before, word, after)
        is_call = after == "(" and before not in _NAMES_FOLLOW and _unqualified(words, index)
        if word in _FUNCTIONS and is_call:
            raise _no_function(word)
        is_cast = before == "::" or (before == "AS" and calls[-1:] == ["CAST"])
        if is_cast and (word in _TYPES or words[index + 1 : index + 3] == ["[", "]"]):
            raise RedshiftError(f'type "{word.lower()}" does not exist', _UNDEFINED_TYPE)


def _refuse_syntax(statement: Statement, index: int, before: str, word: str, after: str) -> None:
    words = statement.words
    if word == "DISTINCT" and after == "ON":
        raise RedshiftError("SELECT DISTINCT ON is not supported", UNSUPPORTED)
    if word == "DISTINCT" and after == "FROM" and before in {"IS", "NOT"}:
        raise RedshiftError("IS DISTINCT FROM is not supported", UNSUPPORTED)
    if word == "FILTER" and before == ")" and after == "(":
        raise syntax("(")
    if word == "LATERAL" and before in {",", "JOIN", "FROM"}:
        near = index + (2 if after == "(" else 1)
        raise syntax(statement.source(statement.tokens[min(near, len(words) - 1)]))
    if word == "VALUES" and before == "(":
        raise syntax(statement.source(statement.tokens[index]))
    if word == "ARRAY" and after == "[":
        raise RedshiftError("array constructors are not supported", UNSUPPORTED)
    if word == "ROW" and after == "(":
        raise RedshiftError("row constructors are not supported", UNSUPPORTED)
    if word == "FOR" and after in {"UPDATE", "SHARE"} and words[0] in {"SELECT", "WITH"}:
        raise RedshiftError(f"SELECT FOR {after} is not supported", UNSUPPORTED)
    if word == "RETURNING" and words[0] == "WITH":
        raise syntax(statement.source(statement.tokens[index]))


def _unqualified(words: list[str], index: int) -> bool:
    """Whether the word is no function of a schema of somebody's own."""
    return index < 2 or words[index - 1] != "." or words[index - 2] == "PG_CATALOG"


def _no_function(word: str) -> RedshiftError:
    text = "Specified types or functions (one per INFO message) not supported on Redshift tables."
    return RedshiftError(text, UNSUPPORTED, f'Function "{word.lower()}()" not supported.')
