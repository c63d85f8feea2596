#!/bin/sh
# Makes /opt/venv in a build stage from a hash-pinned lock, with byte-code: without it a run spends seconds compiling.
#   sh /install-lock.sh LOCK ["SERVICES OF AWS"]
# The build secret `extra_ca`, where it is given, adds the certificate authorities of a proxy to the public ones.
set -eu

lock=$1
aws_services=${2:-all}

if [ -s /run/secrets/extra_ca ]; then
  cat /etc/ssl/certs/ca-certificates.crt /run/secrets/extra_ca >/tmp/authorities.pem
  export SSL_CERT_FILE=/tmp/authorities.pem PIP_CERT=/tmp/authorities.pem
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
python -m venv /opt/uv
/opt/uv/bin/pip install --quiet --require-hashes -r /requirements/uv.lock
python -m venv --without-pip /opt/venv
/opt/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --require-hashes --compile-bytecode -r "$lock"
rm -rf /opt/uv
sh /slim.sh "$aws_services"
