"""Small changes to statements that otherwise pass to Postgres as they are, and what is refused.

Names fold to lower case even when quoted; types and functions that only Redshift has become their
counterparts; syntax that only Postgres has is a syntax error, as it is on Redshift.
"""

from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

from standins.redshift.errors import UNSUPPORTED, RedshiftError, syntax, unsupported_command
from standins.redshift.statements import (
    Edit,
    Statement,
    apply_edits,
    check_name,
    fold_ascii,
    literal,
)
from standins.redshift.unsupported import refuse_unsupported

#: Settings only Redshift knows. They become custom settings of Postgres.
REDSHIFT_SETTINGS = {
    "enable_case_sensitive_identifier", "enable_case_sensitive_super_attribute",
    "enable_result_cache_for_session", "query_group", "wlm_query_slot_count",
    "analyze_threshold_percent", "describe_field_name_in_uppercase", "downcase_delimited_identifier",
    "error_on_nondeterministic_update", "json_serialization_enable", "enable_numeric_rounding",
    "json_serialization_parse_nested_strings", "navigate_super_null_on_error",
    "parse_super_null_on_error", "spectrum_query_maxerror", "max_concurrency_scaling_clusters",
    "default_geometry_encoding", "mv_enable_aqmv_for_session", "use_fips_ssl", "datashare_break_glass_session_var",
}  # fmt: skip
_FUNCTIONS = {
    "VERSION": "redshift_version", "NVL": "coalesce", "AVG": "redshift_standin.avg",
    "CONCAT": "redshift_standin.concat", "FROM_HEX": "redshift_standin.from_hex", "SYSDATE": "getdate()",
    "JSON_SERIALIZE": "redshift_json_serialize", "LISTAGG": "string_agg",
    "PG_TERMINATE_BACKEND": "redshift_terminate_backend",
}  # fmt: skip
#: Settings that came to Postgres after 8.0, from which Redshift was made.
_UNKNOWN_SETTINGS = {
    "standard_conforming_strings", "escape_string_warning", "backslash_quote", "bytea_output", "intervalstyle", "jit",
    "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout", "synchronous_commit",
}  # fmt: skip
_DATE_PARTS = {"DATEADD", "DATEDIFF", "DATE_ADD", "DATE_DIFF"}
_TABLES = {"PG_INDEXES": "redshift_indexes"}
#: First words (or first two) of statements that Redshift does not have.
_REFUSED = (
    ("SAVEPOINT",), ("RELEASE",), ("ROLLBACK", "TO"), ("LISTEN",), ("NOTIFY",), ("UNLISTEN",),
    ("CREATE", "INDEX"), ("CREATE", "UNIQUE"), ("DROP", "INDEX"), ("REINDEX",), ("CLUSTER",),
    ("CREATE", "TRIGGER"), ("CREATE", "RULE"), ("CREATE", "SEQUENCE"), ("CREATE", "EXTENSION"),
    ("CREATE", "DOMAIN"), ("CREATE", "TYPE"), ("CREATE", "UNLOGGED"), ("CREATE", "TABLESPACE"),
    ("CREATE", "POLICY"), ("CREATE", "PUBLICATION"), ("CREATE", "SUBSCRIPTION"),
    ("CREATE", "CAST"), ("CREATE", "AGGREGATE"), ("CREATE", "OPERATOR"), ("DO",),
    ("RESET", "SESSION"), ("SET", "SESSION", "AUTHORIZATION"), ("ALTER", "SYSTEM"), ("ALTER", "INDEX"),
    ("ALTER", "SEQUENCE"), ("PREPARE", "TRANSACTION"), ("IMPORT",), ("SECURITY",),
)  # fmt: skip


@dataclass(slots=True)
class SessionSettings:
    """What of a session's settings changes how its statements are read."""

    case_sensitive_names: bool = False
    case_sensitive_by_default: bool = False


def refuse(statement: Statement) -> None:
    """Raise what Redshift says of statements and clauses it does not have."""
    words = statement.words
    # psycopg2's `connection.reset()` sends it, so a client that pools connections does.
    if words == ["SET", "SESSION", "AUTHORIZATION", "DEFAULT"]:
        return
    for prefix in _REFUSED:
        if statement.starts(*prefix):
            raise unsupported_command(statement.text)
    if words[0] == "INSERT":
        _refuse_in_insert(statement)
    elif words[0] in {"UPDATE", "DELETE"} and "RETURNING" in words:
        raise syntax("RETURNING")
    if words[0] == "CREATE" and words[1:2] == ["MATERIALIZED"] and "IF" in words[:6]:
        raise syntax("IF")


