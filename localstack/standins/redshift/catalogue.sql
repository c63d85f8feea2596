-- What Redshift has in pg_catalog and Postgres has not. Installed once per database by catalogue.py;
-- its own tables are in the schema redshift_standin.
create schema if not exists redshift_standin;
grant usage on schema redshift_standin to public;
grant create on schema public to public;

create sequence if not exists redshift_standin.query_block;

create table if not exists redshift_standin.table_attributes (
    relid oid primary key,
    diststyle text not null default 'AUTO(ALL)',
    distkey text,
    sortkeys text[] not null default '{}',
    interleaved boolean not null default false,
    backup boolean not null default true,
    primary_key text[] not null default '{}',
    created_at timestamp not null default (now() at time zone 'UTC')
);
create table if not exists redshift_standin.column_encodings (
    relid oid, attnum smallint, encoding text not null, primary key (relid, attnum)
);
create table if not exists redshift_standin.load_errors (
    user_name text, query_id bigint, transaction_id bigint, session_id int, table_id oid,
    start_time timestamp, file_name text, line_number bigint, column_name text, column_type text,
    column_length text, position int, raw_line text, raw_field_value text, error_code int,
    error_message text
);
create table if not exists redshift_standin.queries (
    user_name text, query_id bigint primary key, session_id int, query_type text, status text,
    start_time timestamp, end_time timestamp, error_message text, returned_rows bigint,
    query_text text
);
create table if not exists redshift_standin.loaded_files (
    query_id bigint, table_id oid, file_name text, rows bigint, bytes bigint, loaded_at timestamp
);
-- Postgres knows all sessions as the gateway's user; this is whom each one serves.
create unlogged table if not exists redshift_standin.sessions (
    process int primary key, started timestamptz not null, user_name text not null
);
grant select, insert, update, delete on redshift_standin.table_attributes, redshift_standin.column_encodings to public;
grant insert on redshift_standin.load_errors to public;
grant select on redshift_standin.load_errors, redshift_standin.queries, redshift_standin.loaded_files to public;

-- Redshift's writers take a lock on the whole table that lets readers through. The statement's
-- snapshot is older than the lock, which is why a writer that waited may fail with 1023.
create or replace function redshift_standin.lock_for_write(relation text) returns void
language plpgsql security definer as $$
declare target record;
begin
    select c.oid, c.relkind, n.nspname, c.relname into target
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = relation::oid;
    if target.relkind in ('r', 'p') then
        execute pg_catalog.format('lock table %I.%I in share row exclusive mode', target.nspname, target.relname);
    end if;
end $$;

create or replace function redshift_standin.row_count(relation oid) returns bigint
language plpgsql stable security definer as $$
declare result bigint;
begin
    execute pg_catalog.format('select count(*) from %s', relation::regclass) into result;
    return result;
end $$;

-- CREATE TABLE AS: text without a length gets Redshift's largest one, and lengths count bytes.
create or replace function redshift_standin.size_columns(relation oid) returns void
language plpgsql as $$
declare part record;
begin
    for part in
        select attname, atttypid, greatest(atttypmod - 4, 0) as length from pg_catalog.pg_attribute
        where attrelid = relation and attnum > 0 and not attisdropped
            and atttypid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
    loop
        if part.length = 0 then
            execute pg_catalog.format('alter table %s alter column %I type varchar(65535)', relation::regclass, part.attname);
            part.length := 65535;
        end if;
        execute pg_catalog.format('alter table %s add constraint %I check (octet_length(%I) <= %s)',
            relation::regclass, 'rsbytes_' || case when part.atttypid = 'bpchar'::regtype then 'c' else '' end
                || part.length || '_' || part.attname, part.attname, part.length);
    end loop;
end $$;

create or replace function redshift_standin.type_name(type oid, modifier int) returns text
language sql immutable as $$
    select case type
        when 'jsonb'::regtype then 'super'
        when 'bytea'::regtype then 'binary varying'
        else pg_catalog.format_type(type, modifier) end
$$;

