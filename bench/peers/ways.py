"""The ways of each section, tranship first."""

from bench.environments import OUR_OWN
from bench.peers import Way, program, start_ingestr, start_sling

COPY_TO_POSTGRES = (
    Way("tranship", "tranship", OUR_OWN, "", program("with_tranship", "copy_table")),
    Way(
        "pandas",
        "pandas: read_sql and to_sql",
        "pandas",
        "pandas",
        program("with_pandas", "copy_table"),
        note="the way of most tutorials",
    ),
    Way("ingestr", "ingestr", "ingestr", "ingestr", start_ingestr),
    Way("sling", "sling", "sling", "sling-linux-amd64", start_sling),
    Way(
        "dlt-pyarrow",
        "dlt, pyarrow",
        "dlt",
        "dlt",
        program("with_dlt", "copy_table"),
        settings={"backend": "pyarrow"},
    ),
    Way(
        "dlt-connectorx",
        "dlt, connectorx",
        "dlt",
        "dlt",
        program("with_dlt", "copy_table"),
        settings={"backend": "connectorx"},
    ),
    Way(
        "limit-start",
        "limit: Python and imports alone",
        OUR_OWN,
        "",
        program("limits", "start"),
        limit=True,
        settings={
            "imports": "mssql_python pgpq tranship.sqlserver.reader tranship.postgres.writer"
        },
    ),
    Way(
        "limit-drain",
        "limit: the driver's loop alone",
        OUR_OWN,
        "",
        program("limits", "drain"),
        limit=True,
    ),
    Way(
        "limit-encode",
        "limit: encoding for COPY alone",
        OUR_OWN,
        "",
        program("limits", "encode"),
        limit=True,
    ),
    Way(
        "limit-copy",
        "limit: COPY of encoded bytes alone",
        OUR_OWN,
        "",
        program("limits", "copy"),
        limit=True,
    ),
)

LOAD_POSTGRES = (
    Way("tranship", "tranship", OUR_OWN, "", program("with_tranship", "load")),
    Way(
        "tranship-csv",
        "tranship, CSV encoder",
        OUR_OWN,
        "",
        program("with_tranship", "load"),
        settings={"encoder": "csv"},
        note="where pgpq has no wheel",
    ),
    Way("adbc", "ADBC ingest", "adbc", "adbc-driver-postgresql", program("with_adbc", "load")),
    Way("dlt", "dlt, Arrow tables", "dlt", "dlt", program("with_dlt", "load")),
    Way(
        "pandas-copy",
        "pandas: to_csv and COPY",
        "pandas",
        "pandas",
        program("with_pandas", "load_csv"),
    ),
    Way("pandas", "pandas: to_sql", "pandas", "pandas", program("with_pandas", "load")),
    Way(
        "limit-start",
        "limit: Python and imports alone",
        OUR_OWN,
        "",
        program("limits", "start"),
        limit=True,
        settings={"imports": "pgpq tranship.postgres.writer"},
    ),
    *(way for way in COPY_TO_POSTGRES if way.key in {"limit-encode", "limit-copy"}),
)

PUBLISH_REDSHIFT = (
    Way("tranship", "tranship", OUR_OWN, "", program("with_tranship", "publish")),
    Way(
        "awswrangler",
        "awswrangler: redshift.copy",
        "awswrangler",
        "awswrangler",
        program("with_awswrangler", "publish"),
    ),
    Way("dlt", "dlt, Parquet staging", "dlt", "dlt", program("with_dlt", "publish")),
    Way(
        "pandas",
        "pandas: to_csv, gzip, one put, COPY",
        "pandas",
        "pandas",
        program("with_pandas", "publish"),
        note="the way of most articles",
    ),
    Way(
        "limit-parquet",
        "limit: encoding Parquet alone",
        OUR_OWN,
        "",
        program("limits", "parquet"),
        limit=True,
    ),
    Way(
        "limit-upload",
        "limit: uploading the files alone",
        OUR_OWN,
        "",
        program("limits", "upload"),
        limit=True,
    ),
    Way(
        "limit-warehouse",
        "limit: the stand-in's COPY alone",
        OUR_OWN,
        "",
        program("limits", "warehouse_copy"),
        limit=True,
    ),
)

READ_REDSHIFT = (
    Way("tranship", "tranship", OUR_OWN, "", program("with_tranship", "read_back")),
    Way(
        "awswrangler-unload",
        "awswrangler: redshift.unload",
        "awswrangler",
        "awswrangler",
        program("with_awswrangler", "unload"),
    ),
    Way(
        "redshift-connector",
        "awswrangler: redshift.read_sql_query",
        "awswrangler",
        "awswrangler",
        program("with_awswrangler", "query"),
    ),
    Way(
        "pandas",
        "pandas: read_sql over psycopg2",
        "pandas",
        "pandas",
        program("with_pandas", "read_back"),
    ),
    Way(
        "limit-warehouse",
        "limit: the stand-in's UNLOAD alone",
        OUR_OWN,
        "",
        program("limits", "warehouse_unload"),
        limit=True,
    ),
)