def _refuse_in_insert(statement: Statement) -> None:
    words = statement.words
    depth = 0
    for index, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "ON" and words[index + 1 : index + 2] == ["CONFLICT"]:
            raise syntax("ON")
        if word == "RETURNING" and depth <= 0:
            raise syntax("RETURNING")
        if word == "ARRAY" and words[index + 1 : index + 2] == ["["]:
            raise RedshiftError("array constructors are not supported in INSERT", UNSUPPORTED)


def rewrite(statement: Statement, settings: SessionSettings) -> str:
    """The statement for Postgres.

    Raises:
        RedshiftError: Redshift has no such statement.
    """
    if not statement.tokens:
        return statement.text
    refuse(statement)
    refuse_unsupported(statement)
    if statement.words[0] in {"SET", "SHOW", "RESET"}:
        return _setting(statement, settings)
    edits = _left_out(statement)
    for index, token in enumerate(statement.tokens):
        edit = _edit(statement, index, token, settings)
        if edit is not None:
            edits.append(edit)
    return apply_edits(statement.text, edits) if edits else statement.text


def _left_out(statement: Statement) -> list[Edit]:
    """Clauses that mean nothing to Postgres."""
    words, tokens = statement.words, statement.tokens
    if words[0] == "CREATE" and words[-4:] == ["WITH", "NO", "SCHEMA", "BINDING"]:
        return [Edit(tokens[-4].start, tokens[-1].end + 1, "")]
    if words[:2] == ["CREATE", "SCHEMA"] and "QUOTA" in words:
        return [Edit(tokens[words.index("QUOTA")].start, tokens[-1].end + 1, "")]
    return []


def _edit(statement: Statement, index: int, token: Token, settings: SessionSettings) -> Edit | None:
    words = statement.words
    following = words[index + 1] if index + 1 < len(words) else ""
    preceding = words[index - 1] if index else ""
    text = None
    if token.token_type == TokenType.VAR:
        check_name(token.text)
    if token.token_type == TokenType.IDENTIFIER:
        source = statement.source(token)
        if not settings.case_sensitive_names and fold_ascii(source) != source:
            text = fold_ascii(source)
        check_name(token.text)
    elif words[index] == "MAX" and preceding == "(" and following == ")":
        if index >= 2 and words[index - 2] in {"VARCHAR", "VARYING", "NVARCHAR"}:
            text = "65535"
    elif words[index] == "SUPER" and preceding in {"::", "AS"}:
        text = "jsonb"
    elif preceding in {".", "AS"} and words[index] != "VERSION":
        return None
    elif words[index] in _TABLES and following != "(":
        text = _TABLES[words[index]]
    elif words[index] == "SYSDATE" and following != "(":
        text = _FUNCTIONS["SYSDATE"]
    elif words[index] in _FUNCTIONS and following == "(":
        text = _FUNCTIONS[words[index]]
    elif _is_date_part(words, index) and token.token_type != TokenType.STRING:
        text = literal(token.text)
    return None if text is None else Edit(token.start, token.end + 1, text)


def _is_date_part(words: list[str], index: int) -> bool:
    """Whether the word is the first argument of DATEADD and its kin, where it may go unquoted."""
    return (
        index >= 2
        and words[index - 2] in _DATE_PARTS
        and words[index - 1 : index + 2][::2] == ["(", ","]
    )


def check_column(name: str) -> None:
    """Refuse what Redshift keeps for itself, although it has no such columns.

    https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
    """
    if name in {"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}:
        text = f'column name "{name}" conflicts with a system column name'
        raise RedshiftError(text, "42701")


def _setting(statement: Statement, settings: SessionSettings) -> str:
    words, tokens = statement.words, statement.tokens
    position = 2 if words[1:2] in (["SESSION"], ["LOCAL"]) else 1
    if position >= len(words):
        return statement.text
    name = tokens[position].text.lower()
    if name in _UNKNOWN_SETTINGS:
        text = f'unrecognized configuration parameter "{name}"'
        raise RedshiftError(text, "42704")
    if name not in REDSHIFT_SETTINGS:
        return statement.text
    if name == "enable_case_sensitive_identifier":
        value = tokens[-1].text.lower()
        if words[0] == "RESET" or value == "default":
            settings.case_sensitive_names = settings.case_sensitive_by_default
        elif words[0] == "SET":
            settings.case_sensitive_names = value in {"true", "on", "1"}
    start = tokens[position].start
    edited = apply_edits(statement.text, [Edit(start, start, "redshift_setting.")])
    if words[0] == "SHOW":
        key = literal(f"redshift_setting.{name}")
        default = "on" if settings.case_sensitive_by_default else "off"
        unset = literal(default if name == "enable_case_sensitive_identifier" else "unset")
        return f"select coalesce(nullif(current_setting({key}, true), ''), {unset}) as {name}"
    return edited
