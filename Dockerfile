# The gateway as a container: non-root, read-only root file system, health check, graceful stop.
# The wheels are made outside (tools/image), so that the build needs no network. The base image is an
# argument: where no registry can be reached, a local root file system is imported as the base.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE} AS build
COPY wheels /wheels
# Compiled here: with a read-only root every start would compile torch again.
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --no-index --find-links=/wheels 'andon-gateway[postgres]' \
 && /opt/venv/bin/pip uninstall --yes --quiet pip

FROM ${BASE_IMAGE}
RUN useradd --system --uid 10001 --shell /usr/sbin/nologin andon && install -d -o 10001 -g 10001 /data /etc/andon
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["andon"]
CMD ["up", "--config", "/etc/andon/andon.toml", "--log-format", "json"]
