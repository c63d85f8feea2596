-- What start.sh has the superuser do at every start. Each statement can be run again; most of them are made by a query, for
-- names are the user's own.
\getenv owner_password OWNER_PASSWORD
\getenv guest_password GUEST_PASSWORD

select format('create role %I', :'owner') where not exists (select from pg_roles where rolname = :'owner') \gexec
select format('create role %I', :'guest') where :'guest' <> '' and not exists (select from pg_roles where rolname = :'guest') \gexec
select format('alter role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password %L', name, password)
from (values (:'owner', :'owner_password'), (:'guest', :'guest_password')) as role (name, password) where name <> '' \gexec
-- Only the socket in this container knows the superuser.
select format('alter role %I password null', rolname) from pg_authid where rolsuper and rolpassword is not null \gexec

select format('create database %I', :'database') where not exists (select from pg_database where datname = :'database') \gexec
select format('alter database %I owner to %I', :'database', :'owner') \gexec
select format('revoke all on database %I from public', datname) from pg_database where datallowconn \gexec
select format('grant connect on database %I to %I', :'database', :'guest') where :'guest' <> '' \gexec

-- In the database: what its superuser made while it was the application is the application's. Objects of extensions stay.
\connect :"database"
begin;
select format('alter schema %I owner to %I', nspname, :'owner')
from pg_namespace
where nspowner = 10 and nspname !~ '^pg_' and nspname <> 'information_schema' \gexec
select format(
    'alter %s %I.%I owner to %I',
    case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
        when 'c' then 'type' else 'table' end,
    nspname, relname, :'owner'
)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relowner = 10 and relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
    and nspname !~ '^pg_' and nspname <> 'information_schema'
    -- A sequence of a column goes with its table.
    and not exists (
        select from pg_depend
        where classid = 'pg_class'::regclass and objid = pg_class.oid
            and (deptype = 'e' or relkind = 'S' and deptype in ('a', 'i'))
    )
order by relkind = 'S' \gexec
select format('alter routine %s owner to %I', pg_proc.oid::regprocedure, :'owner')
from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
where proowner = 10 and nspname !~ '^pg_' and nspname <> 'information_schema'
    and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = pg_proc.oid and deptype = 'e') \gexec
select format('alter type %s owner to %I', pg_type.oid::regtype, :'owner')
from pg_type join pg_namespace on pg_namespace.oid = typnamespace
where typowner = 10 and typtype in ('e', 'd', 'r') and nspname !~ '^pg_' and nspname <> 'information_schema'
    and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = pg_type.oid and deptype = 'e') \gexec
select format('alter large object %s owner to %I', oid, :'owner') from pg_largeobject_metadata where lomowner = 10 \gexec
commit;
