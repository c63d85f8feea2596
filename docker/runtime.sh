#!/bin/sh
# The last stage of an image: installs the Debian packages that are named, and takes away what installs software of Python.
# A base image of which pip is a layer keeps that layer's size; what is gone is the program.
set -eu

if [ $# -gt 0 ]; then
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null
fi
# apt's index comes back with each installation, 88 MB of it where the base image does not say otherwise.
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
# Debian's Python, then the public image's.
rm -rf /usr/share/python-wheels /usr/lib/python3*/ensurepip /usr/lib/python3/dist-packages/pip* /usr/bin/pip*
rm -rf /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip*
