"""The masks in SYS_CHANGE_COLUMNS, as DuckDB macros: 4 bytes of zero, then the id of each column in 4 bytes.

Clients are told not to read them but through CHANGE_TRACKING_IS_COLUMN_IN_MASK, whatever the bytes are.
"""

MACROS = {
    "t_change_column(id)": "printf('%02X%02X0000', id & 255, id >> 8)",
    "t_change_columns(ids)": "unhex('00000000' || array_to_string(list_transform(ids, lambda id: t_change_column(id)), ''))",
    "t_in_change_columns(id, mask)": """case when mask is null then 1 when octet_length(mask) < 8 or octet_length(mask) % 4 <> 0
        or left(hex(mask), 8) <> '00000000' then t_fail(22101, 'The value supplied for the change_columns argument of '
        || 'CHANGE_TRACKING_IS_COLUMN_IN_MASK function is not valid. The value must be a bitmask returned by the CHANGETABLE(CHANGES ...) function.')
        when list_contains(list_transform(range(8, octet_length(mask) * 2, 8), lambda x: substr(hex(mask), x + 1, 8)), t_change_column(id))
        then 1 else 0 end""",
}
"""A mask of NULL says that all columns were set."""
