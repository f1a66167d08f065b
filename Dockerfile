# SPDX-License-Identifier: Apache-2.0
# The control plane: zun-lite-api, zun-lite-controller, zun-lite-gateway and zun-lite-manage. Hosts run netd and agents outside of
# containers, as they work on the machine's networks, mounts and Docker.
ARG BASE=debian:12-slim
FROM ${BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN python3 -m venv /opt/zun_lite \
    && /opt/zun_lite/bin/pip install --no-cache-dir -c /src/constraints.txt '/src[openstack,postgresql,mysql]' \
    && rm -rf /src \
    && useradd --system --home-dir /var/lib/zun_lite --create-home zun_lite
USER zun_lite
ENV ZUN_LITE_STATE_DIR=/var/lib/zun_lite PATH=/opt/zun_lite/bin:/usr/bin:/bin
VOLUME /var/lib/zun_lite
EXPOSE 9517 9519
CMD ["zun-lite-api"]