create or replace function redshift_standin.setting(name text, default_value bigint) returns bigint
language sql stable as $$
    select coalesce(nullif(pg_catalog.current_setting('redshift_standin.' || name, true), '')::bigint, default_value)
$$;
create or replace function pg_catalog.pg_last_copy_id() returns bigint
    language sql stable as $$ select redshift_standin.setting('last_copy_id', -1) $$;
create or replace function pg_catalog.pg_last_copy_count() returns bigint
    language sql stable as $$ select redshift_standin.setting('last_copy_count', 0) $$;
create or replace function pg_catalog.pg_last_unload_id() returns bigint
    language sql stable as $$ select redshift_standin.setting('last_unload_id', -1) $$;
create or replace function pg_catalog.pg_last_unload_count() returns bigint
    language sql stable as $$ select redshift_standin.setting('last_unload_count', 0) $$;
create or replace function pg_catalog.pg_last_query_id() returns bigint
    language sql stable as $$ select redshift_standin.setting('last_query_id', -1) $$;
create or replace function pg_catalog.redshift_version() returns text
    language sql immutable as $$
    select 'PostgreSQL 8.0.2 on x86_64-pc-linux-gnu, compiled by GCC, Redshift 1.0 (local stand-in, not Amazon Redshift)'::text
$$;

create or replace function redshift_standin.is_superuser() returns boolean
language sql stable as $$
    select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user
$$;
-- The user's own sessions, a superuser's all; a row whose process is gone or is another one by now is none.
create or replace function redshift_standin.visible_sessions()
returns table (process int, started timestamptz, user_name text)
language sql stable security definer as $$
    select s.process, s.started, s.user_name
    from redshift_standin.sessions s
    join pg_catalog.pg_stat_activity a on a.pid = s.process and a.backend_start = s.started
    where s.user_name = session_user or redshift_standin.is_superuser()
$$;
create or replace function pg_catalog.redshift_terminate_backend(target int) returns int
language plpgsql strict security definer as $$
begin
    if redshift_standin.is_superuser()
        or exists (select from redshift_standin.visible_sessions() s where s.process = target)
    then
        return pg_catalog.pg_terminate_backend(target)::int;
    end if;
    if exists (select from pg_catalog.pg_stat_activity a where a.pid = target) then
        raise exception 'must be superuser to terminate other server processes' using errcode = '42501';
    end if;
    raise warning 'PID % is not a PostgreSQL server process', target;
    return 0;
end $$;

create or replace function pg_catalog.getdate() returns timestamp
    language sql stable as $$ select pg_catalog.date_trunc('second', statement_timestamp() at time zone current_setting('timezone')) $$;
-- Of a database that is created without COLLATE: https://docs.aws.amazon.com/redshift/latest/dg/r_DB_COLLATION.html
create or replace function pg_catalog.db_collation() returns text
    language sql immutable as $$ select 'case_sensitive' $$;
-- https://docs.aws.amazon.com/redshift/latest/dg/r_TO_HEX.html
create or replace function pg_catalog.to_hex(value bytea) returns text
    language sql immutable as $$ select encode(value, 'hex') $$;
create or replace function pg_catalog.len(value text) returns int
    language sql immutable strict as $$ select pg_catalog.length(value) $$;
create or replace function pg_catalog.json_parse(value text) returns jsonb
    language sql immutable strict as $$ select value::jsonb $$;
create or replace function pg_catalog.redshift_json_serialize(value jsonb) returns text
    language sql immutable strict as $$ select value::text $$;
create or replace function pg_catalog.is_valid_json(value text) returns boolean
language plpgsql immutable strict as $$
begin
    return pg_catalog.jsonb_typeof(value::jsonb) = 'object';
exception when invalid_text_representation then return false;
end $$;
create or replace function pg_catalog.can_json_parse(value text) returns boolean
language plpgsql immutable strict as $$
begin
    return value::jsonb is not null;
exception when invalid_text_representation then return false;
end $$;
create or replace function pg_catalog.dateadd(part text, amount bigint, value timestamp) returns timestamp
    language sql immutable strict as $$
    select value + amount * case lower(part)
        when 'quarter' then interval '3 months' when 'qtr' then interval '3 months'
        else ('1 ' || part)::interval end
