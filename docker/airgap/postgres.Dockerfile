# A stand-in for the public image of the same name, from Debian's PostgreSQL, for hosts that reach no image registry.
# Same user id, paths and variables as the public image, as far as docker-compose.yml uses them.
FROM debian:trixie-slim

ENV LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/17/bin:$PATH
# hadolint ignore=DL3008  # Debian keeps one version of each package; a pin would break with the next security fix
RUN groupadd --system --gid 999 postgres \
 && useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
 && mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends postgresql-17 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/lib/postgresql/* \
 && sed -i "s/^#\?listen_addresses.*/listen_addresses = '*'/" /usr/share/postgresql/17/postgresql.conf.sample \
 && mkdir -p /docker-entrypoint-initdb.d \
 && install -d -o postgres -g postgres -m 1777 "$PGDATA" \
 && install -d -o postgres -g postgres -m 3777 /run/postgresql
COPY --chmod=755 postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
USER 999:999
STOPSIGNAL SIGINT
EXPOSE 5432
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
