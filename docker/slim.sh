#!/bin/sh
# Takes out of /opt/venv what no process of an image reads; docs/images.md says what that is and what it comes to.
# The rest stays byte for byte as its hash in the lock says, but for symbols that only a debugger asks for.
set -eu

aws_services=${1:-all} # whose descriptions boto3 keeps
cd /opt/venv/lib/python3*/site-packages

# ---- tests, headers and sources of extensions ----
find . -depth -type d -name tests -exec rm -rf {} +
rm -rf numpy/_core/include pyarrow/include pyarrow/includes pyarrow/src
find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.a' -o -name '*.h' -o -name '*.hpp' \) -delete
# Maps from the pages' compressed code to what it was written as.
find . -path '*/webapp/*' -name '*.map' -delete

# ---- the SQL Server driver's parts for other systems, and its bulk copy, which writes to SQL Server ----
if [ -d mssql_python ]; then
  version=$(/opt/venv/bin/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
  find mssql_python -name 'ddbc_bindings.cp*' ! -name "ddbc_bindings.$version-*" -delete
  find mssql_python_odbc/libs -mindepth 2 -maxdepth 2 -type d ! -name debian_ubuntu -exec rm -rf {} +
  rm -rf mssql_py_core
fi

# ---- Arrow's Flight and Substrait ----
# Each module of pyarrow is linked to their libraries and calls nothing of them; a library without code keeps the loader
# content. `pyarrow.flight` and `pyarrow.substrait` cannot be imported.
if [ -d pyarrow ]; then
  rm -f pyarrow/_flight* pyarrow/flight.py pyarrow/_substrait* pyarrow/substrait.py pyarrow/_pyarrow_cpp_tests* \
    pyarrow/libarrow_python_flight*
  echo '.section .note.GNU-stack,"",@progbits' | as -o /tmp/empty.o -
  printf '.data\n.byte 0\n' | as -o /tmp/byte.o -
  for library in pyarrow/libarrow_flight.so.* pyarrow/libarrow_substrait.so.*; do
    ld -shared -soname "${library##*/}" /tmp/empty.o /tmp/byte.o -o "$library"
  done
  rm /tmp/empty.o /tmp/byte.o
  # A wheel has no links: the same library under the names that a linker would look for.
  for library in pyarrow/lib*.so.*.*.*; do rm -f "$library" "${library%%.so.*}.so"; done
fi

# ---- services of AWS that nothing here calls ----
if [ "$aws_services" != all ] && [ -d botocore/data ]; then
  for service in botocore/data/*/; do
    name=$(basename "$service")
    case " $aws_services " in
      *" $name "*) ;;
      *) rm -rf "$service" ;;
    esac
  done
fi

# ---- symbols for debuggers ----
# Libraries that a wheel brought along (*.libs) were moved by another tool, and stay as it left them.
find . -type f \( -name '*.so' -o -name '*.so.*' \) ! -path '*.libs/*' -exec strip --strip-unneeded {} +
