# SPDX-License-Identifier: Apache-2.0
# The control plane: zun-lite-api, zun-lite-controller, zun-lite-gateway and zun-lite-manage. Hosts run netd and agents outside of
# containers, as they work on the machine's networks, mounts and Docker. docs/containers.md says how to go on.
#   docker build -t zun_lite .
# BASE may be any Debian 12 or newer, one that knows your own mirror, proxy and CAs for example.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates python3-venv
WORKDIR /src
COPY constraints.txt pyproject.toml setup.cfg setup.py README.md ./
COPY zun_lite zun_lite
# the variable, unlike -c, holds for what the package itself is built with too
RUN python3 -m venv /opt/zun_lite \
    && PIP_CONSTRAINT=/src/constraints.txt /opt/zun_lite/bin/pip install -q --no-cache-dir '.[keystone,mysql,postgresql]' \
    && /opt/zun_lite/bin/pip uninstall -q -y setuptools pip

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="zun_lite" \
      org.opencontainers.image.description="The control plane of a container cloud that OpenStack's own clients drive" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
    && useradd --uid 9517 --user-group --no-log-init --no-create-home --home-dir /var/lib/zun_lite --shell /usr/sbin/nologin zun_lite \
    && install -d -m 0700 -o zun_lite -g zun_lite /var/lib/zun_lite
COPY --from=build /opt/zun_lite /opt/zun_lite
USER zun_lite
WORKDIR /var/lib/zun_lite
ENV ZUN_LITE_STATE_DIR=/var/lib/zun_lite PATH=/opt/zun_lite/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
VOLUME /var/lib/zun_lite
EXPOSE 9517 9519
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["zun-lite-alive", "api"]
CMD ["zun-lite-api"]