$$;
create or replace function pg_catalog.datediff(part text, first timestamp, last timestamp) returns bigint
    language sql immutable strict as $$
    select case lower(part)
        when 'year' then extract(year from last) - extract(year from first)
        when 'quarter' then (extract(year from last) - extract(year from first)) * 4 + extract(quarter from last) - extract(quarter from first)
        when 'month' then (extract(year from last) - extract(year from first)) * 12 + extract(month from last) - extract(month from first)
        else pg_catalog.numeric_div(extract(epoch from date_trunc(part, last) - date_trunc(part, first)),
            extract(epoch from ('1 ' || part)::interval)) end::bigint
$$;

create view pg_catalog.stl_load_errors as
select r.oid::int as userid, 0 as slice, e.table_id::int as tbl, e.start_time as starttime,
    e.session_id as session, e.query_id as query, e.file_name::char(256) as filename,
    e.line_number, e.column_name::char(127) as colname, e.column_type::char(10) as type,
    e.column_length::char(10) as col_length, e.position, e.raw_line::char(1024) as raw_line,
    e.raw_field_value::char(1024) as raw_field_value, e.error_code as err_code,
    e.error_message::char(100) as err_reason, 0 as is_partial, 0::bigint as start_offset,
    (-1)::bigint as copy_job_id
from redshift_standin.load_errors e left join pg_catalog.pg_roles r on r.rolname = e.user_name
where e.user_name = current_user
    or (select rolsuper from pg_catalog.pg_roles where rolname = current_user);

create view pg_catalog.sys_load_error_detail as
select r.oid::int as user_id, e.query_id, e.transaction_id, e.session_id,
    current_database()::text as database_name, e.table_id::int as table_id,
    e.start_time, e.file_name::char(256) as file_name, e.line_number,
    e.column_name::char(127) as column_name, e.column_type::char(10) as column_type,
    e.column_length::char(10) as column_length, e.position, e.error_code,
    e.error_message::char(512) as error_message
from redshift_standin.load_errors e left join pg_catalog.pg_roles r on r.rolname = e.user_name
where e.user_name = current_user
    or (select rolsuper from pg_catalog.pg_roles where rolname = current_user);

create view pg_catalog.stl_load_commits as
select q.query_id as query, 0 as slice, f.file_name::char(256) as filename, f.rows as lines_scanned,
    q.session_id as session, f.loaded_at as curtime, 1 as status, f.bytes
from redshift_standin.loaded_files f join redshift_standin.queries q using (query_id);

create view pg_catalog.sys_query_history as
select r.oid::int as user_id, q.query_id, 'default'::varchar as query_label, 0::bigint as transaction_id,
    q.session_id, current_database()::text as database_name, q.query_type, q.status,
    false as result_cache_hit, q.start_time, q.end_time,
    (extract(epoch from coalesce(q.end_time, q.start_time) - q.start_time) * 1000000)::bigint as elapsed_time,
    0::bigint as queue_time,
    (extract(epoch from coalesce(q.end_time, q.start_time) - q.start_time) * 1000000)::bigint as execution_time,
    q.error_message, q.returned_rows, q.query_text::varchar(4000) as query_text
from redshift_standin.queries q left join pg_catalog.pg_roles r on r.rolname = q.user_name;

