# One image for every service and tool:  docker run IMAGE run --services uploader,tasknode
# Builds on the official base image, or on any Debian 12 with python3 and python3-venv under that name.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/sp
COPY requirements.lock /src/
RUN /opt/sp/bin/pip install --require-hashes -r /src/requirements.lock
COPY . /src
RUN /opt/sp/bin/pip install --no-deps /src && /opt/sp/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="greenfield-sp" \
      org.opencontainers.image.description="A BNB Greenfield storage provider" \
      org.opencontainers.image.version="${VERSION}"
# The uid is fixed so that a volume written by one release is readable by the next.
RUN groupadd --gid 10001 sp \
 && useradd --uid 10001 --gid sp --home-dir /var/lib/sp --no-create-home --shell /usr/sbin/nologin sp \
 && install -d -m 0750 -o sp -g sp /var/lib/sp
COPY --from=build /opt/sp /opt/sp
ENV PATH=/opt/sp/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /var/lib/sp
VOLUME /var/lib/sp
USER 10001:10001
ENTRYPOINT ["sp"]
