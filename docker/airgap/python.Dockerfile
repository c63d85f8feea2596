# A stand-in for the public image of the same name, from Debian's Python, for hosts that reach no image registry.
FROM debian:trixie-slim

ENV LANG=C.UTF-8
# hadolint ignore=DL3008  # Debian keeps one version of each package; a pin would break with the next security fix
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends ca-certificates python3 python3-venv >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/lib/python3*/EXTERNALLY-MANAGED \
    /usr/lib/python3*/test /usr/lib/python3*/pydoc_data /usr/lib/python3*/idlelib /usr/lib/python3*/turtledemo \
 && ln -s /usr/bin/python3 /usr/local/bin/python \
 && ln -s /usr/bin/python3 /usr/local/bin/python3
CMD ["python3"]
