"""DuckDB macros that carry T-SQL's rules: its conversions, its errors, its rounding.

An error leaves DuckDB as the text `TDS|number|message`; `failures` turns it back into a `SqlError`.
"""

from standins.sqlserver import collations
from standins.sqlserver.tracking import masks

YEAR_1_MICROSECONDS = 62_135_596_800_000_000

_DATE = r"'^(\d{4})-?(\d\d)-?(\d\d)$'"
_MOMENT = r"'^(\d{4})-?(\d\d)-?(\d\d)[ T]+(\d{1,2}:\d\d(:\d\d(\.\d+)?)?) *([AaPp][Mm])?$'"
_OFFSET = r"'^(.*\d) *(Z|[+-]\d\d:\d\d)$'"
_FRACTION = r"'\.(\d+)'"
_TIME = r"'^(\d{1,2}:\d\d(:\d\d(\.\d+)?)?)$'"

MACROS: dict[str, str] = {
    "t_fail(number, message)": "error('TDS|' || number || '|' || message)",
    # characters as T-SQL counts them: UTF-16 units
    "t_units(s)": r"length(s) + length(regexp_replace(s, '[^\x{10000}-\x{10FFFF}]', '', 'g'))",
    "t_len(s)": "t_units(rtrim(s, ' '))",
    "t_int(s, source, kind)": r"""case when s is null then null when trim(s) = '' then 0 when regexp_full_match(trim(s), '[+-]?\d+') then
        coalesce(try_cast(trim(s) as hugeint), t_fail(248, 'The conversion of the ' || source || ' value ''' || s || ''' overflowed an int column.'))
        else t_fail(245, 'Conversion failed when converting the ' || source || ' value ''' || s || ''' to data type ' || kind || '.') end""",
    "t_try_int(s, source, kind)": r"""case when trim(s) = '' then 0 when regexp_full_match(trim(s), '[+-]?\d+') then try_cast(trim(s) as hugeint) end""",
    "t_number(s)": r"""case when s is null then null when regexp_full_match(trim(s), '[+-]?(\d+\.?\d*|\.\d+)') then trim(s)
        else t_fail(8114, 'Error converting data type nvarchar to numeric.') end""",
    "t_try_number(s)": r"""case when regexp_full_match(trim(s), '[+-]?(\d+\.?\d*|\.\d+)') then trim(s) end""",
    "t_float(s)": """case when s is null then null when trim(s) = '' then 0 else coalesce(try_cast(trim(s) as double),
        t_fail(8114, 'Error converting data type nvarchar to float.')) end""",
    "t_bit(s)": r"""case when s is null then null when lower(trim(s)) = 'true' then true when lower(trim(s)) = 'false' then false
        else t_int(s, 'varchar', 'bit') <> 0 end""",
    "t_money(s)": r"replace(replace(trim(s), '$', ''), ',', '')",
    "t_clock(c)": "case when strpos(c, ':') = 2 then '0' else '' end || c || case when length(c) - length(replace(c, ':', '')) = 1 then ':00' else '' end",
    "t_iso(s)": rf"""case when trim(s) = '' then '1900-01-01'
        when regexp_matches(trim(s), {_DATE}) then regexp_replace(trim(s), {_DATE}, '\1-\2-\3')
        when regexp_matches(trim(s), {_MOMENT}) and not regexp_matches(s, '[AaPp][Mm]$')
        then regexp_replace(trim(s), {_MOMENT}, '\1-\2-\3 ') || t_clock(regexp_replace(trim(s), {_MOMENT}, '\4'))
        when regexp_matches(trim(s), {_TIME}) then '1900-01-01 ' || t_clock(trim(s)) end""",
    "t_local(s)": rf"case when regexp_matches(s, {_OFFSET}) then regexp_replace(s, {_OFFSET}, '\1') else s end",
    "t_minutes(s)": r"""case when regexp_matches(s, '[+-]\d\d:\d\d$') then
        (case when substr(right(s, 6), 1, 1) = '-' then -1 else 1 end)
        * (cast(substr(right(s, 6), 2, 2) as smallint) * 60 + cast(right(s, 2) as smallint)) else 0 end""",
    "t_try_moment(s)": "try_cast(t_iso(t_local(s)) as timestamp)",
    "t_moment(s)": """case when s is null then null else coalesce(t_try_moment(s),
        t_fail(241, 'Conversion failed when converting date and/or time from character string.')) end""",
    "t_offset_moment(m, o)": "case when m is null then null else struct_pack(t := m - to_minutes(cast(o as integer)), o := cast(o as smallint)) end",
    # moments of 100 ns, counted from year 1
    "t_micro(x)": f"make_timestamp(x // 10 - {YEAR_1_MICROSECONDS})",
    "t_fine(m)": f"(epoch_us(m) + {YEAR_1_MICROSECONDS}) * 10",
    "t_fine_tick(m)": f"""(epoch_us(m) + {YEAR_1_MICROSECONDS}) // 86400000000 * 864000000000
        + cast(round(round(((epoch_us(m) + {YEAR_1_MICROSECONDS}) % 86400000000) * 3 / 10000.0) * 100000 / 3.0) as bigint)""",
    "t_coarse(x, step)": "t_micro((x + step // 2) // step * step)",
    "t_digits(s)": rf"rpad(left(regexp_extract(t_local(s), {_FRACTION}, 1), 7), 7, '0')",
    "t_seconds(s)": rf"regexp_replace(t_local(s), {_FRACTION}, '')",
    "t_try_fine_text(s)": "t_fine(t_try_moment(t_seconds(s))) + cast(t_digits(s) as bigint)",
    # The lambda has its argument worked out once, not in each place where it stands.
    "t_fine_text(s)": "list_transform([t_seconds(s)], lambda x: t_fine(t_moment(x)))[1] + cast(t_digits(s) as bigint)",
    # The old types read no more than three digits of a second
    # (https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql).
    "t_try_short_moment(s)": r"case when not regexp_matches(s, '\.\d{4}') then t_try_moment(s) end",
    "t_short_moment(s)": r"""case when regexp_matches(s, '\.\d{4}')
        then t_fail(241, 'Conversion failed when converting date and/or time from character string.')
        else t_moment(s) end""",
    "t_fine_offset(x, o)": "case when x is null then null else struct_pack(t := x - cast(o as bigint) * 600000000, o := cast(o as smallint)) end",
    "t_guid(s)": """case when s is null then null else coalesce(try_cast(trim(s) as uuid),
        t_fail(8169, 'Conversion failed when converting from a character string to uniqueidentifier.')) end""",
    "t_round(m, step)": f"""make_timestamp(((epoch_us(m) + {YEAR_1_MICROSECONDS} + step // 2) // step) * step - {YEAR_1_MICROSECONDS})""",
    "t_round_time(m, step)": "cast(make_timestamp(((epoch_us(m) + step // 2) // step) * step % 86400000000) as time)",
    # datetime counts 1/300 s
    "t_ticks(m)": f"""make_timestamp((epoch_us(m) + {YEAR_1_MICROSECONDS}) // 86400000000 * 86400000000 - {YEAR_1_MICROSECONDS}
        + cast(round((((epoch_us(m) + {YEAR_1_MICROSECONDS}) % 86400000000) * 3 + 5000) // 10000 * 10000 / 3.0) as bigint))""",
    "t_try_float(s)": "case when trim(s) = '' then 0 else try_cast(trim(s) as double) end",
    "t_try_guid(s)": "try_cast(trim(s) as uuid)",
    "t_try_bit(s)": """case when lower(trim(s)) = 'true' then true when lower(trim(s)) = 'false' then false
        else t_try_int(s, 'varchar', 'bit') <> 0 end""",
    "t_try_datetime(m)": "t_ticks(case when m >= timestamp '1753-01-01' then m end)",
    "t_datetime(m)": """list_transform([m], lambda x: case when x < timestamp '1753-01-01'
        then t_fail(242, 'The conversion of a varchar data type to a datetime data type resulted in an out-of-range value.')
        else t_ticks(x) end)[1]""",
    "t_fit(s, n, message)": "case when t_units(rtrim(s, ' ')) > n then t_fail(2628, message || left(s, n) || '''.') when t_units(s) > n then left(s, n) else s end",
    "t_fit_bytes(b, n, message)": "case when octet_length(b) > n then t_fail(2628, message || '.') else b end",
    "t_pad(s, n)": "case when t_units(s) < n then s || repeat(' ', n - t_units(s)) else s end",
    "t_pad_bytes(b, n)": "unhex(rpad(hex(b), n * 2, '0'))",
    "t_cut_bytes(b, n)": "unhex(left(hex(b), n * 2))",
    "t_from_bytes(b)": "cast(cast('0x' || right(lpad(hex(b), 16, '0'), 16) as ubigint) as hugeint)",
    "t_unscaled(d)": "cast(replace(cast(d as varchar), '.', '') as hugeint)",
    "t_scaled(r, s)": """case when r < 0 then '-' else '' end || case when s = 0 then cast(abs(r) as varchar) else
        substr(lpad(cast(abs(r) as varchar), cast(greatest(length(cast(abs(r) as varchar)), s + 1) as integer), '0'), 1,
            cast(greatest(length(cast(abs(r) as varchar)), s + 1) as integer) - s)
        || '.' || right(lpad(cast(abs(r) as varchar), cast(greatest(length(cast(abs(r) as varchar)), s + 1) as integer), '0'), s) end""",
    "t_divide(a, b)": "case when b = 0 then t_fail(8134, 'Divide by zero error encountered.') else a / b end",
    "t_divide_whole(a, b)": "case when b = 0 then t_fail(8134, 'Divide by zero error encountered.') else a // b end",
    "t_modulo(a, b)": "case when b = 0 then t_fail(8134, 'Divide by zero error encountered.') else a % b end",
    "t_float_text(f)": r"regexp_replace(printf('%g', cast(f as double)), 'e([+-])(\d\d)$', 'e\10\2')",
    "t_version(n)": "unhex(printf('%016x', n))",
}


def statements() -> list[str]:
    """The `create macro` statements, each after those it uses."""
    made = {**MACROS, **collations.macros(), **masks.MACROS}
    return [f"create or replace macro {head} as ({body})" for head, body in made.items()]