create view pg_catalog.stv_inflight as
select a.usesysid::int as userid, 0 as slice, a.pid::bigint as query, 'default'::char(320) as label,
    0::bigint as xid, a.pid, a.query_start at time zone 'UTC' as starttime,
    left(regexp_replace(a.query, $r$(password\s+)'[^']*'$r$, $r$\1'***'$r$, 'gi'), 100)::char(100) as text, 0 as suspended
from pg_catalog.pg_stat_activity a
where a.state = 'active' and a.datname = current_database() and a.pid <> pg_backend_pid();

create view pg_catalog.stv_sessions as
select s.started at time zone 'UTC' as starttime, s.process, s.user_name::char(50) as user_name,
    current_database()::char(50) as db_name, 0 as timeout_sec
from redshift_standin.visible_sessions() s;

create view pg_catalog.svv_columns as
select c.table_catalog::text, c.table_schema::text, c.table_name::text, c.column_name::text,
    c.ordinal_position::int,
    case when c.is_identity = 'YES' then pg_catalog.format('"%s"(%s, %s, ''%s,%s''::text)',
            case c.identity_generation when 'ALWAYS' then 'identity' else 'default_identity' end,
            pg_catalog.format('%I.%I', c.table_schema, c.table_name)::regclass::oid,
            c.ordinal_position - 1, c.identity_start, c.identity_increment)
        else c.column_default end::text as column_default,
    c.is_nullable::text,
    case c.data_type when 'jsonb' then 'super' when 'bytea' then 'binary varying' else c.data_type end::text as data_type,
    c.character_maximum_length::int, c.numeric_precision::int, c.numeric_precision_radix::int,
    c.numeric_scale::int, c.datetime_precision::int,
    pg_catalog.col_description(pg_catalog.format('%I.%I', c.table_schema, c.table_name)::regclass, c.ordinal_position)::text as remarks
from information_schema.columns c
where c.table_schema not in ('redshift_standin', 'information_schema');

create view pg_catalog.svv_all_columns as
select table_catalog as database_name, table_schema as schema_name, table_name, column_name,
    ordinal_position, column_default, is_nullable, data_type, character_maximum_length,
    numeric_precision, numeric_scale, remarks
from pg_catalog.svv_columns;

create view pg_catalog.svv_tables as
select table_catalog::text, table_schema::text, table_name::text, table_type::text,
    pg_catalog.obj_description(pg_catalog.format('%I.%I', table_schema, table_name)::regclass, 'pg_class') as remarks
from information_schema.tables where table_schema not in ('redshift_standin', 'information_schema');

create view pg_catalog.svv_all_tables as
select table_catalog as database_name, table_schema as schema_name, table_name, table_type, remarks
from pg_catalog.svv_tables;

create view pg_catalog.svv_all_schemas as
select current_database()::text as database_name, nspname::text as schema_name,
    nspowner::int as schema_owner, 'local'::text as schema_type
from pg_catalog.pg_namespace where nspname <> 'redshift_standin';

create view pg_catalog.svv_table_info as
select current_database()::text as "database", n.nspname::text as "schema", c.oid::int as table_id,
    c.relname::text as "table",
    case when exists (select from redshift_standin.column_encodings e where e.relid = c.oid) then 'Y' else 'Y, AUTO(ENCODE)' end::text as encoded,
    coalesce(a.diststyle, 'AUTO(ALL)') as diststyle,
    case when cardinality(a.sortkeys) > 0
        then case when a.interleaved then 'INTERLEAVED' else a.sortkeys[1] end else 'AUTO(SORTKEY)' end as sortkey1,
    coalesce((select max(atttypmod - 4) from pg_catalog.pg_attribute v
        where v.attrelid = c.oid and v.atttypid = 'varchar'::regtype and not v.attisdropped), 0) as max_varchar,
    coalesce(cardinality(a.sortkeys), 0) as sortkey_num,
    (pg_catalog.pg_total_relation_size(c.oid) / 1048576 + 1)::bigint as size,
    0::numeric(10, 4) as pct_used, 0::bigint as empty, 0::numeric(5, 2) as unsorted,
    0::numeric(5, 2) as stats_off, counted.rows::numeric(38, 0) as tbl_rows,
    1::numeric(19, 2) as skew_sortkey1, 1::numeric(19, 2) as skew_rows,
    counted.rows::numeric(38, 0) as estimated_visible_rows, a.created_at as create_time
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join redshift_standin.table_attributes a on a.relid = c.oid
cross join lateral (select redshift_standin.row_count(c.oid) as rows) counted
where c.relkind = 'r' and c.relpersistence = 'p' and counted.rows > 0
    and n.nspname not in ('pg_catalog', 'information_schema', 'redshift_standin');

create view pg_catalog.pg_table_def as
select n.nspname::text as schemaname, c.relname::text as tablename, t.attname::text as "column",
    redshift_standin.type_name(t.atttypid, t.atttypmod) as type,
    coalesce(e.encoding, 'none')::text as encoding,
    coalesce(a.distkey = t.attname, false) as distkey,
    coalesce(array_position(a.sortkeys, t.attname::text), 0) as sortkey, t.attnotnull as "notnull"
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute t on t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped
left join redshift_standin.table_attributes a on a.relid = c.oid
left join redshift_standin.column_encodings e on e.relid = c.oid and e.attnum = t.attnum
where c.relkind = 'r' and pg_catalog.pg_table_is_visible(c.oid) and n.nspname <> 'redshift_standin'
order by 1, 2, t.attnum;

-- Primary keys are informational, yet listed among the indexes, as Redshift does.
create view pg_catalog.redshift_indexes as
select schemaname, tablename, indexname, tablespace, indexdef from pg_catalog.pg_indexes
union all
select n.nspname, c.relname, (c.relname || '_pkey')::name, null,
    pg_catalog.format('CREATE UNIQUE INDEX %I ON %I.%I USING btree (%s)', c.relname || '_pkey', n.nspname, c.relname,
        (select string_agg(pg_catalog.quote_ident(k), ', ') from unnest(a.primary_key) k))
from redshift_standin.table_attributes a
join pg_catalog.pg_class c on c.oid = a.relid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where cardinality(a.primary_key) > 0;

-- What Redshift computes otherwise than Postgres. Functions of these names are put in place by rewrite.py.

-- Trailing blanks mean nothing when texts are compared, of VARCHAR as of CHAR:
-- https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html#r_Character_types-significance-of-trailing-blanks
-- Postgres compares its char so, and text has the same bytes: =, <>, <, joins, GROUP BY, DISTINCT and ORDER BY follow.
update pg_catalog.pg_operator o set oprcode = f.code::regproc
from (values ('=', 'bpchareq'), ('<>', 'bpcharne'), ('<', 'bpcharlt'), ('<=', 'bpcharle'),
             ('>', 'bpchargt'), ('>=', 'bpcharge')) as f (name, code)
where o.oprname = f.name and o.oprleft = 'text'::regtype and o.oprright = 'text'::regtype
    and o.oprnamespace = 'pg_catalog'::regnamespace;
update pg_catalog.pg_amproc p set amproc = f.code::regproc
from (values ('btree', 1, 'bpcharcmp'), ('btree', 2, 'bpchar_sortsupport'),
             ('hash', 1, 'hashbpchar'), ('hash', 2, 'hashbpcharextended')) as f (method, number, code),
    pg_catalog.pg_opfamily y, pg_catalog.pg_am m
where y.oid = p.amprocfamily and m.oid = y.opfmethod and y.opfname = 'text_ops' and m.amname = f.method
    and p.amprocnum = f.number and p.amproclefttype = 'text'::regtype and p.amprocrighttype = 'text'::regtype;
update pg_catalog.pg_aggregate a set aggtransfn = f.code::regproc
from (values ('max', 'bpchar_larger'), ('min', 'bpchar_smaller')) as f (name, code), pg_catalog.pg_proc p
where p.oid = a.aggfnoid and p.proname = f.name and p.proargtypes::text = 'text'::regtype::oid::text;

-- AVG of integers is a BIGINT, of a decimal a decimal of its scale:
-- https://docs.aws.amazon.com/redshift/latest/dg/r_AVG.html
create or replace function redshift_standin.avg_add(state numeric[], value numeric) returns numeric[]
    language sql immutable as $$
    select case when value is null then state
        else array[state[1] + value, state[2] + 1, greatest(state[3], pg_catalog.scale(value))] end
$$;
create or replace function redshift_standin.avg_add(state numeric[], value bigint) returns numeric[]
    language sql immutable as $$ select redshift_standin.avg_add(state, value::numeric) $$;
create or replace function redshift_standin.avg_add(state numeric[], value int) returns numeric[]
    language sql immutable as $$ select redshift_standin.avg_add(state, value::numeric) $$;
create or replace function redshift_standin.avg_add(state numeric[], value smallint) returns numeric[]
    language sql immutable as $$ select redshift_standin.avg_add(state, value::numeric) $$;
create or replace function redshift_standin.avg_of_integers(state numeric[]) returns bigint
    language sql immutable as $$
    select case when state[2] > 0 then pg_catalog.trunc(pg_catalog.numeric_div(state[1], state[2]))::bigint end
$$;
create or replace function redshift_standin.avg_of_decimals(state numeric[]) returns numeric
    language sql immutable as $$
    select case when state[2] > 0
        then pg_catalog.trunc(pg_catalog.numeric_div(state[1], state[2]), state[3]::int) end
$$;
create or replace aggregate redshift_standin.avg(smallint)
    (sfunc = redshift_standin.avg_add, stype = numeric[], finalfunc = redshift_standin.avg_of_integers, initcond = '{0,0,0}');
create or replace aggregate redshift_standin.avg(int)
    (sfunc = redshift_standin.avg_add, stype = numeric[], finalfunc = redshift_standin.avg_of_integers, initcond = '{0,0,0}');
create or replace aggregate redshift_standin.avg(bigint)
    (sfunc = redshift_standin.avg_add, stype = numeric[], finalfunc = redshift_standin.avg_of_integers, initcond = '{0,0,0}');
create or replace aggregate redshift_standin.avg(numeric)
    (sfunc = redshift_standin.avg_add, stype = numeric[], finalfunc = redshift_standin.avg_of_decimals, initcond = '{0,0,0}');
create or replace aggregate redshift_standin.avg(real)
    (sfunc = float4_accum, stype = float8[], finalfunc = float8_avg, initcond = '{0,0,0}');
create or replace aggregate redshift_standin.avg(double precision)
    (sfunc = float8_accum, stype = float8[], finalfunc = float8_avg, initcond = '{0,0,0}');

-- A quotient's scale depends on its operands' precision, which Postgres does not hand to an operator:
-- https://docs.aws.amazon.com/redshift/latest/dg/r_numeric_computations201.html
create or replace function redshift_standin.divide_decimals(numeric, numeric) returns numeric
language plpgsql immutable strict as $$
begin
    raise exception 'division of decimals is not computed by the stand-in, as its digits would not be Redshift''s'
        using errcode = '0A000', hint = 'Cast to double precision.';
end $$;
update pg_catalog.pg_operator set oprcode = 'redshift_standin.divide_decimals'::regproc
where oprname = '/' and oprleft = 'numeric'::regtype and oprright = 'numeric'::regtype
    and oprnamespace = 'pg_catalog'::regnamespace;

-- CONCAT takes two, and null makes null: https://docs.aws.amazon.com/redshift/latest/dg/r_CONCAT.html
create or replace function redshift_standin.concat(text, text) returns text
    language sql immutable strict as $$ select $1 || $2 $$;
create or replace function redshift_standin.concat(text, anynonarray) returns text
    language sql stable strict as $$ select $1 || $2::text $$;
create or replace function redshift_standin.concat(anynonarray, text) returns text
    language sql stable strict as $$ select $1::text || $2 $$;
create or replace function redshift_standin.concat(bytea, bytea) returns bytea
    language sql immutable strict as $$ select $1 || $2 $$;

-- https://docs.aws.amazon.com/redshift/latest/dg/r_FROM_HEX.html
create or replace function redshift_standin.from_hex(text) returns bytea
    language sql immutable strict as $$ select pg_catalog.decode($1, 'hex') $$;

-- A date is a timestamp to it, never one with a zone: https://docs.aws.amazon.com/redshift/latest/dg/r_DATE_TRUNC.html
create or replace function pg_catalog.date_trunc(text, date) returns timestamp
    language sql immutable strict as $$ select pg_catalog.date_trunc($1, $2::timestamp) $$;
