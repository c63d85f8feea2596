#!/bin/sh
# Makes /opt/venv in a build stage from a hash-pinned lock, with byte-code: without it a run spends seconds compiling.
# The build secret `extra_ca`, where it is given, adds the certificate authorities of a proxy to the public ones.
set -eu

lock=$1

if [ -s /run/secrets/extra_ca ]; then
  cat /etc/ssl/certs/ca-certificates.crt /run/secrets/extra_ca >/tmp/authorities.pem
  export SSL_CERT_FILE=/tmp/authorities.pem PIP_CERT=/tmp/authorities.pem
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
python -m venv /opt/uv
/opt/uv/bin/pip install --quiet --require-hashes -r /requirements/uv.lock
python -m venv --without-pip /opt/venv
/opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --require-hashes --compile-bytecode -r "$lock"
# Tests of dependencies are of no use in an image, and these are large.
rm -rf /opt/venv/lib/python3*/site-packages/pyarrow/tests /opt/venv/lib/python3*/site-packages/pandas/tests
rm -rf /opt/uv
