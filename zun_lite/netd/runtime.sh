#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An OCI runtime: the real one, but for `create`, which connects the container before its process runs.
# Made by zun_lite.netd.runtime.install from its template; changes here are lost.
real=@REAL_RUNTIME@
skip=
for word in "$@"; do
    if [ -n "$skip" ]; then
        skip=
        continue
    fi
    case $word in
    -root | --root | -log | --log | -log-format | --log-format | -criu | --criu | -rootless | --rootless)
        skip=yes
        ;;
    -*) ;;
    create)
        exec @PYTHON@ -I -S -c 'import sys; sys.path.append(sys.argv[1]); from zun_lite.netd import runtime_create; sys.exit(runtime_create.main(sys.argv[2:]))' \
            @PACKAGE_PARENT@ "$real" @NETD_SOCKET@ @STATE_DIR@ @ANSWER_SECONDS@ "$@"
        ;;
    *)
        break
        ;;
    esac
done
exec "$real" "$@"
